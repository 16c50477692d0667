"""Sources on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from canon.data.sources.reader import SourceFile
from canon.model.errors import CanonError


class LocalReader:
    """A file or folder. A relative path starts from the root and must not leave it, through links neither."""

    def __init__(self, uri: str, root: Path) -> None:
        text = uri.removeprefix("file://")
        self.uri = uri
        self.path = Path(text) if Path(text).is_absolute() else root / text
        if not Path(text).is_absolute() and not self.path.resolve().is_relative_to(root.resolve()):
            raise CanonError(f"the source {uri} leaves the repository; give an absolute path if that is meant")
        if not self.path.exists():
            raise CanonError(f"there is no source {uri} (looked for {self.path}); was it moved, or never fetched?")
        self.is_folder = self.path.is_dir()

    def files(self) -> Iterator[SourceFile]:
        """Yield the files; links are followed only within the source."""
        if not self.is_folder:
            yield self._file("", self.path)
            return
        top = self.path.resolve()
        for folder, names, files in os.walk(self.path):
            names.sort()
            for name in [*sorted(files), *(name for name in names if (Path(folder) / name).is_symlink())]:
                path = Path(folder) / name
                if path.is_symlink() and not path.resolve().is_relative_to(top):
                    raise CanonError(
                        f"{path} is a link that leaves the source {self.uri}; replace it by what it points to"
                    )
                if path.is_dir():
                    raise CanonError(f"{path} is a link to a folder; replace it by the folder")
                yield self._file(path.relative_to(self.path).as_posix(), path)

    def _file(self, relpath: str, path: Path) -> SourceFile:
        status = path.stat()
        return SourceFile(relpath, status.st_size, etag=f"{status.st_mtime_ns}-{status.st_size}")

    def open(self, file: SourceFile) -> BinaryIO:
        """Open one file."""
        return (self.path / file.relpath if file.relpath else self.path).open("rb")
