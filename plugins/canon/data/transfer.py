"""Reading a source once: every byte hashed on its way, files side by side, memory constant."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from canon.data.errors import StoppedError, TooLongError, TransientError
from canon.data.progress import Progress
from canon.data.retry import retried
from canon.data.sources import SourceFile, SourceReader
from canon.model.errors import CanonError
from canon.model.pins import Pin, folder_md5, folder_sha256

BLOCK = 4 * 1024 * 1024
"""Bytes of one file that are held at once."""


@dataclass(frozen=True, slots=True)
class Content:
    """What was read of one file: size in bytes and hashes."""

    relpath: str
    size: int
    md5: str
    sha256: str


class Allowance:
    """Bytes that may still arrive, for all files together; None: any number."""

    def __init__(self, size: int | None) -> None:
        self._left = size
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Take bytes, or give them back when negative. Raises TooLongError when there are not as many."""
        with self._lock:
            if self._left is None:
                return
            if size > self._left:
                raise TooLongError(f"{size - self._left:,} bytes too many arrive")
            self._left -= size


@dataclass(frozen=True, slots=True)
class Transfer:
    """What all files of one source are read with."""

    reader: SourceReader
    progress: Progress
    stop: threading.Event
    allowance: Allowance

    def read(self, file: SourceFile, into: Callable[[], BinaryIO] | None = None) -> Content:
        """Read one file, hash it, and write it to what ``into`` opens; a cut connection is tried again from the start.

        Raises TooLongError for more bytes than are allowed, StoppedError, OSError when it cannot be written, CanonError
        when no attempt reaches the end.
        """
        return retried(lambda: self._attempt(file, into), self.stop)

    def _attempt(self, file: SourceFile, into: Callable[[], BinaryIO] | None) -> Content:
        attempt = _Attempt(self, file)
        # Opened anew by each attempt: it begins empty.
        with contextlib.nullcontext() if into is None else into() as sink:
            try:
                return attempt.read(sink)
            except TransientError:
                self.allowance.take(-attempt.size)
                self.progress.advance(-attempt.size)
                raise


class _Attempt:
    """One attempt at one file, and how far it came."""

    def __init__(self, transfer: Transfer, file: SourceFile) -> None:
        self.size = 0
        self._transfer, self._file = transfer, file
        self._name = f"{file.relpath} of {transfer.reader.uri}" if file.relpath else transfer.reader.uri

    def read(self, sink: BinaryIO | None) -> Content:
        transfer, announced = self._transfer, self._file.size
        md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        with transfer.reader.open(self._file) as stream:
            while block := stream.read(BLOCK):
                if transfer.stop.is_set():
                    raise StoppedError("stopped")
                transfer.allowance.take(len(block))
                self.size += len(block)
                transfer.progress.advance(len(block))
                if announced is not None and self.size > announced:
                    raise CanonError(
                        f"{self._name} has more than the {announced:,} bytes that were announced: it changes while it is "
                        "read; wait until it is complete, then run the command again"
                    )
                md5.update(block)
                sha256.update(block)
                if sink is not None:
                    sink.write(block)
        if announced is not None and self.size != announced:
            raise TransientError(
                f"{self._name} ended after {self.size:,} of {announced:,} bytes: the connection was cut, or it changes while "
                "it is read; try again"
            )
        return Content(self._file.relpath, self.size, md5.hexdigest(), sha256.hexdigest())


def read_all(
    files: Iterable[SourceFile], read: Callable[[SourceFile], Content], *, jobs: int, stop: threading.Event
) -> list[Content]:
    """Read files with ``jobs`` threads; return their contents in the order of their paths.

    The first error, in time, is raised; it sets ``stop``, as an interruption of the calling thread does.
    """
    waiting, lock = iter(files), threading.Lock()
    contents: list[Content] = []
    errors: list[BaseException] = []

    def work() -> None:
        while not stop.is_set():
            with lock:
                file = next(waiting, None)
            if file is None:
                return
            try:
                content = read(file)
            except BaseException as error:  # noqa: BLE001  it is raised in the calling thread
                with lock:
                    errors.append(error)
                stop.set()
                return
            with lock:
                contents.append(content)

    if jobs == 1:
        work()
    else:
        with concurrent.futures.ThreadPoolExecutor(max_workers=jobs) as pool:
            try:
                concurrent.futures.wait([pool.submit(work) for _ in range(jobs)])
            except BaseException:
                stop.set()
                raise
    if errors:
        raise errors[0]
    return sorted(contents, key=lambda content: content.relpath)


def pin_of(contents: Sequence[Content], *, is_folder: bool) -> Pin:
    """The pin of what was read."""
    if not is_folder:
        (content,) = contents
        return Pin(sha256=content.sha256, md5=content.md5, size=content.size)
    return Pin(
        sha256=folder_sha256((content.relpath, content.size, content.sha256) for content in contents),
        md5=folder_md5((content.relpath, content.md5) for content in contents),
        size=sum(content.size for content in contents),
        nfiles=len(contents),
    )
