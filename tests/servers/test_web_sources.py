"""How files of web servers are read: whole, as they are sent, and again when that fails."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest

from canon.data import retry
from canon.data.errors import StoppedError
from canon.data.get import fetch_source
from canon.data.pin import pin_source
from canon.data.progress import Silent
from canon.data.sources import calls
from canon.data.sources import web as web_module
from canon.model.errors import CanonError, SourceChangedError
from canon.model.pins import Pin, Source
from tests.servers.conftest import Handler, Web, pin_of, send

pytestmark = pytest.mark.usefixtures("direct")


def test_a_file_is_pinned_and_brought(web: Web, tmp_path: Path) -> None:
    content = os.urandom(9_000_001)
    uri = web.serve("/co2/weekly.csv", content, ETag='"abc"', Last_Modified="Tue, 24 Nov 2026 08:00:00 GMT")
    pin, source = pin_source(uri, root=tmp_path)
    assert (pin, source) == (pin_of(tmp_path, content), Source(uri=uri, etag="abc"))
    assert web.count("GET") == 1
    target = tmp_path / "data" / "raw.csv"
    assert fetch_source(source, pin, target, root=tmp_path) is True
    assert target.read_bytes() == content
    web.answers.clear()
    asked = len(web.requests)
    assert fetch_source(source, pin, target, root=tmp_path) is False
    assert len(web.requests) == asked


@pytest.mark.parametrize("content", [b"", b"one\n"])
@pytest.mark.parametrize("framing", ["chunked", "until the end"])
def test_a_server_need_not_say_the_length(web: Web, tmp_path: Path, framing: str, content: bytes) -> None:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        if framing == "chunked":
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Connection", "close")
        handler.end_headers()
        if handler.command == "GET":
            chunk = b"%x\r\n%s\r\n" % (len(content), content) if content else b""
            handler.wfile.write(chunk + b"0\r\n\r\n" if framing == "chunked" else content)

    pin, source = pin_source(web.script("/x.csv", answer), root=tmp_path)
    assert (pin, source.etag) == (pin_of(tmp_path, content), None)
    assert fetch_source(source, pin, tmp_path / "x.csv", root=tmp_path)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
def test_a_server_need_not_know_head(web: Web, tmp_path: Path, status: int) -> None:
    uri = web.script(
        "/x.csv", lambda handler: send(handler, status) if handler.command == "HEAD" else send(handler, 200, b"one\n")
    )
    assert pin_source(uri, root=tmp_path)[0] == pin_of(tmp_path, b"one\n")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "no source {uri} (HTTP 404); check the URI"),
        (410, "no source {uri}"),
        (401, "no right to read {uri} (HTTP 401); check the credentials in ~/.netrc"),
        (403, "no right to read {uri}"),
        (416, "cannot read {uri}: the server refuses (HTTP 416)"),
        (204, "HTTP 204 instead of a file"),
        (206, "HTTP 206 instead of a file"),
        (500, "cannot read {uri}: the server is busy or broken (HTTP 500)"),
        (429, "the server is busy"),
    ],
)
def test_an_answer_that_refuses_is_explained(web: Web, tmp_path: Path, status: int, said: str) -> None:
    uri = web.script("/x.csv", lambda handler: send(handler, status))
    with pytest.raises(CanonError) as caught:
        pin_source(uri, root=tmp_path)
    assert said.format(uri=uri) in str(caught.value)
    assert web.count("GET") == (retry.ATTEMPTS if status in {429, 500} else 1)


@pytest.mark.parametrize("path", ["", "/", "/co2/", "/co2/?x=1"])
def test_a_folder_is_refused(web: Web, tmp_path: Path, path: str) -> None:
    with pytest.raises(CanonError, match="a web server has no folders to list"):
        pin_source(f"{web.url}{path}", root=tmp_path)
    assert web.requests == []


def test_a_server_that_is_down_is_said(tmp_path: Path) -> None:
    with pytest.raises(CanonError, match=r"cannot read http://127.0.0.1:9/x.csv: .*check the network"):
        pin_source("http://127.0.0.1:9/x.csv", root=tmp_path)


def test_a_host_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CanonError, match=r"cannot read http://no-such-host.invalid/x.csv"):
        pin_source("http://no-such-host.invalid/x.csv", root=tmp_path)


def test_a_silent_server_is_not_waited_for_for_ever(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_module, "SILENCE", 0.1)
    monkeypatch.setattr(retry, "ATTEMPTS", 2)
    free = threading.Event()

    def wait(handler: Handler) -> None:
        free.wait(20)
        send(handler, 200, b"one\n")

    try:
        with pytest.raises(CanonError, match=r"cannot read .*Timeout"):
            pin_source(web.script("/x.csv", wait), root=tmp_path)
    finally:
        free.set()


def cut(handler: Handler, content: bytes, sent: int, *, reset: bool) -> None:
    """Announce all of a content and send a part of it; end politely or by a reset."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(content[:sent])
        handler.wfile.flush()
        if reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            handler.connection.close()


class Summing(Silent):
    def __init__(self) -> None:
        self.read = 0

    def advance(self, count: int) -> None:
        self.read += count


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_connection_is_tried_again_from_the_start(web: Web, tmp_path: Path, reset: bool) -> None:  # noqa: FBT001
    content = os.urandom(6_000_000)

    def answer(handler: Handler) -> None:
        if handler.command == "GET" and web.count("GET") < 3:
            cut(handler, content, 5_000_000, reset=reset)
        else:
            send(handler, 200, content)

    uri = web.script("/x.csv", answer)
    progress = Summing()
    assert fetch_source(
        Source(uri=uri), pin_of(tmp_path, content), tmp_path / "x.csv", root=tmp_path, progress=progress
    )
    assert (tmp_path / "x.csv").read_bytes() == content
    assert progress.read == len(content)
    assert web.count("GET") == 3


def test_a_connection_that_is_always_cut_is_given_up(web: Web, tmp_path: Path) -> None:
    content = os.urandom(100_000)
    uri = web.script("/x.csv", lambda handler: cut(handler, content, 50_000, reset=False))
    (tmp_path / "x.csv").write_bytes(b"old")
    with pytest.raises(CanonError, match=rf"cannot read {uri}: .*try again"):
        fetch_source(Source(uri=uri), pin_of(tmp_path, content), tmp_path / "x.csv", root=tmp_path)
    with pytest.raises(CanonError, match=rf"cannot read {uri}: .*try again"):
        pin_source(uri, root=tmp_path)
    assert web.count("GET") == 2 * retry.ATTEMPTS
    assert (tmp_path / "x.csv").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["content", "x.csv"]


def test_a_changed_file_of_the_same_size_is_found(web: Web, tmp_path: Path) -> None:
    pin, source = pin_source(web.serve("/x.csv", b"one\n"), root=tmp_path)
    uri = web.serve("/x.csv", b"two\n")
    with pytest.raises(SourceChangedError) as caught:
        fetch_source(source, pin, tmp_path / "x.csv", root=tmp_path)
    for part in (uri, pin.sha256[:12], pin_of(tmp_path, b"two\n").sha256[:12], "canon data pin"):
        assert part in str(caught.value)
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize("header", ["ETag", "Last_Modified", "Content_Length"])
@pytest.mark.parametrize("when", ["before it is opened", "before it is read to its end"])
def test_a_file_that_changes_while_it_is_pinned_is_refused(web: Web, tmp_path: Path, header: str, when: str) -> None:
    asked: list[str] = []

    def answer(handler: Handler) -> None:
        asked.append(handler.command)
        new = len(asked) > (1 if when == "before it is opened" else 2)
        values = {"ETag": ('"1"', '"2"'), "Last_Modified": ("yesterday", "today"), "Content_Length": ("4", "5")}[header]
        send(handler, 200, b"two\n\n" if new and header == "Content_Length" else b"one\n", **{header: values[new]})

    with pytest.raises(CanonError, match="changed while it was read"):
        pin_source(web.script("/x.csv", answer), root=tmp_path)


def test_endless_bytes_end_with_the_pinned_size(web: Web, tmp_path: Path) -> None:
    sent: list[int] = []

    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        while handler.command == "GET":
            sent.append(handler.wfile.write(b"x" * 100_000))

    uri = web.script("/x.csv", endless)
    pin = Pin(sha256="0" * 64, md5="0" * 32, size=1_000)
    with pytest.raises(SourceChangedError, match="more than 1,000 bytes now"):
        fetch_source(Source(uri=uri), pin, tmp_path / "x.csv", root=tmp_path)
    assert sum(sent) < 64_000_000
    assert list(tmp_path.iterdir()) == []


def test_a_file_announced_larger_than_pinned_is_not_asked_for(web: Web, tmp_path: Path) -> None:
    uri = web.serve("/x.csv", b"longer\n")
    with pytest.raises(SourceChangedError, match="more files or bytes now"):
        fetch_source(Source(uri=uri), pin_of(tmp_path, b"one\n"), tmp_path / "x.csv", root=tmp_path)
    assert web.count("GET") == 0


def test_bytes_are_taken_as_they_are_sent(web: Web, tmp_path: Path) -> None:
    packed = gzip.compress(b"one\n")
    uri = web.serve("/x.csv.gz", packed, Content_Encoding="gzip")  # as servers do with such a name
    assert pin_source(uri, root=tmp_path)[0] == pin_of(tmp_path, packed)
    assert {headers["Accept-Encoding"] for _, _, headers in web.requests} == {"identity"}
    with pytest.raises(CanonError, match=r"compressed \('gzip'\)"):
        pin_source(web.serve("/x.csv", packed, Content_Encoding="gzip"), root=tmp_path)


@pytest.mark.parametrize("etag", ["x" * 1_000, "\u00e4", "\x07bell"])
def test_an_etag_that_is_none_is_not_written_down(web: Web, tmp_path: Path, etag: str) -> None:
    uri = web.script("/x.csv", lambda handler: send(handler, 200, b"one\n", ETag=f'"{etag}"'))
    try:
        _, source = pin_source(uri, root=tmp_path)
    except CanonError as error:
        assert "cannot read" in str(error)  # noqa: PT017  aiohttp refuses control characters by itself
    else:
        assert source.etag is None


def test_a_pin_is_of_another_kind_than_a_web_file(web: Web, tmp_path: Path) -> None:
    pin = Pin(sha256="0" * 64, md5="0" * 32 + ".dir", size=1, nfiles=1)
    with pytest.raises(SourceChangedError, match="a file, no folder, now"):
        fetch_source(Source(uri=web.serve("/x.csv", b"x")), pin, tmp_path / "x", root=tmp_path)


def test_memory_does_not_grow_with_the_file(web: Web, tmp_path: Path) -> None:
    size, piece = 64_000_000, b"x" * 1_000_000

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        for _ in range(size // len(piece) if handler.command == "GET" else 0):
            handler.wfile.write(piece)

    uri = web.script("/x.csv", answer)
    tracemalloc.start()
    try:
        pin, _ = pin_source(uri, root=tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pin.size == size
    assert peak < 24_000_000


IMPORTED = "import sys, canon.data.get, canon.data.pin, canon.model.pins; print([name for name in ('fsspec', 's3fs', 'aiohttp', 'botocore', 'dvc', 'asyncio', 'pydantic.v1') if name in sys.modules])"


def test_importing_loads_no_client() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_call_that_is_stopped_is_cancelled() -> None:
    stop, cancelled = threading.Event(), threading.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    stop.set()
    with pytest.raises(StoppedError):
        calls.Calls(stop).wait(wait())
    assert cancelled.wait(10)
