"""The adapters: whoever is registered under the entry-point group `canon.adapters` renders files, ours included."""

from __future__ import annotations

from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Protocol

from canon.model.errors import CanonError, Problem, ProblemsError
from canon.model.project import Project
from canon.output.files import RenderedFile

GROUP = "canon.adapters"
PACKAGE = "canon-ml"


class Adapter(Protocol):
    """A callable from the declared project to the files that its tool understands. It writes nothing."""

    def __call__(self, project: Project) -> tuple[RenderedFile, ...]:
        """Return the files, with paths relative to the root."""
        ...


def render_project(project: Project) -> tuple[RenderedFile, ...]:
    """What all adapters render, sorted by path.

    Raises ProblemsError with what they all find, CanonError when two of them claim one file, and, naming it, when an
    adapter cannot be loaded or fails.
    """
    problems: list[Problem] = []
    owners: dict[str, EntryPoint] = {}
    files: list[RenderedFile] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        try:
            of_adapter = _rendered(point, project)
        except ProblemsError as error:
            problems += error.problems
            continue
        for file in of_adapter:
            if file.path in owners:
                raise CanonError(
                    f"the adapters {_described(owners[file.path])} and {_described(point)} both generate {file.path}; uninstall one of them"
                )
            owners[file.path] = point
            files.append(file)
    if problems:
        raise ProblemsError(dict.fromkeys(problems))
    return tuple(sorted(files, key=lambda file: file.path))


def has_others() -> bool:
    """Whether somebody else's adapter is installed: nobody knows what that reads."""
    return any(point.dist is None or _name(point.dist) != PACKAGE for point in entry_points(group=GROUP))


@cache
def _name(distribution: Distribution) -> str:
    """Its name, for which all of its description is parsed each time."""
    return distribution.name


def _described(point: EntryPoint) -> str:
    return f"`{point.name}` ({_name(point.dist) if point.dist else point.value})"


def _rendered(point: EntryPoint, project: Project) -> tuple[RenderedFile, ...]:
    """Anything may go wrong in others' code: who it is stands in the message, the traceback behind `--debug`."""
    remedy = "report it to its authors, or uninstall it; `canon --debug` shows where"
    try:
        adapter: Adapter = point.load()
    except Exception as error:
        raise CanonError(
            f"the adapter {_described(point)} cannot be loaded from {point.value}: {type(error).__name__}: {error}; {remedy}"
        ) from error
    try:
        files = tuple(adapter(project))
    except CanonError:
        raise
    except Exception as error:
        if point.dist is not None and _name(point.dist) == PACKAGE:
            raise
        raise CanonError(
            f"the adapter {_described(point)} failed: {type(error).__name__}: {error}; {remedy}"
        ) from error
    for file in files:
        if not isinstance(file, RenderedFile):
            raise CanonError(f"the adapter {_described(point)} gave {file!r}, which is no RenderedFile; {remedy}")
        if file.path.startswith("/") or {"", ".", "..", ".git"} & set(file.path.split("/")):
            raise CanonError(
                f"the adapter {_described(point)} gave the path {file.path!r}, outside of the repository or in .git; {remedy}"
            )
    return files
