"""The one interface that all sources are read through, and the choice of who implements it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from canon.model.errors import CanonError
from canon.model.pins import has_credentials


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source, as its store describes it now.

    ``relpath``: below a folder with ``/``, ``""`` for a single file. ``size`` in bytes, None if unknown. ``etag`` and
    ``version_id``: the store's own names of this content. ``stamp``: when it was written, in the store's own spelling.
    """

    relpath: str
    size: int | None
    etag: str | None = None
    version_id: str | None = None
    stamp: str | None = None


class Stream(Protocol):
    """The bytes of one file, read once from the start."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end. Raises TransientError when the connection is cut."""
        ...


class SourceReader(Protocol):
    """A source that is open: its files, and the bytes of each. Its methods may be called from several threads."""

    uri: str
    kind: Literal["file", "folder"]

    def files(self) -> Iterator[SourceFile]:
        """Yield the files, always in the same order. Raises CanonError when there is no source or no right to read it."""
        ...

    def open(self, file: SourceFile) -> contextlib.AbstractContextManager[Stream]:
        """Open one file, at the version that ``file`` names. Raises CanonError when it is another one by now."""
        ...


@contextlib.contextmanager
def open_source(
    uri: str,
    *,
    root: Path,
    endpoint: str | None = None,
    version_id: str | None = None,
    stop: threading.Event | None = None,
) -> Iterator[SourceReader]:
    """Open a source; ``root`` is what relative paths start from, ``endpoint`` the S3 server unless AWS_ENDPOINT_URL says.

    ``version_id`` is an S3 object's version. Once ``stop`` is set, what waits for a server raises StoppedError.
    Raises CanonError for a URI with credentials, an unknown scheme, and a relative path that leaves the repository.
    """
    if has_credentials(uri):
        raise CanonError(
            "a source's URI carries credentials, and it would be committed; take them out and give them by the environment "
            "(AWS_… variables, ~/.aws, ~/.netrc)"
        )
    if not uri or not uri.isprintable():
        raise CanonError(f"{uri!r} is no source: write a path, s3://… or https://…, without control characters")
    stop = stop or threading.Event()
    scheme = uri.partition("://")[0].lower() if "://" in uri else "file"
    if scheme == "file":
        from canon.data.sources.local import LocalReader

        yield LocalReader(uri, root)
    elif scheme == "s3":
        from canon.data.sources.s3 import open_s3

        with open_s3(uri, endpoint=endpoint, version_id=version_id, stop=stop) as reader:
            yield reader
    elif scheme in {"http", "https"}:
        from canon.data.sources.web import open_web

        with open_web(uri, stop=stop) as page:
            yield page
    else:
        raise CanonError(f"{uri}: sources are local paths, s3://, http:// and https://, not {scheme}://")
