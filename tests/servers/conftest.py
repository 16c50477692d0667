"""Real servers on loopback, each on a port of its own: a web server that a test scripts; S3 is in the conftest above."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from canon.data import retry
from canon.data.pin import pin_source
from canon.image import wire
from canon.model.pins import Pin
from tests.conftest import S3
from tests.registry import Registry

__all__ = ["S3", "Handler", "Web", "listing", "not_found", "pin_of", "send"]


@pytest.fixture(scope="session", autouse=True)
def _one_reading_of_the_api() -> Iterator[None]:
    """Every client reads S3's API anew from 1 MB of JSON, which is a third of these tests' time."""
    from botocore.loaders import JSONFileLoader

    with pytest.MonkeyPatch.context() as patch:
        read = functools.cache(functools.partial(JSONFileLoader.load_file, JSONFileLoader()))
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: read(path))
        yield


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried again soon."""
    monkeypatch.setattr(retry, "BACKOFF", 0.01)


Handler = BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


@dataclass
class Web:
    """A web server: path → what it does with a GET or HEAD there; other paths are not found."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def serve(self, path: str, content: bytes, **headers: str) -> str:
        """Serve plain bytes; return their URL."""

        def answer(handler: Handler) -> None:
            send(handler, 200, content, **headers)

        return self.script(path, answer)

    def script(self, path: str, answer: Answer) -> str:
        """Serve a path by a function; return its URL."""
        self.answers[path] = answer
        return f"{self.url}{path}"

    def count(self, method: str) -> int:
        return sum(1 for request, _, _ in self.requests if request == method)


def send(handler: Handler, status: int, content: bytes = b"", **headers: str) -> None:
    """Answer whole, with a length; ``_`` in a header's name stands for ``-``."""
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(content)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(content)


def not_found(handler: Handler) -> None:
    send(handler, 404)


def listing(*keys: str, more: str = "", size: int = 4) -> bytes:
    """S3's answer to ListObjectsV2; ``more`` is the token of the next page."""
    truncated = ""
    if more:
        truncated = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{escape(more)}</NextContinuationToken>"
    items = "".join(f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size></Contents>" for key in keys)
    return f'<?xml version="1.0"?><ListBucketResult>{truncated}{items}</ListBucketResult>'.encode()


@pytest.fixture
def web(direct: None) -> Iterator[Web]:  # noqa: ARG001  a fixture for its effect
    """A web server without paths yet."""
    site = Web("")

    class Scripted(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True  # one answer a connection: a script may leave anything behind
            site.requests.append((self.command, self.path, dict(self.headers)))
            with contextlib.suppress(ConnectionError):
                site.answers.get(self.path.partition("?")[0], not_found)(self)

        do_HEAD = do_GET  # noqa: N815  the base class's name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            del format, args

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Scripted) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_port}"
        yield site
        server.shutdown()
        thread.join()


def pin_of(folder: Path, content: bytes) -> Pin:
    """The pin of bytes, by way of a local file."""
    (folder / "content").write_bytes(content)
    return pin_source("content", root=folder)[0]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """Nobody waits, and no file of the user's own is read."""
    found: list[float] = []
    monkeypatch.setattr(wire, "pause", found.append)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return found


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as found:
        yield found
