"""The service of co2 and `canon serve`: the same numbers as the model's, what answers, and how it ends. Real processes."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from pipelines.co2.model import COEFFICIENTS, load_model
from tests.conftest import BIN
from tests.e2e.faults import assert_said, canon
from tests.e2e.served import bake
from tests.tracking import ran_clone

pytestmark = pytest.mark.usefixtures("quick")
DATES = ["2024-01-06", "2025-02-28", "2026-12-31"]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which co2 has run; nothing here writes to it."""
    return ran_clone(tmp_path_factory)


def ask(port: int, path: str, body: object = None) -> tuple[int, Any]:
    """Status and JSON of a request; POST where there is a body."""
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=data, headers={"Content-Type": "application/json"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as response:
            content = response.read()
            return response.status, json.loads(content) if content.strip() else None
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@contextlib.contextmanager
def running(
    folder: Path, port: int, *command: str, health: str = "/health", **env: str
) -> Iterator[subprocess.Popen[str]]:
    """A service, once it is well; it is killed at the end where it still runs."""
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **env},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise AssertionError(
                    f"{command} ended with {process.returncode}\n{process.stdout and process.stdout.read()}"
                )
            with contextlib.suppress(OSError):
                if ask(port, health)[0] == 200:
                    break
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:  # what `canon serve` started ends with a signal that it passes on
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
        process.kill()
        if process.stdout is not None:
            process.stdout.close()
        process.wait()


def uvicorn(port: int) -> tuple[str, ...]:
    """As the declaration has it."""
    return ("uvicorn", "pipelines.co2.serve:app", "--port", str(port), "--timeout-graceful-shutdown", "1")


def test_the_service_answers_what_the_model_says(trained: Path) -> None:
    port = free_port()
    model = load_model(trained / "models/co2" / COEFFICIENTS)
    with running(trained, port, *uvicorn(port)) as process:
        status, answer = ask(port, "/predict", {"dates": DATES})
        assert (status, answer) == (200, {"co2": [model.predict(dt.date.fromisoformat(day)) for day in DATES]})
        known = ask(port, "/version")[1]
        assert known == {"commit": None, "data_hash": None, "result": None, "model": ask(port, "/health")[1]["model"]}
        for body, code, says in (
            ({"dates": ["2024-01-06", "soon"]}, 422, "'soon' is no date"),
            ({"dates": ["1700-01-01"]}, 422, "lies outside of"),
            ({"dates": []}, 422, "at least 1 item"),
            ({"dates": ["2024-01-06"] * 1001}, 422, "at most 1000 items"),
            ({"dates": ["2024-01-06", "2024-01-015"]}, 422, "'2024-01-015' is no date"),
            ({"dates": ["2024-01-06 or never"]}, 422, '"dates", 0]'),
            ({"dates": ["2024-W01-6"]}, 422, "is no date"),
            ({"dates": [float("nan")]}, 422, "valid string"),
            (b'{"dates": Infinity}', 422, "valid list"),
            (b'{"dates": ["2024-01-06"], "\\ud800": 1}', 422, "valid string"),
            (b'"\\ud800"', 422, "body"),
            (b"\xff{", 400, "parsing the body"),
            (b"[" * 60_000, 400, "parsing the body"),
            ({"days": ["2024-01-06"]}, 422, "dates"),
            (b"{", 422, "JSON"),
            (b" " * 70_000, 413, "more than 65536 bytes"),
        ):
            status, answer = ask(port, "/predict", body)
            assert status == code, answer
            assert_said(json.dumps(answer), says)
        # A client that keeps its connection does not keep the service.
        kept = HTTPConnection("127.0.0.1", port)
        kept.request("GET", "/health")
        assert kept.getresponse().read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in {0, 143, -signal.SIGTERM}
        kept.close()


def test_the_service_says_what_its_provenance_says_or_does_not_start(trained: Path, tmp_path: Path) -> None:
    import hashlib

    files = {
        path.relative_to(trained / "models/co2").as_posix(): {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in (trained / "models/co2").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    file = tmp_path / "provenance.json"
    document = {"commit": "a" * 40, "data_hash": "b" * 64, "result": "c" * 64, "model": {"files": files}}
    file.write_text(json.dumps(document))
    port = free_port()
    with running(trained, port, *uvicorn(port), CANON_PROVENANCE=str(file)):
        known = ask(port, "/version")[1]
        assert (known["commit"], known["data_hash"], known["result"]) == ("a" * 40, "b" * 64, "c" * 64)
    files["MLmodel"]["sha256"] = "0" * 64
    file.write_text(json.dumps(document))
    for content, says in ((file.read_text(), "it is another model"), ("{}", "is no provenance of a model")):
        file.write_text(content)
        done = subprocess.run(uvicorn(free_port()), cwd=trained, env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "CANON_PROVENANCE": str(file)}, capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
        assert done.returncode != 0
        assert_said(done.stderr, says)


def test_the_service_imports_no_mlflow_and_no_pandas(trained: Path) -> None:
    code = "import sys, pipelines.co2.serve; print([name for name in ('mlflow', 'pandas', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=trained, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_mlflows_scoring_server_answers_the_same(trained: Path) -> None:
    port = free_port()
    command = (
        "uvicorn",
        "mlflow.pyfunc.scoring_server.app:app",
        "--port",
        str(port),
        "--timeout-graceful-shutdown",
        "1",
    )
    model = load_model(trained / "models/co2" / COEFFICIENTS)
    with running(trained, port, *command, __pyfunc_model_path__=str(trained / "models/co2")) as process:
        status, answer = ask(port, "/invocations", {"dataframe_split": {"columns": ["date"], "data": [[day] for day in DATES]}})  # fmt: skip
        assert status == 200
        assert [row["co2"] for row in answer["predictions"]] == [
            model.predict(dt.date.fromisoformat(day)) for day in DATES
        ]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in {0, 143, -signal.SIGTERM}


def test_canon_serve_runs_the_declared_command_on_loopback(trained: Path, tmp_path: Path) -> None:
    root = tmp_path / "co2"
    shutil.copytree(trained, root, symlinks=True, ignore=shutil.ignore_patterns(".git", "mlflow.db", "mlartifacts"))
    port = free_port()
    with running(root, port, "canon", "serve", "--port", str(port)) as process:
        assert ask(port, "/predict", {"dates": DATES})[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in {0, 143}
        said = process.stdout.read() if process.stdout is not None else ""
    assert f"it answers at http://127.0.0.1:{port}" in said
    assert "0.0.0.0" not in said  # noqa: S104  what is not to be
    shutil.rmtree(root / "models")
    assert_said(
        canon(root, "serve", "co2", code=1).stderr, "the model models/co2 is not in", "run `dvc repro`, or `dvc pull`"
    )


def test_canon_serve_runs_the_model_of_an_image(served: Path) -> None:
    (served / "serve.py").write_text(
        "import http.server, os, pathlib, sys\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers()\n"
        "        self.wfile.write(pathlib.Path('model/parts/weights.json').read_bytes())\n"
        "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()\n"
    )
    file = served / "pipelines/p.yaml"
    file.write_text(file.read_text().replace("python3 serve.py", "python3 serve.py 8080"))
    subprocess.run(["git", "commit", "-qam", "serve"], cwd=served, check=True)
    digest = bake(served)
    (served / "model/parts/weights.json").unlink()
    port = free_port()
    with running(served, port, "canon", "serve", "--image", f"oci:../made@{digest}", "--port", str(port)):
        assert ask(port, "/")[1] == {"rate": 0.5, "sum": 3}
    said = canon(served, "serve", "other", "--image", f"oci:../made@{digest}", code=1).stderr
    assert_said(said, "serves p, not other")
    file.write_text(file.read_text().replace("python3 serve.py 8080", "python3 serve.py"))
    assert_said(canon(served, "serve", "--port", "9", code=1).stderr, "does not name the port 8080")
