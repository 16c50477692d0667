"""`canon sweep` on this machine: points in workspaces of their own, what they share run once, all kept as experiments and rows."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import BIN, Run, git, once
from tests.e2e.projects import snapshot
from tests.e2e.swept import counted, executions, write_swept
from tests.tracking import Store, empty_store, local_store

pytestmark = pytest.mark.usefixtures("quick")
GRID = ("-S", "prepare.scale=1,2", "-S", "fit.rate=0.5,0.25")
ALL = ["fit 1 0.25", "fit 1 0.5", "fit 2 0.25", "fit 2 0.5", "prepare 1 0.5", "prepare 2 0.5"]


@pytest.fixture
def root(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = shutil.copytree(once(tmp_path_factory, "swept", write_swept), tmp_path / "p", symlinks=True)
    shutil.copyfile(empty_store(tmp_path_factory), made / "mlflow.db")
    return made


def experiments(root: Path) -> dict[str, str]:
    lines = git(root, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").splitlines()
    return {line.split()[0].rpartition("/")[2]: line.split()[1] for line in lines}


def family(store: Store) -> dict[str, list[dict[str, str]]]:
    """Sweep's space → params of its rows, sorted."""
    rows = store.rows("p")
    names = {row.info.run_id: " ".join(f"{key}={value}" for key, value in sorted(row.data.params.items())) for row in rows if "canon.sweep" in row.data.tags}  # fmt: skip
    found: dict[str, list[dict[str, str]]] = {name: [] for name in names.values()}
    for row in rows:
        if "canon.sweep" not in row.data.tags:
            found[names[row.data.tags["mlflow.parentRunId"]]].append(dict(row.data.params))
    return {name: sorted(children, key=str) for name, children in found.items()}


def surroundings(root: Path) -> tuple[object, ...]:
    return snapshot(root), git(root, "status", "--porcelain"), git(root, "worktree", "list"), git(root, "rev-parse", "HEAD"), git(root, "ls-files", "-s")  # fmt: skip


@pytest.mark.soak
def test_what_points_share_runs_once_and_again_nothing_does(root: Path, run: Run, tmp_path: Path) -> None:
    before = surroundings(root)
    log = tmp_path / "log"
    done = run(root, "canon", "sweep", "p", *GRID, "--json", env=counted(log))
    document = json.loads(done.stdout)
    assert executions(log) == ALL
    assert surroundings(root) == before
    assert (document["runs"], document["stages"], len(document["results"])) == (7, 12, 4)
    saved = experiments(root)
    assert [each["experiment"] for each in document["results"]] == [name for each in document["points"] for name in saved if _has(root, saved[name], each["set"])]  # fmt: skip
    rows = local_store(root).rows("p")
    by_id = {row.info.run_id: row for row in rows}
    for each in document["results"]:
        row = by_id[each["run_id"]]
        assert row.info.status == "FINISHED"
        assert row.data.tags["canon.dirty"] == "false"
        assert row.data.tags["canon.dvc.experiment"] == each["experiment"]
        if row.data.tags["mlflow.source.git.commit"] != document["commit"]:
            assert row.data.tags["mlflow.source.git.commit"] == saved[each["experiment"]]
        assert (
            git(root, "show", "-s", "--format=%(trailers:key=Canon-Result,valueonly)", each["commit"]) == each["result"]
        )
    (parent,) = (row for row in rows if "canon.sweep" in row.data.tags)
    assert (parent.info.status, parent.data.metrics) == ("FINISHED", {})
    assert parent.data.params == {"prepare.scale": "1,2", "fit.rate": "0.5,0.25"}
    note = parent.data.tags["mlflow.note.content"]
    for each in document["results"]:
        values = each["experiment"], *(document["points"][each["point"]]["set"]["params/p.yaml"][key] for key in ("prepare.scale", "fit.rate"))  # fmt: skip
        assert "| `{}` | {} | {} |".format(*values) in note
    assert len(family(local_store(root))["fit.rate=0.5,0.25 prepare.scale=1,2"]) == 4

    again = json.loads(run(root, "canon", "sweep", "p", *GRID, "--json", env=counted(log)).stdout)
    assert again == document
    assert executions(log) == ALL
    assert experiments(root) == saved
    assert {row.info.run_id for row in local_store(root).rows("p")} == set(by_id)

    more = run(root, "canon", "sweep", "p", "-S", "fit.rate=0.25,0.75", env=counted(log)).stdout.splitlines()
    assert executions(log) == sorted([*ALL, "fit 1 0.75"])
    assert more[0] in saved
    assert {name: len(rows) for name, rows in family(local_store(root)).items()} == {
        "fit.rate=0.5,0.25 prepare.scale=1,2": 3,
        "fit.rate=0.25,0.75": 2,
    }
    assert run(root, "dvc", "exp", "apply", more[0]).returncode == 0
    assert "Running stage" not in run(root, "dvc", "repro", env=counted(log)).stdout
    assert json.loads((root / "data/fit.json").read_text()) == {"value": 1.5}


def _has(root: Path, commit: str, point: dict[str, dict[str, float]]) -> bool:
    text = git(root, "show", f"{commit}:params/p.yaml")
    (keys,) = point.values()
    return all(f"{key.partition('.')[2]}: {value}" in text for key, value in keys.items())


def test_a_dry_run_says_what_would_run_and_runs_nothing(root: Path, run: Run, tmp_path: Path) -> None:
    before = surroundings(root)
    done = run(root, "canon", "sweep", "p", *GRID, "--dry-run", env=counted(tmp_path / "log"))
    assert done.stdout.splitlines() == [
        "1\tprepare.scale=1, fit.rate=0.5\tdata-raw prepare fit\t",
        "2\tprepare.scale=1, fit.rate=0.25\tfit\tdata-raw (1) prepare (1)",
        "3\tprepare.scale=2, fit.rate=0.5\tprepare fit\tdata-raw (1)",
        "4\tprepare.scale=2, fit.rate=0.25\tfit\tdata-raw (1) prepare (3)",
    ]
    assert "4 points have 12 stages, of which 7 are different" in done.stderr
    assert (surroundings(root), experiments(root), executions(tmp_path / "log")) == (before, {}, [])
    drawn = ("-S", "fit.rate=interval(0,1)", "--samples", "3", "--dry-run", "--json")
    document = json.loads(run(root, "canon", "sweep", "p", *drawn).stdout)
    assert document["points"] == json.loads(run(root, "canon", "sweep", "p", *drawn).stdout)["points"]
    assert len({each["set"]["params/p.yaml"]["fit.rate"] for each in document["points"]}) == 3
    for arguments, code, says in (
        (("-S", "fit.rate=range(1,1000000000)"), 2, "says more than 200 values"),
        (("-S", "fit.speed=1"), 1, "has the key `fit.speed`"),
        (("-S", "fit.rate=interval(0,1)"), 2, "give --samples"),
        (("-S", "fit.rate=1,2", "--max-points", "1"), 2, "more than 1 value"),
        (("-S", "fit.rate=1", "--profile", "none"), 1, "there is no profile `none`"),
    ):
        refused = run(root, "canon", "sweep", "p", *arguments, "--dry-run", code=code)
        assert says in refused.stderr
        assert refused.stdout == ""


@pytest.mark.soak
def test_a_point_that_fails_is_said_and_the_others_go_on(root: Path, run: Run, tmp_path: Path) -> None:
    log, command = tmp_path / "log", ("canon", "sweep", "p", "-S", "fit.rate=0.5,0.25")
    done = run(root, *command, "--json", env=counted(log, BREAK="0.5"), code=1)
    document = json.loads(done.stdout)
    assert [("failed" in each) for each in document["results"]] == [True, False]
    assert "1 of 2 points are done" in done.stderr
    assert len(experiments(root)) == 1
    assert executions(log) == ["fit 1 0.25", "fit 1 0.5", "prepare 1 0.5"]
    assert git(root, "worktree", "list").count("\n") == 0
    fast = run(root, *command, "--fail-fast", env=counted(log, BREAK="0.5"), code=1)
    assert "0 of 2 points are done" in fast.stderr
    assert len(run(root, *command, env=counted(log)).stdout.splitlines()) == 2
    assert executions(log) == ["fit 1 0.25", "fit 1 0.5", "fit 1 0.5", "fit 1 0.5", "prepare 1 0.5"]


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_is_interrupted_goes_on_where_it_stopped(
    root: Path, run: Run, tmp_path: Path, number: signal.Signals
) -> None:
    log, held = tmp_path / "log", tmp_path / "held"
    script = root / "step.py"
    script.write_text(
        script.read_text()
        + 'if params["rate"] == "0.25" and "HELD" in os.environ:\n    import time\n    pathlib.Path(os.environ["HELD"]).touch()\n    time.sleep(200)\n'
    )
    git(root, "commit", "-qam", "slower")
    command = ("canon", "sweep", "p", "-S", "fit.rate=0.5,0.25")
    # The installed commands: the quick ones are no process group.
    env = counted(log, HELD=str(held), PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    with (tmp_path / "out").open("wb") as out, (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=root, env=env, stdout=out, stderr=said)
    end = time.monotonic() + 120
    while not held.exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}[number.name]
    assert len((tmp_path / "out").read_text().splitlines()) == len(experiments(root)) == 1
    if number != signal.SIGKILL:
        assert (
            "canon: interrupted; 1 of 2 points have ended, the same command runs the rest\n"
            in (tmp_path / "said").read_text()
        )
        assert git(root, "worktree", "list").count("\n") == 0
        assert not _sleepers(root)
    before = executions(log)
    assert before == ["fit 1 0.25", "fit 1 0.5", "prepare 1 0.5"]
    assert len(run(root, *command, env=counted(log)).stdout.splitlines()) == 2
    assert executions(log) == sorted([*before, "fit 1 0.25"])
    for pid in _sleepers(root):
        os.kill(pid, signal.SIGKILL)
    assert len(experiments(root)) == 2
    left = 1 if number == signal.SIGKILL else 0  # the workspace in which the orphan still ran was left alone
    assert git(root, "worktree", "list").count("\n") == left
    run(root, *command)
    assert git(root, "worktree", "list").count("\n") == 0


def _sleepers(root: Path) -> list[int]:
    """Processes of stages, and of DVC, that run in workspaces of a project."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            cwd = str((folder / "cwd").readlink())
        except OSError:
            continue
        if cwd.startswith(f"{root}/.dvc/tmp"):
            found.append(int(folder.name))
    return found


def test_what_is_not_committed_is_refused_or_left_out(root: Path, run: Run, tmp_path: Path) -> None:
    (root / "step.py").write_text("raise SystemExit(1)\n")
    refused = run(root, "canon", "sweep", "p", "-S", "fit.rate=0.5", code=1)
    assert "not committed, and a sweep runs what is: step.py; commit, or say --allow-dirty" in refused.stderr
    command = ("canon", "sweep", "p", "-S", "fit.rate=0.5", "--allow-dirty", "--profile", "cluster")
    done = run(root, *command, env=counted(tmp_path / "log"))
    assert "not committed, so left out: step.py" in done.stderr
    assert done.stdout.startswith("p-cluster-")
    assert executions(tmp_path / "log") == ["fit 1 0.5", "prepare 1 0.5"]
    (commit,) = experiments(root).values()
    assert "profile: cluster" in git(root, "show", f"{commit}:pipelines/p.pins.yaml")
    assert local_store(root).rows("p")[0].data.tags["canon.profile"] == "cluster"


@pytest.mark.soak
def test_without_a_store_results_are_kept_and_join_later(root: Path, run: Run, tmp_path: Path) -> None:
    command = ("canon", "sweep", "p", "-S", "fit.rate=0.5")
    down = run(root, *command, env=counted(tmp_path / "log", MLFLOW_TRACKING_URI="http://127.0.0.1:9"))
    assert len(down.stdout.splitlines()) == 1
    assert "is kept in" in down.stderr
    run(root, "canon", "log", "--spooled")
    assert len(local_store(root).rows("p")) == 1
    run(root, *command, env=counted(tmp_path / "log"))
    assert {name: len(rows) for name, rows in family(local_store(root)).items()} == {"fit.rate=0.5": 1}
    assert executions(tmp_path / "log") == ["fit 1 0.5", "prepare 1 0.5"]


@pytest.mark.soak
def test_templates_files_of_dvc_and_pipelines_without_track_are_as_in_any_workspace(small: Path, run: Run) -> None:
    """The input that a `.dvc` file tracks is brought, another pipeline is left alone, `${…}` takes no shell text."""
    done = run(small, "canon", "sweep", "main", "-S", "fit.rate=0.25")
    assert done.stdout.startswith("main-local-")
    assert "python fit.py 0.25" in done.stderr
    assert "score.py" not in done.stderr
    refused = run(small, "canon", "sweep", "main", "-S", "fit.rate=0.25,'1; touch x'", code=1).stderr
    assert "where the shell would read it" in refused
    assert len(experiments(small)) == 1
    run(small, "dvc", "repro", "side/dvc.yaml")
    assert run(small, "canon", "experiment", "save", "side").stdout.startswith("side-local-")
