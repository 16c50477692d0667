"""The table of a run, as the text that stands on a terminal."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest
from rich.cells import cell_len
from rich.console import Console

from canon.cli.run_table import SHORTEST, Table
from canon.cli.tables import chosen_rows, format_elapsed, shows_colours, shows_tables
from canon.mlflow.own_runs import OwnRun
from canon.running.events import Event, State
from canon.running.words import OwnRuns, no_runs

NOW = 1000.0


def made(width: int = 80, height: int = 24, own_runs: OwnRuns = no_runs) -> tuple[Table, Callable[[], list[str]]]:
    """A table on a terminal of that size, and what stands there."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    table = Table("co2", own_runs, console=console, now=lambda: NOW)

    def lines() -> list[str]:
        table._frame = table.frame()
        with console.capture() as captured:
            console.print(table._drawn())
        return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", captured.get()).splitlines()]

    return table, lines


def event(stage: str, state: State, at: float = NOW - 75, **more: object) -> Event:
    return Event(stage, state, at, **more)  # type: ignore[arg-type]


def test_each_state_with_its_time_and_what_there_is_to_say(tmp_path: Path) -> None:
    table, lines = made()
    log = tmp_path / "train.log"
    log.write_bytes(b"epoch 1\nepoch 2: \x1b[31mloss\x1b[0m 0.5\r 10 %\r 20 %\n\n")
    states = {
        "load": State.UNCHANGED, "clean": State.CACHED, "split": State.DONE, "train": State.RUNNING, "judge": State.WAITING,
        "plot": State.FAILED, "report": State.BLOCKED,
    }  # fmt: skip
    for stage in states:
        table.tell(event(stage, State.WAITING))
    assert [line.split() for line in lines()[1:]] == [[stage, "waiting"] for stage in states]
    for stage in ("split", "train", "plot"):
        table.tell(event(stage, State.RUNNING, log=log if stage == "train" else None))
    for stage, state in states.items():
        if state not in {State.WAITING, State.RUNNING}:
            table.tell(
                event(
                    stage, state, NOW, took=3661.0 if stage == "split" else 0.2, why={"plot": "its command ended with 3", "report": "`plot` failed"}.get(stage, ""),
                    metrics={"rmse": 0.25, "mae": 1 / 3} if stage in {"split", "clean"} else {},
                )
            )  # fmt: skip
    assert lines() == [
        "co2: 5 of 7 stages 0:00",
        "load    unchanged",
        "clean   cached              rmse=0.25 mae=0.333333",
        "split   done       1:01:01  rmse=0.25 mae=0.333333",
        "train   running       1:15  20 %",
        "judge   waiting",
        "plot    failed        0:00  its command ended with 3",
        "report  blocked             `plot` failed",
    ]


def test_at_80_columns_no_line_is_longer_and_names_leave_room(tmp_path: Path) -> None:
    table, lines = made()
    log = tmp_path / "log"
    log.write_text("\u6f22\u5b57" * 100 + "\n")
    names = ["a" * 200, "\u6f22\u5b57" * 40, "plain", "e\u0301" * 50, "\x1b]0;title\x07\x1b[2J", "two\nlines"]
    for name in names:
        table.tell(event(name, State.RUNNING, log=log))
    shown = lines()
    assert len(shown) == 1 + len(names)
    assert max(map(cell_len, shown)) <= 80
    assert all("running" in line and "1:15" in line and "\u6f22\u5b57" in line[-30:] for line in shown[1:])
    assert not [line for line in shown if "\x1b" in line or "\x07" in line]
    assert shown[5].startswith("\ufffd]0;title\ufffd\ufffd[2J ")
    assert shown[6].startswith("two lines ")
    table, lines = made(30)
    for name in names:
        table.tell(event(name, State.RUNNING, log=log))
    assert max(map(cell_len, lines())) <= 30
    assert lines()[1] == "aaaaa\u2026  running  1:15  \u6f22\u5b57\u6f22\u2026"


def test_of_200_stages_those_that_run_and_failed_come_first_and_the_rest_is_counted() -> None:
    table, lines = made()
    for number in range(200):
        table.tell(event(f"s{number:03}", State.UNCHANGED if number < 50 else State.WAITING))
    for number in range(60, 100):
        table.tell(event(f"s{number:03}", State.DONE, NOW - 100 + number))
    for number in (150, 180, 199):
        table.tell(event(f"s{number}", State.RUNNING))
    table.tell(event("s170", State.FAILED))
    shown = lines()
    assert len(shown) <= 24 - 2
    assert shown[0] == "co2: 91 of 200 stages 0:00"
    assert shown[-1] == "and 24 done, 106 waiting, 50 unchanged"
    states = dict(line.split()[:2] for line in shown[1:-1])
    assert {"s150": "running", "s170": "failed", "s180": "running", "s199": "running"}.items() <= states.items()
    assert [name for name, state in states.items() if state == "done"] == [f"s{number:03}" for number in range(84, 100)]
    assert list(states) == sorted(states)


def test_more_that_run_than_there_are_rows() -> None:
    table, lines = made(height=6)
    for number in range(20):
        table.tell(event(f"s{number:02}", State.RUNNING))
    shown = lines()
    assert [line.split()[0] for line in shown[1:]] == ["s00", "s01", "s02", "and"]
    assert shown[-1] == "and 17 running"


def test_users_own_runs_have_their_whole_address() -> None:
    url = f"https://mlflow.example.com/#/experiments/1/runs/{'0' * 32}"
    runs = [
        OwnRun("r1", "train", "bold-\x1b[1mfox", url),
        OwnRun("r2", "train", "", ""),
        *[OwnRun(str(n), "x", "n", "") for n in range(9)],
    ]
    table, lines = made(own_runs=lambda: runs)
    table.tell(event("train", State.RUNNING))
    shown = lines()
    assert shown[2:4] == ["train: MLflow run bold-\ufffd[1mfox", url]
    assert made(width=40, own_runs=lambda: runs)[1]()[2:5] == [url[:40], url[40:], "train: MLflow run r2"]
    assert shown[4:] == ["train: MLflow run r2", "x: MLflow run n", "x: MLflow run n"]


def test_nothing_is_drawn_where_nothing_changed() -> None:
    table, _ = made()
    table.tell(event("a", State.WAITING))
    assert table.frame() == table.frame()
    before = table.frame()
    table.tell(event("a", State.RUNNING))
    assert table.frame() != before


def test_rows_are_chosen_by_rank_and_keep_their_order() -> None:
    assert chosen_rows("abcd", [(1, 0), (0, 5), (0, 4), (1, -1)], 2) == (["b", "c"], [0, 3])
    assert chosen_rows("abcd", [(1, 0), (0, 5), (1, 4), (1, -1)], 2) == (["b", "d"], [0, 2])
    assert chosen_rows("ab", [(0, 0), (0, 0)], 2) == (["a", "b"], [])
    assert [format_elapsed(each) for each in (-1, 0, 59.9, 60, 3600)] == ["0:00", "0:00", "0:59", "1:00", "1:00:00"]


PROGRAM = """
import sys, time
from canon.cli.run_table import SHORTEST, Table
from canon.running.events import Event, State
with Table("co2") as table:
    for n in range(200):
        table.tell(Event(f"stage-{n:03}", State.WAITING, time.time()))
    table.tell(Event("stage-100", State.RUNNING, time.time()))
    for word in sys.stdin:
        if word == "say\\n":
            print("\\u6f22 above [bold]the[/bold] table", file=sys.stderr)
            print("bar 1\\rbar 2\\x1b[2J, not", end=f" {sys.stderr.isatty()}", file=sys.stderr)
            continue
        drawn, refresh = [], table._live.refresh
        table._live.refresh = lambda: (drawn.append(time.monotonic()), refresh())
        while len(drawn) < 4:
            table.tell(Event(f"stage-101", State.RUNNING if len(drawn) % 2 else State.WAITING, time.time()))
        print(min(b - a for a, b in zip(drawn, drawn[1:])), flush=True)
"""


def test_on_a_terminal_it_follows_the_size_and_leaves_the_last_table(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 12, 80, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs, text=True, cwd=tmp_path,
        env={**env, "TERM": "xterm"},
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        os.close(theirs)
        wide = read(ours, "stage-100  \x1b[36mrunning")
        ioctl(ours, TIOCSWINSZ, struct.pack("HHHH", 12, 30, 0, 0))
        narrow = read(ours, "stage\u2026  \x1b[36mrunning")
        process.stdin.write("say\n")
        process.stdin.flush()
        read(ours, "\u6f22 above [bold]the[/bold] table")
        process.stdin.write("draw\n")
        process.stdin.close()
        assert float(process.stdout.readline()) >= SHORTEST  # seconds from one drawing to the next
        left = read(ours, None)
    assert process.returncode == 0
    frame = plain(wide.rpartition("co2: 0 of 200 stages")[2])
    assert len([line for line in frame if line.startswith("stage-")]) <= 12
    assert all(cell_len(line) <= 30 for line in plain(narrow.rpartition("co2: 0 of 200")[2]))
    assert "bar 2, not False" in plain(left)
    assert "bar 1" not in left
    assert "\x1b[2J" not in left
    assert "co2: 0 of 200 stages" in left.rpartition("\x1b[?25h")[0]  # and then the cursor is shown again


def plain(text: str) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() for line in text.replace("\r", "\n").split("\n")]


def read(descriptor: int, until: str | None) -> str:
    """What a terminal gets, up to a text, or until it is closed."""
    found = b""
    with contextlib.suppress(OSError):  # nobody has it open any more
        while until is None or until not in found.decode(errors="replace"):
            found += os.read(descriptor, 1 << 16)
    return found.decode(errors="replace")


def test_of_a_run_that_did_nothing_no_table_is_left() -> None:
    for state, stands in ((State.UNCHANGED, False), (State.CACHED, True)):
        console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
        with Table("co2", console=console) as table:
            assert table.frame().head == "co2: what has changed? 0:00"
            table.tell(event("a", state))
            table.tell(event("b", State.UNCHANGED))
        text = console.file.getvalue()  # type: ignore[attr-defined]
        last = text.rpartition("co2: 2 of 2")[2]
        assert ("\x1b[2K" in last) is not stands
        assert sys.stderr is not table._above


@pytest.mark.parametrize(("term", "colour", "found"), [("xterm", "", (True, True)), ("dumb", "", (False, False)), ("xterm", "1", (True, False))])  # fmt: skip
def test_what_a_terminal_is_taken_for(
    term: str, colour: str, found: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("NO_COLOR", colour)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert (shows_tables(), shows_colours()) == found
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert (shows_tables(), shows_colours()) == (False, False)


def test_a_terminal_that_is_gone_ends_nothing() -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(5, "Input/output error")

    console = Console(file=Gone(), width=80, height=24, force_terminal=True)
    table = Table("co2", console=console)
    with contextlib.suppress(OSError), table:  # the first drawing may say so, what follows may not
        table.tell(event("a", State.RUNNING))
        table.say("x")
        time.sleep(0.01)
