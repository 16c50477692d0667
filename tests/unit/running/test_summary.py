"""What a run has come to, as text and for scripts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from canon.running.events import Event, State
from canon.running.summary import Summary, build_summary, format_summary, summary_document
from canon.running.took import FILE, load_took, write_took
from canon.running.words import format_metrics, format_seconds


def events(*listed: Event) -> dict[str, Event]:
    return {event.stage: event for event in listed}


def event(stage: str, state: State, took: float = 0.0, **more: Any) -> Event:
    return Event(stage, state, 1.0, took, **more)


def summed(*listed: Event, seconds: float = 10.0, took: Mapping[str, float] | None = None, before: Mapping[str, Mapping[str, float]] | None = None, row: str = "") -> Summary:  # fmt: skip
    return build_summary("co2", events(*listed), seconds, took=took or {}, before=before or {}, row=row)


def test_what_ran_what_was_cached_what_that_saved_and_the_metrics_beside_those_before() -> None:
    summary = summed(
        event("load", State.UNCHANGED), event("a", State.DONE, 60.0), event("b", State.DONE, 9.6, metrics={"rmse": 0.75, "r2": math.nan}),
        event("c", State.CACHED, metrics={"mae": 2.0, "bias": 0.0}), event("d", State.CACHED),
        seconds=61.4, took={"c": 185.2, "a": 3.0}, before={"b": {"rmse": 1.0, "r2": math.nan}, "c": {"mae": 2.0}, "x": {"bias": 1.0}}, row="http://mlflow/#/experiments/1/runs/2",
    )  # fmt: skip
    assert format_summary(summary, tails=True) == [
        "co2: 1 unchanged, 2 cached, 2 done, in 1 min 01 s",
        "  ran: a (1 min 00 s), b (10 s)",
        "  from the run-cache: c, d",
        "  side by side saved 8.2 s: one after the other it takes 1 min 10 s",
        "  the run-cache saved 3 min 05 s, by earlier runs, and of 1 more nobody knows",
        "metric  before   now",
        "rmse         1  0.75  -0.25 (-25.0%)",
        "bias               0  new",
        "r2         nan   nan  as before",
        "mae          2     2  as before",
        "row in MLflow: http://mlflow/#/experiments/1/runs/2",
    ]
    document = summary_document(summary)
    assert json.loads(json.dumps(document, allow_nan=False)) == {
        "seconds": 61.4, "saved": {"parallel": 8.2, "cache": 185.2, "unknown": 1}, "row": "http://mlflow/#/experiments/1/runs/2",
        "metrics": [
            {"name": "rmse", "before": 1.0, "now": 0.75}, {"name": "r2", "before": None, "now": None},
            {"name": "mae", "before": 2.0, "now": 2.0}, {"name": "bias", "before": None, "now": 0.0},
        ],
    }  # fmt: skip


def test_nothing_that_is_not_there_is_said() -> None:
    assert format_summary(summed(event("a", State.UNCHANGED), seconds=0.31), tails=True) == ["co2: 1 unchanged"]
    assert format_summary(summed(seconds=0), tails=True) == ["co2: no stages"]
    assert format_summary(summed(event("a", State.CACHED)), tails=True) == ["co2: 1 cached, in 10 s", "  from the run-cache: a"]  # fmt: skip
    assert summed(event("a", State.DONE, 3.0), seconds=10).beside == 0


def test_what_failed_ends_with_its_last_words_and_the_path_of_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "logs" / "train.log"
    log.parent.mkdir()
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(30)) + b"\x1b[31mno memory")
    failed = event("train", State.FAILED, 2.0, log=log, code=3, why="its command ended with 3")
    listed = [failed, event("judge", State.BLOCKED, why="`train` failed"), event("x", State.FAILED, code=7)]
    lines = format_summary(summed(*listed), tails=True)
    assert lines[0] == "co2: 2 failed, 1 blocked, in 10 s"
    assert lines[1:3] == ["failed: train: its command ended with 3", "    line 11"]
    assert lines[20:] == ["    line 29", "    \ufffd[31mno memory", "    all of it: logs/train.log", "failed: x: exit code 7"]  # fmt: skip
    assert format_summary(summed(*listed), tails=False)[1:] == [
        "failed: train: its command ended with 3", "    all of it: logs/train.log", "failed: x: exit code 7",
    ]  # fmt: skip
    many = [event(f"s{number}", State.FAILED, code=1) for number in range(12)]
    assert format_summary(summed(*many), tails=True)[-1] == "failed, too: s5, s6, s7, s8, s9 and 2 more"


def test_of_many_metrics_those_that_changed_are_shown_and_of_many_stages_some() -> None:
    metrics = {f"m{number:02}": float(number) for number in range(40)}
    before = {**metrics, "m30": 0.0, "m39": -1.0}
    lines = format_summary(summed(event("a", State.DONE, metrics=metrics), before={"a": before}), tails=True)
    table = lines[2:]
    assert [line.split()[0] for line in table[:4]] == ["metric", "m30", "m39", "m00"]
    assert table[1].split() == ["m30", "0", "30", "+30"]
    assert table[2].split() == ["m39", "-1", "39", "+40", "(+4000.0%)"]
    assert len(table) == 22
    assert table[-1] == "and 20 metrics more"
    done = [event(f"s{number}", State.DONE, 1.0) for number in range(200)]
    lines = format_summary(summed(*done, seconds=100), tails=True)
    assert lines[:2] == ["co2: 200 done, in 1 min 40 s", "  ran: s0 (1.0 s), s1 (1.0 s), s2 (1.0 s), s3 (1.0 s), s4 (1.0 s) and 195 more"]  # fmt: skip
    assert max(map(len, lines)) <= 80


def test_metrics_of_one_name_say_whose_they_are() -> None:
    listed = [
        event(f"fit@{number}", State.DONE, metrics={"rmse": float(number), f"only{number}": 1.0}) for number in (1, 2)
    ]
    lines = format_summary(summed(*listed, before={"fit@1": {"rmse": 1.0}, "fit@2": {"rmse": 1.0}}), tails=True)
    assert [line.split("  ")[0] for line in lines[3:]] == ["only1", "fit@2: rmse", "only2", "fit@1: rmse"]
    assert lines[4].split()[2:] == ["1", "2", "+1", "(+100.0%)"]


def test_names_of_somebody_elses_move_no_cursor() -> None:
    hostile = "\x1b[2J\nx"
    listed = [event(hostile, State.DONE, metrics={hostile: 1.0}), event(hostile + "2", State.FAILED, why=hostile), event(hostile + "3", State.CACHED)]  # fmt: skip
    lines = format_summary(summed(*listed, row=hostile), tails=True)
    assert not [line for line in lines if "\x1b" in line or "\n" in line]
    assert "\x1b" not in format_metrics({hostile: 1.0})
    assert format_metrics({str(number): number for number in range(9)}, 2) == "0=0 1=1 and 7 more"


def test_times_read_as_people_say_them() -> None:
    said = {
        0: "0.0 s",
        9.44: "9.4 s",
        9.6: "10 s",
        59.6: "1 min 00 s",
        61: "1 min 01 s",
        3599.7: "1 h 00 min",
        7384: "2 h 03 min",
    }
    assert {seconds: format_seconds(seconds) for seconds in said} == said


def test_how_long_stages_took_is_kept(tmp_path: Path) -> None:
    assert load_took(tmp_path) == {}
    write_took(tmp_path, [event("a", State.DONE, 1.23456), event("b", State.FAILED, 9.0), event("c", State.CACHED)])
    assert load_took(tmp_path) == {"a": 1.235}
    write_took(tmp_path, [event("d", State.DONE, 2.0)])
    assert load_took(tmp_path) == {"a": 1.235, "d": 2.0}
    write_took(tmp_path, [event("a", State.DONE, 3.0)])
    write_took(tmp_path, [event("d", State.CACHED)])
    assert load_took(tmp_path) == {"a": 3.0, "d": 2.0}


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", "\xff", '{"a": "x", "b": true, "c": -1, "d": NaN, "e": Infinity, "f": null}']
)
def test_a_file_that_somebody_broke_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).parent.mkdir(parents=True)
    (tmp_path / FILE).write_bytes(text.encode("latin-1"))
    assert load_took(tmp_path) == {}


def test_where_it_cannot_be_kept_no_run_fails(tmp_path: Path) -> None:
    (tmp_path / ".dvc").write_text("a file")
    write_took(tmp_path, [event("a", State.DONE, 1.0)])
    assert load_took(tmp_path) == {}
