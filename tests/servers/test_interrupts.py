from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from canon.data.get import fetch_source
from canon.data.pin import pin_source
from canon.model.errors import CanonError
from canon.model.pins import Pin, Source
from tests.servers.conftest import Handler, Web, listing, send

pytestmark = pytest.mark.usefixtures("credentials")
CONTENT = b"x" * 3_000_000
FETCH = """
import sys
from pathlib import Path
from canon.data.get import fetch_source
from canon.model.pins import Pin, Source
root = Path(sys.argv[1])
fetch_source(Source(uri=sys.argv[2]), Pin.model_validate_json(sys.argv[3]), root / "data" / "raw", root=root, endpoint=sys.argv[4])
"""


class Stuck:
    """A server that stops in the middle of a body until it is let go."""

    def __init__(self, web: Web) -> None:
        self.web, self.reached, self.free = web, threading.Event(), threading.Event()

    def __call__(self, handler: Handler) -> None:
        if self.free.is_set() or handler.command == "HEAD":
            send(handler, 200, CONTENT)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT[:2_000_000])
        handler.wfile.flush()
        self.reached.set()
        self.free.wait(60)


@pytest.fixture
def stuck(web: Web) -> Iterator[Stuck]:
    server = Stuck(web)
    yield server
    server.free.set()


def prepare(web: Web, stuck: Stuck, kind: str, tmp_path: Path) -> tuple[str, Pin, Path]:
    root = tmp_path / "repository"
    (root / "data").mkdir(parents=True)
    if kind == "file":
        (tmp_path / "content").write_bytes(CONTENT)
        (root / "data" / "raw").write_bytes(b"old")
        uri = web.script("/x.csv", stuck)
    else:
        (tmp_path / "content").mkdir()
        for name in ("a", "b", "c"):
            (tmp_path / "content" / name).write_bytes(CONTENT)
            web.script(f"/bucket/raw/{name}", stuck)
        (root / "data" / "raw").mkdir()
        (root / "data" / "raw" / "old.csv").write_bytes(b"old")
        web.serve("/bucket", listing("raw/a", "raw/b", "raw/c", size=len(CONTENT)))
        uri = "s3://bucket/raw/"
    return uri, pin_source("content", root=tmp_path)[0], root


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.soak), signal.SIGINT]
)
def test_an_interrupted_get_leaves_the_old_data(
    web: Web, stuck: Stuck, tmp_path: Path, kind: str, number: signal.Signals
) -> None:
    uri, pin, root = prepare(web, stuck, kind, tmp_path)
    before = files(root)
    process = subprocess.Popen(
        [sys.executable, "-c", FETCH, str(root), uri, pin.model_dump_json(), web.url], stderr=subprocess.PIPE, text=True
    )
    try:
        assert stuck.reached.wait(60)
        process.send_signal(number)
        _, said = process.communicate(timeout=20)  # although the server is still silent
    finally:
        process.kill()
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: -2}[number]
    assert "Traceback" not in said or number == signal.SIGINT  # the command line catches KeyboardInterrupt
    left = [name for name in names(root / "data") if name != "raw"]
    assert {name: content for name, content in files(root).items() if not name.startswith("data/.canon-get-")} == before
    assert bool(left) == (number == signal.SIGKILL)
    stuck.free.set()
    assert fetch_source(Source(uri=uri), pin, root / "data" / "raw", root=root, endpoint=web.url)
    assert names(root / "data") == ["raw"]
    assert pin_source("data/raw", root=root)[0] == pin


def test_one_file_that_fails_ends_the_others(web: Web, stuck: Stuck, tmp_path: Path) -> None:
    uri, pin, root = prepare(web, stuck, "folder", tmp_path)

    def refuse(handler: Handler) -> None:
        stuck.reached.wait(60)
        send(handler, 403)

    web.script("/bucket/raw/b", refuse)
    with pytest.raises(CanonError, match=r"no right to read s3://bucket/raw/b"):
        fetch_source(Source(uri=uri), pin, root / "data" / "raw", root=root, endpoint=web.url)
    assert not stuck.free.is_set()
    assert files(root) == {"data/raw/old.csv": b"old"}


def test_two_that_fetch_at_once_both_end_well(web: Web, stuck: Stuck, tmp_path: Path) -> None:
    uri, pin, root = prepare(web, stuck, "folder", tmp_path)
    command = [sys.executable, "-c", FETCH, str(root), uri, pin.model_dump_json(), web.url]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in "ab"]
    assert stuck.reached.wait(60)
    stuck.free.set()
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in processes] == [("", 0), ("", 0)]
    assert names(root / "data") == ["raw"]
    assert pin_source("data/raw", root=root)[0] == pin
