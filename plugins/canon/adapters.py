"""The adapters: whoever is registered under the entry-point group `canon.adapters` renders files, ours included."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Protocol

from canon.model.errors import CanonError
from canon.model.project import Project
from canon.output.files import RenderedFile

GROUP = "canon.adapters"


class Adapter(Protocol):
    """A callable from the declared project to the files that its tool understands. It writes nothing."""

    def __call__(self, project: Project) -> tuple[RenderedFile, ...]:
        """Return the files, with paths relative to the root."""
        ...


def render_project(project: Project) -> tuple[RenderedFile, ...]:
    """What all adapters render, sorted by path. Raises CanonError when two of them claim one file."""
    owners: dict[str, str] = {}
    files: list[RenderedFile] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        adapter: Adapter = point.load()
        for file in adapter(project):
            if file.path in owners:
                raise CanonError(
                    f"the adapters `{owners[file.path]}` and `{point.name}` both generate {file.path}; uninstall one of them"
                )
            owners[file.path] = point.name
            files.append(file)
    return tuple(sorted(files, key=lambda file: file.path))
