"""The dvc.yaml files of a DVC project: those that DVC itself finds and loads, with what it reads in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canon.adoption.view import load_document
from canon.model.errors import CanonError, Problem, ProblemsError
from canon.output.files import MARK, load_text

if TYPE_CHECKING:
    from dvc.repo import Repo

NAME = "dvc.yaml"


@dataclass(frozen=True, slots=True)
class Found:
    """A dvc.yaml: its path from the root, its text, what DVC reads in it, and how many stages it makes of it.

    ``repository``: the folder of another Git repository (a submodule) that it lies in; empty for the project's own.
    """

    file: str
    text: str
    document: dict[str, Any]
    stages: int
    repository: str = ""

    @property
    def is_generated(self) -> bool:
        """Canon wrote it."""
        return self.text.startswith(MARK)


def dvc_root(start: Path) -> Path | None:
    """The root of the DVC project that a folder lies in; None where there is none."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        return Path(Repo.find_root(str(start)))
    except NotDvcRepoError:
        return None


def find_dvc_files(repo: Repo) -> tuple[Found, ...]:
    """Return the files, the root's first. Raises ProblemsError with DVC's own words for those that it does not load."""
    root = Path(repo.root_dir)
    problems: list[Problem] = []
    found: list[Found] = []
    for file, stages, refused in _files(repo):
        try:
            if not file.endswith(".dvc"):
                found.append(_load(root, file, stages, refused))
            elif refused is not None:
                raise CanonError(refused)  # noqa: TRY301  said as all others
        except ProblemsError as error:
            problems += error.problems
        except CanonError as error:
            problems.append(
                Problem(
                    file=file,
                    message=f"DVC does not take it: {error}",
                    remedy="mend it until `dvc status` reads it, then run `canon init` again",
                )
            )
    if problems:
        raise ProblemsError(problems)
    return tuple(sorted(found, key=lambda each: (each.file.count("/"), each.file)))


def _files(repo: Repo) -> Iterator[tuple[str, int, str | None]]:
    """Files of DVC's with the number of their stages, or what it says against them."""
    from dvc.repo.index import collect_files

    refused: dict[str, str] = {}

    def note(path: str, error: Exception) -> None:
        refused[Path(path).resolve().as_posix()] = _words(error)

    root = Path(repo.root_dir)
    try:
        for path, index in collect_files(repo, onerror=note):
            yield Path(path).relative_to(root).as_posix(), len(index.stages), None
    except CanonError:
        raise
    except Exception as error:  # noqa: BLE001  DVC ends with whatever it did not foresee, and does not say where
        raise CanonError(
            f"DVC ends with {type(error).__name__} ({_words(error)}) when it reads the project; `dvc status -v` says where"
        ) from None
    for path, words in refused.items():
        yield Path(path).relative_to(root.resolve()).as_posix(), 0, words


def _words(error: BaseException) -> str:
    cause = f": {error.__cause__}" if error.__cause__ is not None else ""
    return " ".join(f"{error}{cause}".split())


def _load(root: Path, file: str, stages: int, refused: str | None) -> Found:
    text = load_text(root / file, file)
    if text is None:
        raise CanonError("it is gone")
    document = load_document(text, file, check=refused is not None)
    if refused is not None:
        raise CanonError(refused)
    return Found(file, text, document, stages, _other_repository(root, file))


def _other_repository(root: Path, file: str) -> str:
    """A folder below the root, above a file, that has a `.git` of its own; empty where there is none."""
    folders = [Path(file).parents[each].as_posix() for each in range(file.count("/"))]
    return next((folder for folder in folders if os.path.lexists(root / folder / ".git")), "")
