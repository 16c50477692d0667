"""A proxy before an S3 server that counts what passes, by the keys of objects."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import SplitResult, unquote, urlsplit

HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})
"""Headers of one connection, and those that this server writes by itself."""


@dataclass(frozen=True)
class Passed:
    """A request that was answered. ``key``: of the object, or empty for one to the bucket; the sizes are those of the bodies."""

    method: str
    bucket: str
    key: str
    status: int
    sent: int
    received: int


@dataclass
class Counted:
    """What has passed; ``url`` takes the place of the server's."""

    url: str = ""
    passed: list[Passed] = field(default_factory=list)

    def clear(self) -> None:
        """Begin anew."""
        self.passed.clear()

    def read(self, prefix: str) -> dict[str, list[int]]:
        """The objects whose bytes were sent to somebody: key → bytes of each answer."""
        found: dict[str, list[int]] = {}
        for each in self.passed:
            if each.method == "GET" and each.status in {200, 206} and each.key.startswith(prefix):
                found.setdefault(each.key, []).append(each.received)
        return found

    def written(self, prefix: str) -> dict[str, int]:
        """The objects that were written: key → bytes."""
        return {
            each.key: each.sent
            for each in self.passed
            if each.method in {"PUT", "POST"} and each.key.startswith(prefix) and each.key
        }

    def requests(self) -> Counter[str]:
        """How many requests of each method."""
        return Counter(each.method for each in self.passed)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


class Handler(BaseHTTPRequestHandler):
    """Passes a request on. The header Host stays as it is: a client signs it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    target: SplitResult
    counted: Counted

    def _serve(self) -> None:
        body = self._body()
        connection = http.client.HTTPConnection(str(self.target.hostname), self.target.port, timeout=60)
        with contextlib.closing(connection), contextlib.suppress(ConnectionError):
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {*HOP, "expect"}:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
            bucket, _, key = unquote(self.path.partition("?")[0]).removeprefix("/").partition("/")
            self.counted.passed.append(Passed(self.command, bucket, key, answer.status, len(body), len(content)))
            self._answer(answer, content)

    def _answer(self, answer: http.client.HTTPResponse, content: bytes) -> None:
        self.send_response_only(answer.status)
        size = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        for name, value in answer.getheaders():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", size)
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  the base class's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        del format, args


@contextlib.contextmanager
def counted(endpoint: str) -> Iterator[Counted]:
    """A proxy before the server at an endpoint."""
    found = Counted()
    handler = type("Bound", (Handler,), {"target": urlsplit(endpoint), "counted": found})
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()
        thread.join()
