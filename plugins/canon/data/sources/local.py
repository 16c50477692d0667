"""Sources on this machine."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import unquote, urlsplit

from canon.data.sources.reader import SourceFile
from canon.model.errors import CanonError


def local_path(uri: str, root: Path) -> Path:
    """Return the path that a path or file:// URI means. Raises CanonError when a relative one leaves the repository."""
    text = uri
    if uri.lower().startswith("file://"):
        parts = urlsplit(uri)
        if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
            raise CanonError(f"{uri}: a file:// URI names an absolute path, as in file:///data/raw.csv")
        text = unquote(parts.path)
    if Path(text).is_absolute():
        return Path(text)
    path = root / text
    if Path(os.path.normpath(text)).parts[:1] == ("..",) or not path.resolve().is_relative_to(root.resolve()):
        raise CanonError(f"the source {uri} leaves the repository; give an absolute path if that is meant")
    return path


class LocalReader:
    """A file or folder. A relative path starts from the root and must not leave it, through links neither.

    ``follow_links``: whether a file in the folder may be a link that leaves it, as DVC's links into its cache do.
    Raises CanonError.
    """

    kind: Literal["file", "folder"]

    def __init__(self, uri: str, root: Path, *, follow_links: bool = False) -> None:
        self.uri = uri
        self.path = local_path(uri, root)
        self._follow_links = follow_links
        with _explained(uri, self.path):
            mode = self.path.stat().st_mode
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise CanonError(f"the source {uri} is neither a file nor a folder; write what it yields to a file")
        self.kind = "folder" if stat.S_ISDIR(mode) else "file"

    def files(self) -> Iterator[SourceFile]:
        """Yield the files; links are followed only within the source, and never to folders."""
        if self.kind == "file":
            yield self._file("", self.path)
            return
        top = self.path.resolve()

        def fail(error: OSError) -> None:
            raise _unreadable(self.uri, Path(error.filename or self.path), error)

        # os.walk is silent about folders that it cannot read: such a pin would be one of a part
        for folder, names, files in os.walk(self.path, onerror=fail):
            names.sort()
            for name in sorted([*files, *(name for name in names if (Path(folder) / name).is_symlink())]):
                path = Path(folder) / name
                if path.is_symlink() and path.is_dir():
                    raise CanonError(f"{path} is a link to a folder; replace it by the folder")
                if path.is_symlink() and not self._follow_links and not path.resolve().is_relative_to(top):
                    raise CanonError(
                        f"{path} is a link that leaves the source {self.uri}; replace it by what it points to"
                    )
                yield self._file(path.relative_to(self.path).as_posix(), path)

    def _file(self, relpath: str, path: Path) -> SourceFile:
        with _explained(self.uri, path):
            status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise CanonError(f"{path} is no file; take it out of the source {self.uri}")
        return SourceFile(relpath, status.st_size, stamp=_stamp(status))

    @contextlib.contextmanager
    def open(self, file: SourceFile) -> Iterator[LocalStream]:
        """Open one file."""
        path = self.path / file.relpath if file.relpath else self.path
        with _explained(self.uri, path):
            handle = path.open("rb")
        with handle:
            yield LocalStream(self.uri, path, handle, file)


class LocalStream:
    """A file that must stay as it was listed until its end is reached."""

    def __init__(self, uri: str, path: Path, handle: BinaryIO, file: SourceFile) -> None:
        self._uri, self._path, self._handle, self._file = uri, path, handle, file

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes. Raises CanonError when the file changed since it was listed."""
        with _explained(self._uri, self._path):
            block = self._handle.read(size)
            if not block and _stamp(os.fstat(self._handle.fileno())) != self._file.stamp:
                raise CanonError(
                    f"{self._path} changed while it was read; wait until it is complete, then run the command again"
                )
        return block


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_dev}-{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"


@contextlib.contextmanager
def _explained(uri: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unreadable(uri, path, error) from None


def _unreadable(uri: str, path: Path, error: OSError) -> CanonError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return CanonError(f"there is no source {uri} (looked for {path}); was it moved, or never fetched?")
    if isinstance(error, PermissionError):
        return CanonError(f"no right to read {path} of the source {uri}; change its mode or owner")
    return CanonError(f"cannot read {path} of the source {uri}: {error.strerror or error}; check the disk")
