"""The one interface that all sources are read through, and the choice of who implements it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from canon.model.errors import CanonError
from canon.model.pins import has_credentials


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source. ``relpath``: below a folder, ``""`` for a single file. ``size`` in bytes, None if unknown."""

    relpath: str
    size: int | None
    etag: str | None = None
    version_id: str | None = None


class SourceReader(Protocol):
    """A source that is open: its files, and the bytes of each."""

    is_folder: bool

    def files(self) -> Iterator[SourceFile]:
        """Yield the files. Raises CanonError when there is no such source or no right to read it."""
        ...

    def open(self, file: SourceFile) -> contextlib.AbstractContextManager[BinaryIO]:
        """Open one file, at the version that ``file`` names."""
        ...


@contextlib.contextmanager
def open_source(
    uri: str, *, root: Path, endpoint: str | None = None, version_id: str | None = None
) -> Iterator[SourceReader]:
    """Open a source; ``root`` is what relative paths start from, ``endpoint`` the S3 server, ``version_id`` an object's version.

    Raises CanonError for a URI with credentials, an unknown scheme, and a relative path that leaves the repository.
    """
    if has_credentials(uri):
        raise CanonError(
            "a source's URI carries credentials, and it would be committed; give them by the environment (AWS_…, .netrc) instead"
        )
    scheme = uri.partition("://")[0] if "://" in uri else "file"
    if scheme == "file":
        from canon.data.sources.local import LocalReader

        yield LocalReader(uri, root)
    elif scheme in {"s3", "http", "https"}:
        from canon.data.sources.remote import open_remote

        with open_remote(uri, scheme, endpoint, version_id) as reader:
            yield reader
    else:
        raise CanonError(f"{uri}: sources are local paths, s3://, http:// and https://, not {scheme}://")


def check_relpath(relpath: str, uri: str) -> str:
    """Return a path of a listing when it stays below its folder. Raises CanonError: a listing is not to be trusted."""
    parts = PurePosixPath(relpath).parts
    if (
        not relpath
        or relpath.startswith("/")
        or "\\" in relpath
        or "\0" in relpath
        or ".." in parts
        or relpath != "/".join(parts)
    ):
        raise CanonError(f"{uri} lists a file named {relpath!r}, which would not stay in its folder; remove it there")
    return relpath
