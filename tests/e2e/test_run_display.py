"""What `canon run` shows: lines without a terminal, a table on one of 80 columns, and a summary after both."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.conftest import Run
from tests.e2e import graphs
from tests.e2e.projects import write

pytestmark = pytest.mark.usefixtures("quick")
STAGES = """\
name: p
track: false
stages:
  a: {cmd: 'echo one; printf "two\\033[2J"; echo "{\\"rmse\\": 0.5}" > a.json', deps: [in], metrics: [a.json]}
  b: {cmd: cat a.json > b, deps: [a.json], outs: [b]}
  bad: {cmd: 'echo first; echo the reason; exit 7', deps: [b, in], outs: [bad]}
"""


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return graphs.make_project(tmp_path_factory, tmp_path / "p", {"pipelines/p.yaml": STAGES, "in": "1\n"})


def steady(text: str) -> list[str]:
    """Lines without the times in them."""
    return [re.sub(r"\d+\.\d s\b", "T", line).rstrip() for line in text.splitlines()]


def test_without_a_terminal_a_line_an_event_and_a_summary(project: Path, run: Run) -> None:
    done = run(project, "canon", "run", code=7)
    log = project / ".dvc/tmp/canon/logs/bad.log"
    assert done.stdout == ""
    assert steady(done.stderr) == [
        "a: running", "a: done in T rmse=0.5", "b: running", "b: done in T", "bad: running", "bad: failed in T (its command ended with 7)",
        "    first", "    the reason", f"    all of it: {log}", "p: 2 done, 1 failed, in T", "  ran: a (T), b (T)",
        "failed: bad: its command ended with 7", "    all of it: .dvc/tmp/canon/logs/bad.log", "metric  before  now", "rmse            0.5  new",
    ]  # fmt: skip
    write(project, {"in": "2\n", "pipelines/p.yaml": STAGES.replace("0.5", "0.25").replace("exit 7", "echo > bad")})
    done = run(project, "canon", "run", "--render", "--logs", "--json")
    assert [line for line in steady(done.stderr) if line.startswith(("a ", "bad ", "rmse"))] == [
        "a   | one", "a   | two\ufffd[2J", "bad | first", "bad | the reason", "rmse       0.5  0.25  -0.25 (-50.0%)",
    ]  # fmt: skip
    assert json.loads(done.stdout)["metrics"] == [{"name": "rmse", "before": 0.5, "now": 0.25}]
    write(project, {"in": "1\n"})
    run(project, "canon", "run")
    write(project, {"in": "2\n"})
    said = run(project, "canon", "run").stderr
    assert "a: cached rmse=0.25\n" in said
    assert "  from the run-cache: a, bad\n" in said


def test_on_a_terminal_a_table_at_80_columns_and_a_summary(project: Path) -> None:
    said = on_a_terminal(project, 7)
    last = steady(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.rpartition("p: 3 of 3 stages")[2]))
    assert last[1:4] == [
        "a    done    0:00  rmse=0.5",
        "b    done    0:00",
        "bad  failed  0:00  its command ended with 7",
    ]
    assert last[4:] == [
        "p: 2 done, 1 failed, in T", "  ran: a (T), b (T)", "failed: bad: its command ended with 7", "    first", "    the reason",
        "    all of it: .dvc/tmp/canon/logs/bad.log", "metric  before  now", "rmse            0.5  new",
    ]  # fmt: skip
    assert max(map(cell_len, last)) <= 80
    assert "Collecting" not in said  # DVC's own bars
    assert "\x1b[2J" not in said


def test_a_dumb_terminal_gets_lines(project: Path) -> None:
    said = on_a_terminal(project, 7, TERM="dumb")
    assert "\x1b" not in said
    assert "a: running\r\n" in said


def on_a_terminal(root: Path, code: int, **env: str) -> str:
    """What `canon run` writes on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    with subprocess.Popen(["canon", "run"], cwd=root, stderr=theirs, env={**kept, "TERM": "xterm", **env}) as process:
        os.close(theirs)
        found = b""
        with contextlib.suppress(OSError):  # the terminal is closed when the command has ended
            while piece := os.read(ours, 1 << 16):
                found += piece
    assert process.returncode == code, found.decode()
    return found.decode()
