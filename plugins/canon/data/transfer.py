"""Reading a source once: every byte hashed on its way, files side by side, memory constant."""

from __future__ import annotations

import concurrent.futures
import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from canon.data.progress import Progress
from canon.data.sources import SourceFile, SourceReader
from canon.model.errors import CanonError
from canon.model.pins import Pin, folder_md5, folder_sha256

CHUNK = 4 * 1024 * 1024
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Content:
    """What was read of one file: size in bytes and hashes."""

    relpath: str
    size: int
    md5: str
    sha256: str


class TooLongError(CanonError):
    """A source sends more bytes than it may."""


def read_content(
    reader: SourceReader, file: SourceFile, *, into: Callable[[], BinaryIO] | None = None, limit: int | None = None,
    progress: Progress, stop: threading.Event | None = None,
) -> Content:  # fmt: skip
    """Read one file, hash it, and write it to what ``into`` opens; a cut connection is tried again from the start.

    Raises TooLongError beyond ``limit`` bytes, CanonError when no attempt reaches the end.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _read_once(reader, file, into, limit, progress, stop)
        except TooLongError:
            raise
        except CanonError:
            if attempt == ATTEMPTS or (stop is not None and stop.is_set()):
                raise
            time.sleep(0.3 * 2**attempt)
    raise AssertionError


def _read_once(
    reader: SourceReader,
    file: SourceFile,
    into: Callable[[], BinaryIO] | None,
    limit: int | None,
    progress: Progress,
    stop: threading.Event | None,
) -> Content:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    size = 0
    sink = into() if into is not None else None
    try:
        with reader.open(file) as stream:
            while chunk := stream.read(CHUNK):
                if stop is not None and stop.is_set():
                    raise CanonError("stopped")
                size += len(chunk)
                if limit is not None and size > limit:
                    raise TooLongError(f"more than {limit:,} bytes arrive")
                md5.update(chunk)
                sha256.update(chunk)
                if sink is not None:
                    sink.write(chunk)
                progress.advance(len(chunk))
    finally:
        if sink is not None:
            sink.close()
    if file.size is not None and size != file.size:
        progress.advance(-size)
        raise CanonError(
            f"{file.relpath or 'the source'}: {size:,} bytes arrived, {file.size:,} were announced; it was cut off, or it changes while it is read"
        )
    return Content(file.relpath, size, md5.hexdigest(), sha256.hexdigest())


def read_all(
    files: Sequence[SourceFile], read: Callable[[SourceFile, threading.Event], Content], jobs: int
) -> list[Content]:
    """Read files side by side, in their order; the first error stops the others."""
    stop = threading.Event()
    if len(files) == 1 or jobs == 1:
        return [read(file, stop) for file in files]
    with concurrent.futures.ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            return list(pool.map(lambda file: read(file, stop), files))
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


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
