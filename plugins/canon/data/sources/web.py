"""Sources on web servers, read with aiohttp on fsspec's event loop.

fsspec's own HTTPFileSystem says "file not found" to a 403, a 500 and a server that is down, and would decompress.
"""

from __future__ import annotations

import contextlib
import ipaddress
import posixpath
import socket
import threading
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import urlsplit

from canon.data.retry import retried
from canon.data.sources.calls import CONNECT, SILENCE, Calls
from canon.data.sources.explain import explained_web, refusal
from canon.data.sources.reader import SourceFile
from canon.data.sources.streams import RemoteStream, etag_from_header
from canon.model.errors import CanonError

METADATA = ipaddress.ip_address("fd00:ec2::254")
"""A cloud's metadata service on IPv6; on IPv4 it is link-local."""
COMPRESSED = {
    "gzip": (".gz", ".tgz"),
    "x-gzip": (".gz", ".tgz"),
    "br": (".br",),
    "zstd": (".zst",),
    "compress": (".Z",),
}
"""Suffixes of files that servers like to serve with a Content-Encoding, though nobody asked for one."""


@contextlib.contextmanager
def open_web(uri: str, *, stop: threading.Event) -> Iterator[WebReader]:
    """Open one file on a web server. Raises CanonError.

    Hosts in the private network are allowed, link-local addresses are not, wherever they come from (the URI, DNS or a
    redirect): a cloud's metadata service hands out the machine's credentials there.
    """
    path = urlsplit(uri).path
    if not path or path.endswith("/"):
        raise CanonError(f"{uri}: a web server has no folders to list; name one file, or use s3:// for a folder")
    calls = Calls(stop)
    guard = _Guard()
    with explained_web(uri):
        session = calls.wait(guard.session())
    try:
        yield WebReader(uri, session, guard, calls, stop)
    finally:
        calls.end(session.close())


class _Guard:
    """Looks at every address that is about to be connected."""

    def __init__(self) -> None:
        self.refused: str | None = None

    async def session(self) -> Any:  # noqa: ANN401  aiohttp is imported late
        import aiohttp

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=4, socket_factory=self.socket),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=True,  # proxies and ~/.netrc
        )

    def socket(self, address: Any) -> socket.socket:  # noqa: ANN401  what getaddrinfo gives
        """Make the socket for an address. Raises OSError for one that no dataset lies at."""
        family, kind, protocol, _, place = address
        host = ipaddress.ip_address(str(place[0]).partition("%")[0])
        if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped is not None:
            host = host.ipv4_mapped
        if host.is_link_local or host == METADATA:
            self.refused = str(host)
            raise PermissionError("refused")
        return socket.socket(family, kind, protocol)


class WebReader:
    """One file on a web server."""

    kind: Literal["file", "folder"] = "file"

    def __init__(self, uri: str, session: Any, guard: _Guard, calls: Calls, stop: threading.Event) -> None:  # noqa: ANN401
        self.uri = uri
        self._session, self._guard, self._calls, self._stop = session, guard, calls, stop

    def files(self) -> Iterator[SourceFile]:
        """Yield the one file."""
        yield retried(self._describe, self._stop)

    def _describe(self) -> SourceFile:
        try:
            with self._answer("HEAD") as answer:
                return _file(answer)
        except CanonError:
            # Servers that know no HEAD say so in many ways: what GET answers is believed.
            with self._answer("GET") as answer:
                return _file(answer)

    @contextlib.contextmanager
    def _answer(self, method: str) -> Iterator[Any]:
        try:
            with explained_web(self.uri):
                answer = self._calls.wait(self._session.request(method, self.uri, allow_redirects=True))
        except CanonError:
            if self._guard.refused:
                raise CanonError(
                    f"{self.uri} leads to {self._guard.refused}, which is this machine's own metadata service, not a "
                    "dataset's place; declare another source"
                ) from None
            raise
        try:
            self._check(answer)
            yield answer
        finally:
            self._calls.end(_close(answer))

    def _check(self, answer: Any) -> None:  # noqa: ANN401  aiohttp's answer
        if answer.status >= 400:  # noqa: PLR2004  HTTP's own number
            raise refusal(self.uri, answer.status)
        if answer.status != 200:  # noqa: PLR2004  HTTP's own number
            raise CanonError(
                f"cannot read {self.uri}: the server answers HTTP {answer.status} instead of a file; check the URI"
            )
        if self.uri.lower().startswith("https:") and any(
            hop.url.scheme != "https" for hop in (*answer.history, answer)
        ):
            raise CanonError(
                f"{self.uri} redirects to http://, where anyone on the way can change it; declare another source"
            )
        encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        suffix = posixpath.splitext(urlsplit(self.uri).path)[1]
        if encoding not in {"", "identity"} and suffix not in COMPRESSED.get(encoding, ()):
            raise CanonError(
                f"{self.uri}: the server sends it compressed ({encoding[:20]!r}) though plain bytes are asked for, and such "
                "bytes are not stable; declare another source"
            )

    @contextlib.contextmanager
    def open(self, file: SourceFile) -> Iterator[RemoteStream]:
        """Open the file. Raises CanonError when it is another one than was described."""
        with self._answer("GET") as answer:
            now = _file(answer)
            for before, after in ((file.etag, now.etag), (file.stamp, now.stamp), (file.size, now.size)):
                if before is not None and after is not None and before != after:
                    raise CanonError(
                        f"{self.uri} changed while it was read; wait until it is complete, then run the command again"
                    )
            yield RemoteStream(self.uri, answer.content, self._calls, explained_web)


async def _close(answer: Any) -> None:  # noqa: ANN401  aiohttp's answer
    answer.close()


def _file(answer: Any) -> SourceFile:  # noqa: ANN401  aiohttp's answer
    length = answer.headers.get("Content-Length", "")
    return SourceFile(
        "",
        int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None,  # noqa: PLR2004  digits of 2**64
        etag_from_header(answer.headers.get("ETag")),
        stamp=answer.headers.get("Last-Modified"),
    )
