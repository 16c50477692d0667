"""A file that is written beside whoever makes its bytes: on two cores, hashing and writing a gigabyte take the time of one of them."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Self

BLOCK = 256 * 1024
"""Bytes that are handed over at once: small ones are gathered, or handing over would cost more than writing."""
MOST = 8
"""Blocks that may wait: what bounds the memory."""


class Writer:
    """Writes to an open file in a thread of its own. Errors are raised by the next call, or at the end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="canon-write")
        self._waiting: deque[Future[None]] = deque()
        self._small: list[bytes] = []
        self._gathered = 0

    def write(self, chunk: bytes) -> None:
        """Take some bytes. Raises OSError of bytes that came before."""
        self._small.append(chunk)
        self._gathered += len(chunk)
        if self._gathered >= BLOCK:
            self._hand_over()

    def _hand_over(self) -> None:
        if len(self._waiting) == MOST:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._file.writelines, self._small))
        self._small, self._gathered = [], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._hand_over()
                for each in self._waiting:
                    each.result()
        finally:
            self._thread.shutdown(cancel_futures=True)
