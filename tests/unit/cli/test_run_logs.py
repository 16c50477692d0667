"""Stages' output in between, and what is said of users' own runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from canon.cli import run_logs, run_view
from canon.cli.run_logs import Interleaved
from canon.mlflow.own_runs import OwnRun
from canon.running.events import Event, State
from canon.running.logs import Follower


def event(stage: str, state: State, log: Path | None = None) -> Event:
    return Event(stage, state, 1.0, log=log)


class Said:
    """What was said, in the order in which it was."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, text: str) -> None:
        self.lines += text.split("\n")

    def tell(self, event: Event) -> None:
        self(f"{event.stage}: {event.state.value}")


def test_lines_have_the_stages_name_and_come_before_its_end(tmp_path: Path) -> None:
    said, one, two = Said(), tmp_path / "one.log", tmp_path / "two.log"
    with Interleaved(said.tell, said, logs=True) as view:
        for stage in ("fit@gb", "plot"):
            view.tell(event(stage, State.WAITING))
        one.write_bytes(b"epoch 1\nepoch 2\nno end")
        two.write_bytes(b"\x1b[2Jcleared\n\xff\xfe\n")
        view.tell(event("fit@gb", State.RUNNING, one))
        view.tell(event("plot", State.RUNNING, two))
        view.tell(event("fit@gb", State.DONE, one))
        with two.open("ab") as log:
            log.write(b"later")
    assert [line for line in said.lines if line.startswith("fit")] == [
        "fit@gb: waiting", "fit@gb: running", "fit@gb | epoch 1", "fit@gb | epoch 2", "fit@gb | no end", "fit@gb: done",
    ]  # fmt: skip
    assert [line for line in said.lines if line.startswith("plot  ")] == [
        "plot   | \ufffd[2Jcleared", "plot   | \ufffd\ufffd", "plot   | later",
    ]  # fmt: skip


def test_without_logs_only_events_are_said(tmp_path: Path) -> None:
    said = Said()
    log = tmp_path / "log"
    log.write_text("x\n")
    with Interleaved(said.tell, said, logs=False) as view:
        view.tell(event("a", State.RUNNING, log))
        view.tell(event("a", State.DONE, log))
    assert said.lines == ["a: running", "a: done"]


def test_names_have_one_width_and_a_long_one_is_cut() -> None:
    said = Said()
    view = Interleaved(said.tell, said, logs=True)
    for stage in ("a" * 60, "\u6f22\u5b57", "b\n\x1b[2J"):
        view.tell(event(stage, State.WAITING))
    assert [view._prefix(stage) for stage in view._names] == [f"{'a' * 24} | ", f"\u6f22\u5b57{' ' * 20} | ", f"b \ufffd[2J{' ' * 18} | "]  # fmt: skip


def test_of_a_flood_the_last_part_is_said_and_the_rest_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_logs, "MOST_BEHIND", 100)
    said, log = Said(), tmp_path / "log"
    log.write_bytes(b"".join(b"%09d\n" % number for number in range(1000)))
    with Interleaved(said.tell, said, logs=True) as view:
        with view._lock:
            view._followers["a"], view._names["a"] = Follower(log), 0
            view._drain("a")
        assert said.lines == [f"a | [9,900 bytes are left out here; all of it: {log}]", *(f"a | {number:09}" for number in range(990, 1000))]  # fmt: skip


def test_lines_are_whole_whatever_a_look_reads(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\nthr")
    follower = Follower(log)
    assert follower.new_lines() == ["one", "two"]
    assert follower.skip(100) == 0
    with log.open("ab") as file:
        file.write(b"ee\n" + b"x" * 300)
    assert follower.new_lines() == ["three"]
    assert follower.new_lines(end=True) == ["x" * 300]
    assert Follower(tmp_path / "none").skip(1) == 0


def test_a_users_own_run_is_said_once() -> None:
    said, asked = Said(), []

    def runs() -> list[OwnRun]:
        asked.append(1)
        return [OwnRun("r1", "train", "fox", "http://mlflow/#/1"), OwnRun("r2", "train", "", "")]

    with Interleaved(said.tell, said, runs, logs=False) as view:
        while len(asked) < 2:
            view.tell(event("x", State.WAITING))
    assert [line for line in said.lines if "MLflow" in line] == ["train: MLflow run fox: http://mlflow/#/1", "train: MLflow run r2"]  # fmt: skip


def test_on_a_terminal_names_have_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_logs, "shows_colours", lambda: True)
    said = Said()
    view = Interleaved(said.tell, said, logs=True)
    for number in range(11):
        view.tell(event(f"s{number}", State.WAITING))
    assert view._prefix("s0") == "\x1b[36ms0  |\x1b[0m "
    assert view._prefix("s1") == "\x1b[33ms1  |\x1b[0m "
    assert view._prefix("s10")[:5] == view._prefix("s0")[:5]


@pytest.mark.parametrize(
    ("terminal", "logs", "table"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_a_table_is_for_terminals_and_not_beside_logs(
    *, terminal: bool, logs: bool, table: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_view, "shows_tables", lambda: terminal)
    said = Said()
    with run_view.opened_view("co2", said.tell, said, logs=logs) as view:
        view.tell(event("a", State.BLOCKED))
        view.say("said")
    assert (said.lines == ["a: blocked", "said"]) is not table
    assert view.told_tails is not table
