"""A real `mlflow server`, and a proxy before it that a test scripts: it refuses, waits, breaks off or loses an answer."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

START = 120.0
"""Seconds that a server may take to answer."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """URL of an MLflow server with a store of its own in ``folder``, which keeps the artifacts, too."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
               "--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "artifacts")]  # fmt: skip
    # Else eight more processes import MLflow, to wait for jobs of language models.
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            end = time.monotonic() + START
            while not answers(port):
                assert process.poll() is None, (folder / "server.log").read_text()
                assert time.monotonic() < end, (folder / "server.log").read_text()
                time.sleep(0.2)
            yield url
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def answers(port: int) -> bool:
    """Tell whether an MLflow server is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@dataclass(frozen=True)
class Call:
    """One request to the proxy. ``path`` is without the query."""

    method: str
    path: str
    handler: BaseHTTPRequestHandler


Script = Callable[[Call], str]
"""What the proxy does with a request: `pass` it on, `lose` its answer, or `done`: the script itself has answered."""


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
    call.handler.wfile.write(body)
    return "done"


@contextlib.contextmanager
def proxy_to(target: str) -> Iterator[Proxy]:
    """A proxy before a server; ``target`` may be empty where the script answers everything."""
    proxy = Proxy("", target)

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            proxy.calls.append(f"{self.command} {path}")
            with contextlib.suppress(ConnectionError):
                verdict = proxy.script(Call(self.command, path, self))
                if verdict == "done":
                    return
                status, headers, content = forward(proxy.target, self.command, self.path, dict(self.headers), body)
                if verdict == "lose":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815  the base class's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            del format, args

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        proxy.url = f"http://127.0.0.1:{server.server_port}"
        yield proxy
        server.shutdown()
        thread.join()


def forward(
    target: str, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Send a request on; return status, headers and body of the answer."""
    parts = urlsplit(target)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    try:
        kept = {name: value for name, value in headers.items() if name.lower() not in {"host", "accept-encoding"}}
        connection.request(method, path, body, kept)
        response = connection.getresponse()
        return response.status, response.getheaders(), response.read()
    finally:
        connection.close()
