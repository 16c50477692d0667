"""Faults of a local store: the stage succeeds, the result stands, and its row comes later, once."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import Run, git
from tests.e2e.projects import at_once
from tests.tracking import Store, copy_clone, local_store

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def clone(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_clone(tmp_path_factory, tmp_path / "clone", store="empty")


def spool_of(clone: Path) -> list[str]:
    return sorted(path.parent.name for path in (clone / ".dvc/tmp/canon/spool").glob("*/record.json"))


def check_two_at_once(clone: Path, rounds: int) -> None:
    for number in range(rounds):
        (clone / "mlflow.db").unlink(missing_ok=True)
        shutil.rmtree(clone / "mlartifacts", ignore_errors=True)
        both = at_once(clone, ("canon", "track", "co2"), ("canon", "track", "co2"))
        assert [done.returncode for done in both] == [0, 0], both
        assert sorted("already logged" in done.stdout for done in both) == [False, True], both
        file = (
            clone.parent / f"{number}.db"
        )  # MLflow's client keeps what it has opened: every round has a name of its own
        shutil.copyfile(clone / "mlflow.db", file)
        store = Store(f"sqlite:///{file}")
        assert store.row().info.status == "FINISHED"
        assert len(store.client.search_model_versions("name = 'co2'")) == 1
        assert spool_of(clone) == []


@pytest.mark.soak
def test_two_tracks_at_once_on_a_store_that_is_not_there_make_one_row(clone: Path) -> None:
    check_two_at_once(clone, 5)


@pytest.mark.soak
def test_two_tracks_at_once_make_one_row_fifty_times(clone: Path) -> None:
    check_two_at_once(clone, 50)


def damage(clone: Path) -> None:
    (clone / "mlflow.db").write_bytes(b"no database " * 1000)


def other_version(clone: Path) -> None:
    with contextlib.closing(sqlite3.connect(clone / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")


def no_folder(clone: Path) -> None:
    (clone / "store").write_text("a file where the store's folder should be")


@pytest.mark.parametrize(
    ("spoil", "uri", "says"),
    [
        pytest.param(damage, None, "mlflow.db damaged", marks=pytest.mark.soak),
        pytest.param(other_version, None, "written by another version of MLflow", marks=pytest.mark.soak),
        pytest.param(
            no_folder,
            "sqlite:///store/mlflow.db",
            "make the folder writable, or set MLFLOW_TRACKING_URI",
            marks=pytest.mark.soak,
        ),
    ],
    ids=["damaged", "another version", "no folder"],
)
def test_a_store_that_cannot_be_used_fails_nothing(clone: Path, spoil, uri: str | None, says: str, run: Run) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    spoil(clone)
    before = (clone / "mlflow.db").read_bytes()
    done = run(clone, "canon", "track", "co2", env={"MLFLOW_TRACKING_URI": uri} if uri else {})
    assert says in done.stderr
    assert "is kept in" in done.stderr
    assert "Traceback" not in done.stderr
    assert (clone / "mlflow.db").read_bytes() == before
    assert len(spool_of(clone)) == 1
    if not uri:  # the user moves it away; what waits is sent to the new one
        (clone / "mlflow.db").rename(clone / "mlflow.db.old")
    assert "1 spooled result was sent" in run(clone, "canon", "log", "--spooled").stderr
    assert local_store(clone).row().info.status == "FINISHED"
    assert "nothing was spooled" in run(clone, "canon", "log", "--spooled").stdout


def limited(size: int, name: str, *arguments: str) -> list[str]:
    """A command that cannot write beyond ``size`` bytes into any file: a full disk, for all that it can tell."""
    code = f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size})); os.execvp(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-c", code, name, *arguments]


def swell(clone: Path) -> None:
    """Give the result 400 kB more: a param that dvc.lock knows stands there twice."""
    file = clone / "dvc.lock"
    lock = yaml.safe_load(file.read_text())
    lock["stages"]["train"]["params"]["params/co2.yaml"]["train"]["note"] = "x" * 200_000
    file.write_text(yaml.safe_dump(lock))


def test_a_full_disk_leaves_the_old_result_or_the_new_one(clone: Path, run: Run) -> None:
    file = clone / "results/co2.json"
    whole = file.read_bytes()
    # Room for the result, none for a row in the store.
    done = run(clone, *limited(300_000, "canon", "track", "co2"))
    assert "or its folder read-only or full" in done.stderr
    assert file.read_bytes() == whole
    assert len(spool_of(clone)) == 1
    assert "1 spooled result was sent" in run(clone, "canon", "log", "--spooled").stderr
    assert local_store(clone).row().info.status == "FINISHED"
    # No room for the result.
    swell(clone)
    file.write_text("the old one\n")
    done = run(clone, *limited(300_000, "canon", "track", "co2"), code=1)
    assert f"cannot write {file}" in done.stderr
    assert "nothing was changed there" in done.stderr
    assert file.read_text() == "the old one\n"
    assert [path.name for path in file.parent.iterdir() if path.name.endswith(".tmp")] == []


@pytest.mark.soak
def test_a_full_disk_is_told_where_not_even_a_record_can_be_kept(clone: Path, run: Run) -> None:
    file = clone / "results/co2.json"
    swell(clone)
    # Room for the result, none for the row and none for the record that would be kept.
    done = run(clone, *limited(600_000, "canon", "track", "co2"), code=1)
    assert "free some space, then run `canon log`" in done.stderr
    assert spool_of(clone) == []
    assert b"x" * 200_000 in file.read_bytes()
    # No room for anything, DVC's own state included.
    done = run(clone, *limited(1000, "canon", "track", "co2"), code=1)
    assert "is the disk full" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.soak
def test_a_deleted_experiment_keeps_its_results_until_it_is_back(clone: Path, run: Run) -> None:
    store = local_store(clone)
    identity = store.client.create_experiment("co2", artifact_location=(clone / "mlartifacts/co2").as_uri())
    store.client.delete_experiment(identity)
    done = run(clone, "canon", "track", "co2")
    assert f"`mlflow experiments restore -x {identity}`" in done.stderr
    assert len(spool_of(clone)) == 1
    store.client.restore_experiment(identity)
    run(clone, "canon", "log", "--spooled")
    run_id = store.row().info.run_id
    # A run that the user deleted is logged again, as a new one.
    store.client.delete_run(run_id)
    assert "  logged  " in run(clone, "canon", "log", "-p", "co2").stdout
    assert store.row().info.run_id != run_id


@pytest.mark.soak
def test_a_damaged_spool_is_named_and_stays_and_the_others_are_sent(clone: Path, run: Run) -> None:
    folder = clone / ".dvc/tmp/canon/spool" / ("0" * 64)
    folder.mkdir(parents=True)
    (folder / "record.json").write_text("{")
    (clone / "store").write_text("")
    run(clone, "canon", "track", "co2", env={"MLFLOW_TRACKING_URI": "sqlite:///store/mlflow.db"})
    done = run(clone, "canon", "log", "--spooled", code=1)
    assert f"the spooled result {folder} is damaged" in done.stderr
    assert "1 spooled result was sent" in done.stderr
    assert spool_of(clone) == ["0" * 64]
    assert local_store(clone).row().info.status == "FINISHED"


@pytest.mark.root
def test_a_store_on_a_read_only_file_system_fails_nothing(clone: Path, tmp_path: Path, run: Run) -> None:
    place = tmp_path / "store"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(place)], check=True)
    try:
        shutil.copyfile(clone / "mlflow.db", place / "mlflow.db")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        done = run(clone, "canon", "track", "co2", env={"MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db"})
        assert "make the folder writable" in done.stderr
        assert len(spool_of(clone)) == 1
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert git(clone, "status", "--porcelain") == ""
