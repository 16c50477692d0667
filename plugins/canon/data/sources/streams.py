"""The body of a server's answer as a stream of large blocks."""

from __future__ import annotations

from typing import Protocol

from canon.data.sources.calls import Calls
from canon.data.sources.explain import Explained

MAX_ETAG = 200


class Body(Protocol):
    """What aiohttp's and aiobotocore's bodies have in common."""

    async def read(self, size: int, /) -> bytes:
        """Return what is there, at most ``size`` bytes."""
        ...


class RemoteStream:
    """Blocks of a body, each filled before it is handed on: a server's own pieces are small. Memory stays constant."""

    def __init__(self, uri: str, body: Body, calls: Calls, explained: Explained) -> None:
        self._uri, self._body, self._calls, self._explained = uri, body, calls, explained

    def read(self, size: int, /) -> bytes:
        """Return ``size`` bytes, fewer only at the end. Raises TransientError for a connection that is cut or silent."""
        with self._explained(self._uri):
            return self._calls.wait(self._fill(size))

    async def _fill(self, size: int) -> bytes:
        block = bytearray()
        while len(block) < size and (piece := await self._body.read(size - len(block))):
            block += piece
        return bytes(block)


def etag_from_header(header: object) -> str | None:
    """Return an ETag without its quotes; None for what no honest server sends: it is written to a file in Git."""
    text = str(header or "")
    if not text.isascii() or not text.isprintable() or len(text) > MAX_ETAG:
        return None
    return text.removeprefix('"').removesuffix('"') or None
