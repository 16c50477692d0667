"""A proxy before a server, which a test scripts: it refuses, waits, breaks off, loses an answer, or kills whoever sends a request."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

END = 30.0
"""Seconds in which a client that was killed is gone."""


@dataclass(frozen=True)
class Call:
    """One request to the proxy. ``path`` is without the query."""

    method: str
    path: str
    handler: BaseHTTPRequestHandler
    body: bytes = b""

    def wait_for_end(self) -> None:
        """Wait until whoever sent it has closed the connection, as the kernel does for a process that ends."""
        self.handler.connection.settimeout(END)
        with contextlib.suppress(ConnectionError):
            while self.handler.connection.recv(1024):
                pass


Verdict = str | Callable[[], object]
Script = Callable[[Call], Verdict]
"""What the proxy does with a request: `pass` it on, `lose` its answer, `cut` that in the middle, `drop` it, or `done`: the script itself
has answered. A callable is called when the server has answered, and its answer is lost, too."""


@dataclass
class Proxy:
    """A web server that passes requests on to another one, unless its script says otherwise."""

    url: str
    target: str
    script: Script = lambda _: "pass"
    calls: list[str] = field(default_factory=list)


def answer(call: Call, status: int, body: bytes = b"") -> str:
    """Answer a request instead of the server."""
    call.handler.send_response(status)
    call.handler.send_header("Content-Length", str(len(body)))
    call.handler.end_headers()
    if call.method != "HEAD":
        call.handler.wfile.write(body)
    return "done"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # else who asks whether to go on waits a second for an answer
    proxy: Proxy

    def serve(self) -> None:
        self.close_connection = True
        body = _body(self)
        path = self.path.partition("?")[0]
        self.proxy.calls.append(f"{self.command} {path}")
        with contextlib.suppress(ConnectionError, TimeoutError):
            verdict = self.proxy.script(Call(self.command, path, self, body))
            if verdict == "done":
                return
            if verdict != "drop":
                self._pass(verdict, body)
            if verdict != "pass":
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)

    def _pass(self, verdict: Verdict, body: bytes) -> None:
        status, headers, content = forward(self.proxy.target, self.command, self.path, dict(self.headers), body)
        if callable(verdict):
            verdict()
            return
        if verdict == "lose":
            return
        length = str(len(content))
        self.send_response(status)
        for name, value in headers:
            if name.lower() == "content-length":
                length = value if self.command == "HEAD" else length
            elif name.lower() not in {"transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if verdict == "cut" else content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve  # noqa: N815  the base class's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        del format, args


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is not ours to report."""


@contextlib.contextmanager
def proxy_to(target: str) -> Iterator[Proxy]:
    """A proxy before a server; ``target`` may be empty where the script answers everything."""
    proxy = Proxy("", target)
    with Server(("127.0.0.1", 0), type("Bound", (Handler,), {"proxy": proxy})) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        proxy.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield proxy
        finally:  # a test that fails would never end
            server.shutdown()
            thread.join()


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    """The body of a request, also one that is sent in chunks."""
    if handler.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    found = b""
    while size := int(handler.rfile.readline().partition(b";")[0], 16):
        found += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return found


def forward(
    target: str, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Send a request on, with the host that it was sent to: that is signed. Return status, headers and body of the answer."""
    parts = urlsplit(target)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    left_out = {"accept-encoding", "transfer-encoding", "content-length", "expect", "connection"}
    try:
        connection.request(
            method, path, body or None, {name: value for name, value in headers.items() if name.lower() not in left_out}
        )
        response = connection.getresponse()
        return response.status, response.getheaders(), response.read()
    finally:
        connection.close()


class Gate:
    """A script that does something, a kill mostly, when the ``number``-th request comes that it is for; all others pass.

    ``asked``: method and a part of the path, a regular expression. The server gets the request only with ``after``; the answer gets nobody.
    """

    def __init__(self, asked: str, act: Callable[[], object], *, after: bool = False, number: int = 1) -> None:
        self._method, _, self._part = asked.partition(" ")
        self._act, self._after, self._left = act, after, number
        self._lock = threading.Lock()
        self.reached = threading.Event()

    def __call__(self, call: Call) -> Verdict:
        if call.method != self._method or not re.search(self._part, call.path):
            return "pass"
        with self._lock:
            self._left -= 1
            if self._left != 0:
                return "pass"

        def end() -> None:
            self.reached.set()
            self._act()
            call.wait_for_end()

        if self._after:
            return end
        end()
        return "drop"
