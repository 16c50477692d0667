"""The files of sessions: whatever is in them, and whoever wrote it."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from canon.git import holds
from canon.mlflow.log import run_url
from canon.mlflow.own_runs import may_hold
from canon.results.session_files import SESSIONS, Kept, create_file, load_kept, over_files
from tests.conftest import git

ID = "a" * 32
KEPT = Kept(ID, "main", "sqlite:///x", {}, "KILLED")


def test_what_became_of_stages_stands_behind_the_rest(tmp_path: Path) -> None:
    file = create_file(tmp_path, KEPT)
    file.add("fit@a", "FINISHED", "e1")
    os.write(file._descriptor, b'\n["torn", "FIN')  # a full disk
    file.add("bad", "FAILED", None)
    file.add("again", "FAILED", "old")
    file.add("again", "FINISHED", None)
    assert list(over_files(tmp_path)) == []  # its lock is held
    file.release()
    ((_, kept),) = over_files(tmp_path)
    assert kept.stages == {"fit@a": "FINISHED", "bad": "FAILED", "again": "FINISHED"}
    assert kept.entries == {"fit@a": "e1"}


@pytest.mark.parametrize("line", ["[", "[1]", "{}", '["a", "RUNNING", null]', '["a", ["KILLED"], null]', "[" * 9000])
def test_lines_that_no_session_wrote_say_nothing(line: str) -> None:
    assert load_kept(KEPT.document() + b"\n" + line.encode(), ID).stages == {}


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        json.dumps({**json.loads(KEPT.document()), "other": "RUNNING"}).encode(),
        json.dumps({**json.loads(KEPT.document()), "stages": {"a": "x"}}).encode(),
    ],
    ids=["deep", "other", "stage"],
)
def test_files_that_no_session_wrote_are_removed(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / SESSIONS / f"{ID}.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    assert list(over_files(tmp_path)) == []
    assert not file.exists()


def test_what_has_no_end_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / SESSIONS
    folder.mkdir(parents=True)
    os.mkfifo(folder / f"{'b' * 32}.json")
    (folder / f"{'c' * 32}.json").symlink_to("/dev/zero")
    assert list(over_files(tmp_path)) == []


def test_no_file_of_somebody_elses_becomes_a_store(tmp_path: Path) -> None:
    """A session's file may name any; MLflow makes its tables in what it opens."""
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as database, database:
        database.execute("CREATE TABLE mine (x)")
    assert not may_hold(f"sqlite:///{other}", ID)
    other.write_bytes(b"x" * 5000)  # damaged: MLflow says what is wrong
    assert may_hold(f"sqlite:///{other}", ID)


@pytest.mark.parametrize(
    ("path", "answer"), [("tmp/x/y.json", True), ("TMP", True), ("config", False), ("tmpx/y", False)]
)
def test_a_folder_that_git_fills_is_known(repository: Path, path: str, *, answer: bool) -> None:
    file = repository / ".dvc" / path
    file.parent.mkdir(parents=True)
    file.write_text("x")
    assert not holds(repository, ".dvc/tmp")
    git(repository, "add", "-f", ".")
    assert holds(repository, ".dvc/tmp") is answer


def test_a_link_on_the_way_is_known_too(repository: Path) -> None:
    (repository / "evil/tmp").mkdir(parents=True)
    (repository / ".dvc").symlink_to("evil")
    git(repository, "add", ".dvc")
    assert holds(repository, ".dvc/tmp")
    assert not holds(repository / "evil" / "..", "elsewhere")


def test_a_page_is_named_by_plain_ids_alone() -> None:
    assert run_url("http://u:p@h:1/", "1", "f" * 32) == f"http://h:1/#/experiments/1/runs/{'f' * 32}"
    for experiment, run_id in (("1\x1b[2J", "f"), ("1", "f" * 100_000), ("1", "a\n")):
        assert run_url("http://h", experiment, run_id) is None
    assert run_url("sqlite:///x", "1", "f") is None
