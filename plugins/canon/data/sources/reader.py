"""The one interface that all sources are read through."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol


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
