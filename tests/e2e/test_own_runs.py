"""Users' own MLflow runs inside stages of a session: they pass as they do alone, are tagged, ended with it, and children of the result's row."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from canon.model.project import Project, load_project
from canon.results.locks import load_lock
from canon.results.session_files import SESSIONS, waiting_note, write_note
from canon.results.sessions import Session, close_session, open_session, settle_sessions
from canon.results.settling import entry_hashes
from tests.conftest import BIN, Run, git
from tests.e2e.projects import call, write
from tests.tracking import Store, copy_small_project, local_store

pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.filterwarnings("ignore:The ``noload``")]
"""MLflow's mappings use what SQLAlchemy deprecates."""

USERS: Mapping[str, str] = {
    "pyproject.toml": '[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n',
    "pipelines/users.yaml": """\
        name: users
        track: false
        stages:
          ridge: {cmd: python fit.py Ridge 0.1, deps: [fit.py], outs: [ridge]}
          lasso: {cmd: python ../fit.py Lasso 0.9 mine, wdir: sub, deps: [../fit.py], outs: [lasso]}
        """,
    "fit.py": """\
        import sys, mlflow, sklearn.linear_model
        model, rate, *experiment = sys.argv[1:]
        mlflow.sklearn.autolog(log_models=False)
        if experiment:
            mlflow.set_experiment(*experiment)
        with mlflow.start_run(tags={"canon.data_hash": "my own"} if experiment else {}):
            mlflow.log_param("rate", rate)
            getattr(sklearn.linear_model, model)().fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
        """,
    "sub/here": "",
}
STAGES = {"ridge": ("", "fit.py", "Ridge", "0.1"), "lasso": ("sub", "../fit.py", "Lasso", "0.9", "mine")}


def sessions_of(root: Path) -> list[str]:
    folder = root / SESSIONS
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def opened(root: Path, said: list[str]) -> tuple[Project, Session]:
    """The session of a first stage, which begins it."""
    project = load_project(root)
    session = open_session(project, project.pipelines[0], said.append)
    assert session.environment("fit")["CANON_SESSION"] == session.id
    return project, session


def all_runs(store: Store) -> list[tuple[str, str, Mapping[str, str]]]:
    """Name of the experiment, status and tags of every run."""
    client = store.client
    return [
        (experiment.name, run.info.status, run.data.tags)
        for experiment in client.search_experiments()
        for run in client.search_runs([experiment.experiment_id])
    ]


@pytest.mark.soak
def test_what_passes_alone_passes_at_once_in_a_store_that_is_not_there_yet(repository: Path) -> None:
    """One param with two values, `set_experiment`, and autolog in two: all at the same moment."""
    write(repository, USERS)
    git(repository, "remote", "add", "origin", "https://me:hunter@example.com/team/users.git")
    call(repository, os.environ, "canon", "render")
    said: list[str] = []
    project, session = opened(repository, said)
    assert len(sessions_of(repository)) == 1
    started = [
        subprocess.Popen(
            [str(BIN / "python"), "-W", "ignore", *command], cwd=repository / folder,
            env={**os.environ, **session.environment(stage)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for stage, (folder, *command) in STAGES.items()
    ]  # fmt: skip
    printed = [process.communicate(timeout=200)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 2, b"\n".join(printed).decode()
    close_session(project, session, dict.fromkeys(STAGES, "done"), said.append)
    assert (said, sessions_of(repository)) == ([], [])
    assert not (repository / "sub/mlflow.db").exists()
    store = local_store(repository)
    runs = all_runs(store)
    assert sorted((name, status, tags["canon.stage"]) for name, status, tags in runs) == [
        ("Default", "FINISHED", "ridge"),
        ("mine", "FINISHED", "lasso"),
    ]
    head = git(repository, "rev-parse", "HEAD")
    for _, _, tags in runs:
        assert (tags["canon.session"], tags["canon.pipeline"]) == (session.id, "users")
        assert tags["mlflow.source.git.commit"] == head
        assert tags["mlflow.source.git.repoURL"] == "https://example.com/team/users.git"
    ridge, lasso = store.row("Default").data, store.row("mine").data
    assert (ridge.params["rate"], lasso.params["rate"]) == ("0.1", "0.9")
    assert (ridge.params["solver"], lasso.params["selection"]) == ("auto", "cyclic")  # of autolog
    assert (len(ridge.tags["canon.data_hash"]), lasso.tags["canon.data_hash"]) == (64, "my own")


NESTED = """\
import mlflow
with mlflow.start_run(run_name="outer"):
    with mlflow.start_run(run_name="inner", nested=True):
        pass
with mlflow.start_run(run_name="theirs", tags={"mlflow.parentRunId": "somebody"}):
    pass
mlflow.start_run(run_name="left")
import os
from pathlib import Path
Path("model.txt").write_text("weights")
Path("loss.csv").write_text("step,loss\\n1,0.5\\n")
Path("metrics.json").write_text("{}")
os._exit(0)
"""


@pytest.fixture
def small(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_small_project(tmp_path_factory, tmp_path / "small")


def test_own_runs_become_children_of_the_row_that_track_logs(small: Path, run: Run) -> None:
    (small / "fit.py").write_text(NESTED)
    said: list[str] = []
    project, session = opened(small, said)
    other = local_store(small).client.create_run("0", tags={"canon.session": "f" * 32}, run_name="other")
    run(small, "dvc", "repro", env=dict(session.environment("dvc.yaml:fit")))
    store = local_store(small)
    row = store.row("main").info.run_id
    found = {each.info.run_name: each for each in store.rows("Default")}
    parents = {name: each.data.tags.get("mlflow.parentRunId") for name, each in found.items()}
    outer = found["outer"].info.run_id
    assert parents == {"outer": row, "inner": outer, "theirs": "somebody", "left": row, "other": None}
    assert found["left"].info.status == "RUNNING"
    close_session(project, session, {"dvc.yaml:fit": "done", "dvc.yaml:track": "done"}, said.append)
    assert said == ["canon: an MLflow run that `fit` left open is FINISHED now"]
    assert sessions_of(small) == []
    assert store.client.get_run(other.info.run_id).info.status == "RUNNING"
    # The result is there already; another session that comes to it gives it its own runs, and takes none of the others'.
    again, second = opened(small, said)
    late = store.client.create_run("0", tags={"canon.session": second.id, "canon.stage": "fit"}, run_name="late")
    run(small, "dvc", "repro", "-f", "-s", "track", env=dict(second.environment("track")))
    assert store.client.get_run(late.info.run_id).data.tags["mlflow.parentRunId"] == row
    assert {
        each.info.run_name: each.data.tags.get("mlflow.parentRunId") for each in store.rows("Default") if each.info.run_name != "late"
    } == parents  # fmt: skip
    store.client.set_terminated(late.info.run_id)
    close_session(again, second, {"track": "done"}, said.append)
    assert (len(said), sessions_of(small)) == (1, [])


def test_a_run_of_an_earlier_session_waits_for_the_row_of_a_result_with_its_stage(small: Path, run: Run) -> None:
    """`fit` passes, a later stage fails; when that is mended `fit` does not run again, and its run belongs to the result."""
    said: list[str] = []
    project, first = opened(small, said)
    store = local_store(small)
    runs = [
        store.client.create_run("0", tags={"canon.session": first.id, "canon.stage": stage}, run_name=stage)
        for stage in ("fit", "track")
    ]
    run(small, "dvc", "repro", "fit")
    store.client.set_terminated(runs[0].info.run_id)
    close_session(project, first, {"fit": "done", "track": "failed"}, said.append)
    assert said == ["canon: an MLflow run that `track` left open is FAILED now"]
    project, second = opened(small, said)
    run(small, "dvc", "repro", env=dict(second.environment("track")))
    close_session(project, second, {"track": "done"}, said.append)
    row = store.row("main").info.run_id
    tags = [store.client.get_run(each.info.run_id).data.tags for each in runs]
    assert [each.get("mlflow.parentRunId") for each in tags] == [row, None]
    assert not [each for each in tags if "canon.entry" in each]
    assert (len(said), sessions_of(small)) == (1, [])


def test_a_row_that_canon_run_itself_makes_gets_what_waits_for_it(small: Path, run: Run) -> None:
    """As after a kill, where the result came from the run-cache."""
    run(small, "canon", "run", "main")
    store, project = local_store(small), load_project(small)
    entry = entry_hashes(load_lock(small, project.pipeline("main")))["fit"]
    own = store.client.create_run("0", tags={"canon.entry": f"main/{entry}"})
    store.client.set_terminated(own.info.run_id)
    write_note(waiting_note(small, "main"))
    store.client.delete_run(store.row("main").info.run_id)
    for path in ("dvc.lock", "results/main.json", ".dvc/tmp/canon/rows/main.json"):
        (small / path).unlink()
    run(small, "canon", "run", "main")
    row = store.row("main").info.run_id
    assert store.client.get_run(own.info.run_id).data.tags["mlflow.parentRunId"] == row
    assert not waiting_note(small, "main").exists()


@pytest.mark.parametrize(
    ("outcome", "status"),
    [({"fit": "failed", "x": "done"}, "FAILED"), ({"fit": "stopped", "x": "failed"}, "KILLED"), ({}, "FINISHED")],
    ids=["failed", "interrupted", "unknown"],
)
def test_a_run_ends_as_its_stage_did(small: Path, outcome: dict[str, str], status: str) -> None:
    said: list[str] = []
    project, session = opened(small, said)
    client = local_store(small).client
    own = client.create_run("0", tags={"canon.session": session.id, "canon.stage": "fit"})
    others = [client.create_run("0", tags=tags) for tags in ({}, {"canon.stage": "fit"}, {"canon.session": "e" * 32})]
    close_session(project, session, outcome, said.append)
    assert said == [f"canon: an MLflow run that `fit` left open is {status} now"]
    assert client.get_run(own.info.run_id).info.status == status
    assert [client.get_run(other.info.run_id).info.status for other in others] == ["RUNNING"] * 3
    assert sessions_of(small) == []


OPEN = """\
import sys, time
from pathlib import Path
from canon.model.project import load_project
from canon.results import sessions
from canon.results.sessions import open_session
project = load_project(Path.cwd())
session = open_session(project, project.pipelines[0])
session.environment("fit")
sessions.QUICK = 0
session.running()
print(session.id, session._watcher._process.pid, flush=True)
time.sleep(600)
"""


def test_what_a_killed_session_left_open_the_next_command_closes(small: Path, run: Run) -> None:
    with subprocess.Popen([sys.executable, "-c", OPEN], cwd=small, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            session, watcher = process.stdout.readline().split()
            end = os.pidfd_open(int(watcher))
            client = local_store(small).client
            own = client.create_run("0", tags={"canon.session": session, "canon.stage": "fit\x1b[2J"})
            said: list[str] = []
            settle_sessions(load_project(small), said.append)  # it is alive
            assert (said, sessions_of(small)) == ([], [f"{session}.json"])
            _, mine = opened(small, said)
            live = client.create_run("0", tags={"canon.session": mine.id})
        finally:
            process.send_signal(signal.SIGKILL)
    assert select.select([end], [], [], 60)[0], "the process that watched it is left"
    os.close(end)
    done = run(small, "canon", "log")
    assert "canon: an MLflow run that `fit\ufffd[2J` left open is KILLED now\n" in done.stderr
    assert client.get_run(own.info.run_id).info.status == "KILLED"
    assert client.get_run(live.info.run_id).info.status == "RUNNING"
    assert sessions_of(small) == [f"{mine.id}.json"]
    assert "left open" not in run(small, "canon", "log").stderr


WAITS = "  later: {cmd: 'while ! test -e go; do sleep 0.05; done; echo x > later', deps: [model.txt], outs: [later]}\nartifacts:"


@pytest.mark.parametrize("command", ["canon run main", "dvc repro"])
def test_a_killed_run_is_settled_as_if_it_had_lived_of_the_stages_that_had_finished(
    small: Path, run: Run, command: str
) -> None:
    """`fit` has finished, `later` runs: the next run makes the row, and gives it what belongs to it."""
    declared = small / "pipelines/main.yaml"
    declared.write_text(declared.read_text().replace("artifacts:", WAITS))
    with subprocess.Popen(["canon", "run", "main", "--render"], cwd=small, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 60
            while not any('["fit", "FINISHED"' in path.read_text() for path in (small / SESSIONS).glob("*.json")):
                assert time.monotonic() < end
                time.sleep(0.01)
            (session,) = [Path(name).stem for name in sessions_of(small)]
        finally:
            process.kill()
    client = local_store(small).client
    runs = {
        (stage, status): client.create_run("0", tags={"canon.session": session, "canon.stage": stage}).info.run_id
        for stage in ("fit", "later")
        for status in ("RUNNING", "FINISHED")
    }
    for (_, status), run_id in runs.items():
        if status == "FINISHED":
            client.set_terminated(run_id)
    (small / "go").touch()
    said = run(small, *command.split()).stderr
    assert "an MLflow run that `fit` left open is FINISHED now" in said
    assert "an MLflow run that `later` left open is KILLED now" in said
    row = local_store(small).row("main").info.run_id
    found = {key: client.get_run(run_id) for key, run_id in runs.items()}
    assert {key: (each.info.status, each.data.tags.get("mlflow.parentRunId")) for key, each in found.items()} == {
        ("fit", "RUNNING"): ("FINISHED", row),
        ("fit", "FINISHED"): ("FINISHED", row),
        ("later", "RUNNING"): ("KILLED", None),
        ("later", "FINISHED"): ("FINISHED", None),
    }
    assert not [each for each in found.values() if "canon.entry" in each.data.tags]
    assert sessions_of(small) == []


def test_open_runs_are_told_while_they_run_by_a_process_that_ends_with_the_session(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("canon.results.sessions.QUICK", 0.0)
    project, session = opened(small, [])
    client = local_store(small).client
    own = client.create_run("0", tags={"canon.session": session.id, "canon.stage": "fit"}, run_name="mine \x1b[31m")
    client.create_run("0", tags={"canon.session": "f" * 32, "canon.stage": "fit"})
    waited = 0
    while not (found := session.running()):
        waited += 1
        assert waited < 1200, "the watching process says nothing"
        time.sleep(0.05)
    assert [(each.run_id, each.stage, each.name, each.url) for each in found] == [
        (own.info.run_id, "fit", "mine \ufffd[31m", "")
    ]
    watcher = session._watcher
    assert watcher is not None
    close_session(project, session, {"fit": "failed"}, lambda _: None)
    assert watcher._process.poll() is not None
    assert session.running() == ()


def test_tags_of_the_user_go_first_and_a_text_that_is_none_stays(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", '{"team": "a", "canon.pipeline": "mine"}')
    _, session = opened(small, [])
    told = json.loads(session.environment("fit")["MLFLOW_RUN_CONTEXT"])
    assert (told["team"], told["canon.pipeline"], told["canon.session"], told["canon.stage"]) == (
        "a", "mine", session.id, "fit"
    )  # fmt: skip
    assert "MLFLOW_TRACKING_URI" not in session.environment("fit")
    # A session within a stage of another one.
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", json.dumps({**told, "canon.stage": "outer"}))
    _, inner = opened(small, [])
    told = json.loads(inner.environment("fit")["MLFLOW_RUN_CONTEXT"])
    assert (told["team"], told["canon.pipeline"], told["canon.session"], told["canon.stage"]) == (
        "a", "main", inner.id, "fit"
    )  # fmt: skip
    for text in ("no json", "[1]"):
        monkeypatch.setenv("MLFLOW_RUN_CONTEXT", text)
        assert set(opened(small, [])[1].environment("fit")) == {"CANON_SESSION"}


def test_a_session_in_which_no_command_runs_writes_nothing(small: Path) -> None:
    project = load_project(small)
    said: list[str] = []
    session = open_session(project, project.pipelines[0], said.append)
    assert session.running() == ()
    close_session(project, session, {}, said.append)
    assert (said, sessions_of(small)) == ([], [])
    assert not (small / SESSIONS).exists()


def test_a_file_that_no_session_wrote_is_removed_and_one_that_cannot_be_written_fails_nothing(small: Path) -> None:
    folder = small / SESSIONS
    folder.mkdir(parents=True)
    for name, text in {
        "a.json": "{",
        f"{'b' * 32}.json": "[]",
        f"{'c' * 32}.json": json.dumps({"session": "c" * 32}),
        f"{'d' * 32}.json": json.dumps(
            {
                "session": "d" * 32,
                "pipeline": "../../up",
                "store": "sqlite:///x",
                "stages": {},
                "entries": {},
                "other": "KILLED",
            }
        ),
    }.items():
        (folder / name).write_text(text)
    said: list[str] = []
    settle_sessions(load_project(small), said.append)
    assert (said, sessions_of(small)) == ([], [])
    folder.rmdir()
    folder.write_text("a file")
    project, session = opened(small, said)
    assert "MLflow runs of its stages stay open" in said[0]
    own = local_store(small).client.create_run("0", tags={"canon.session": session.id})
    close_session(project, session, {"fit": "stopped"}, said.append)
    assert said[1:] == ["canon: an MLflow run that a stage left open is KILLED now"]
    assert local_store(small).client.get_run(own.info.run_id).info.status == "KILLED"
