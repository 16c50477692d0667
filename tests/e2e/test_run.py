"""`canon run` as a user meets it: what it says, what it prints for scripts, what it runs at once."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from canon import adapters
from canon.cli.running import Flags, run_here
from canon.mlflow.record import RunRecord
from canon.mlflow.spool import spool_record
from canon.model.errors import CanonError
from canon.model.project import Project
from canon.output.files import RenderedFile
from canon.results.session_files import SESSIONS
from canon.results.track import SPOOL
from canon.running import fresh, remembered
from tests.conftest import Run, git
from tests.e2e import graphs
from tests.e2e.projects import write
from tests.tracking import empty_store, local_store

pytestmark = pytest.mark.usefixtures("quick")

STAGES = """\
name: p
track: false
stages:
  raw: {cmd: echo 1 2 3 > raw, outs: [raw]}
  fit:
    foreach: [x, y]
    do:
      cmd: 'cat raw > fit-${item}; echo "{\\"rmse\\": 0.5, \\"of\\": {\\"max\\": 2}}" > ${item}.json; echo said ${item}'
      deps: [raw]
      outs: ["fit-${item}"]
      metrics: [{"${item}.json": {cache: false}}]
  last: {cmd: cat fit-x fit-y > last, deps: [fit-x, fit-y], outs: [last]}
"""


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return graphs.make_project(tmp_path_factory, tmp_path / "p", {"pipelines/p.yaml": STAGES, "below/.keep": ""})


def test_what_it_says_and_prints(project: Path, run: Run) -> None:
    done = run(project, "canon", "run", "--dry-run")
    assert done.stdout == "raw\truns\nfit@x\tdepends\nfit@y\tdepends\nlast\tdepends\n"
    assert not (project / "dvc.lock").exists()
    done = run(project / "below", "canon", "run", "p", "fit", "--json")
    said = json.loads(done.stdout)
    assert [(each["stage"], each["state"]) for each in said["stages"]] == [
        ("raw", "done"),
        ("fit@x", "done"),
        ("fit@y", "done"),
    ]
    (x,) = [each for each in said["stages"] if each["stage"] == "fit@x"]
    assert {**x, "seconds": 0} == {
        "stage": "fit@x", "state": "done", "seconds": 0, "code": 0, "why": "", "log": ".dvc/tmp/canon/logs/fit@x.log",
        "metrics": {"rmse": 0.5, "of.max": 2.0},
    }  # fmt: skip
    assert x["seconds"] > 0
    assert (project / x["log"]).read_text() == "said x\n"
    assert "fit@x: done in" in done.stderr
    assert "\np: 3 done, in " in done.stderr
    for name in ("fit-x", "last"):
        (project / name).unlink(missing_ok=True)
    done = run(project, "canon", "run", "--dry-run")
    assert done.stdout == "raw\tunchanged\nfit@x\tcached\nfit@y\tunchanged\nlast\tdepends\n"
    done = run(project, "canon", "run", "-j", "1")
    assert done.stdout == ""
    assert "\np: 2 unchanged, 1 cached, 1 done, in " in done.stderr
    assert run(project, "dvc", "status").stdout == "Data and pipelines are up to date.\n"
    assert run(project, "canon", "run").stderr == "p: 4 unchanged\n"


def test_stages_run_at_once_as_far_as_there_is_what_they_declare(project: Path, run: Run) -> None:
    """Each of the two waits for the other, or sees that it is alone."""
    meet = "name: p\ntrack: false\nstages:\n" + "".join(
        f"  {one}: {{cmd: 'touch {one}.here; for i in 1 2 3 4 5 6 7 8 9 10; do test -e {other}.here && echo met > {one}; sleep 0.1; done;"
        f" rm {one}.here; test -e {one} || echo alone > {one}', outs: [{one}]POD}}\n"
        for one, other in (("a", "b"), ("b", "a"))
    )
    write(project, {"pipelines/p.yaml": meet.replace("POD", "")})
    run(project, "canon", "run", "--render", "-j", "2")
    assert (project / "a").read_text() == (project / "b").read_text() == "met\n"
    run(project, "canon", "run", "-j", "1", "--force")
    assert (project / "a").read_text() == (project / "b").read_text() == "alone\n"
    write(project, {"pipelines/p.yaml": meet.replace("POD", ", pod: {memory: 100Ti}")})
    run(project, "canon", "run", "--render", "-j", "2", "--force")
    assert (project / "a").read_text() == (project / "b").read_text() == "alone\n"


def test_no_dvc_repository_is_made(tmp_path: Path, run: Run) -> None:
    write(
        tmp_path, {"pyproject.toml": graphs.SETTINGS, "pipelines/p.yaml": "name: p\nstages: {a: {cmd: x, outs: [o]}}\n"}
    )
    done = run(tmp_path, "canon", "run", "--render", code=1)
    assert "no DVC repository; run `dvc init` there" in done.stderr
    assert not (tmp_path / ".dvc").exists()


@pytest.mark.filterwarnings("ignore:_NoneStep")  # a library of DVC
def test_a_generated_file_counts_wherever_it_lies(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adapters, others' too, put them where they like."""
    rendered = adapters.render_project

    def render(declared: Project) -> tuple[RenderedFile, ...]:
        return (*rendered(declared), RenderedFile("elsewhere/made.yaml", "a: 1\n"))

    monkeypatch.setattr(adapters, "render_project", render)
    write(project, {"elsewhere/made.yaml": "a: 1\n"})
    run(project, "canon", "run")
    time.sleep(0.06)
    run_here(project, (), Flags(), json_=False)
    assert fresh.load_fresh(project, fresh.request_of(()))
    write(project, {"elsewhere/made.yaml": "a: 2\n"})
    with pytest.raises(CanonError, match=r"elsewhere/made.yaml: stale"):
        run_here(project, (), Flags(), json_=False)


@pytest.mark.filterwarnings("ignore:_NoneStep")  # a library of DVC
def test_what_somebody_elses_adapter_reads_nobody_knows(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project, "canon", "run")
    time.sleep(0.06)
    monkeypatch.setattr(remembered, "has_others", lambda: True)
    run_here(project, (), Flags(), json_=False)
    assert fresh.load_fresh(project, fresh.request_of(())) is None


def test_what_a_linked_worktree_left_is_seen_to_until_nothing_waits(project: Path, run: Run, tmp_path: Path) -> None:
    """It lies in the main checkout."""
    linked = tmp_path / "linked"
    git(project, "worktree", "add", "-q", str(linked))
    run(linked, "canon", "run")
    time.sleep(0.06)
    run(linked, "canon", "run")
    assert fresh.load_fresh(linked, fresh.request_of(()))
    left = project / SESSIONS / "left"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text("")
    assert fresh.load_fresh(linked, fresh.request_of(())) is None
    time.sleep(0.06)
    run(linked, "canon", "run")  # as where the store still does not answer
    assert fresh.load_fresh(linked, fresh.request_of(())) is None
    left.unlink()
    (project / SPOOL).mkdir()
    (project / SPOOL / ".gitignore").write_text("*")  # it stays, as the folder does
    time.sleep(0.06)
    run(linked, "canon", "run")
    assert fresh.load_fresh(linked, fresh.request_of(()))


def test_a_row_of_any_pipeline_is_sent_by_one_that_makes_none(
    project: Path, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shutil.copyfile(empty_store(tmp_path_factory), project / "mlflow.db")
    spool_record(RunRecord("q", "of another", {"canon.result": "0" * 64}, {}, {}), project / SPOOL)
    assert "1 spooled result was sent" in run(project, "canon", "run").stderr
    assert local_store(project).row("q").info.status == "FINISHED"


def test_a_folder_that_git_ignores_no_more_is_a_doubt(project: Path, run: Run) -> None:
    """DVC looks for no dvc.yaml in what Git ignores."""
    exclude = project / ".git/info/exclude"
    exclude.parent.mkdir(exist_ok=True)
    exclude.write_text("/apart\n")
    write(project, {"apart/dvc.yaml": "stages: {a: {cmd: exit 1, outs: [../last]}}\n"})
    run(project, "canon", "run")
    time.sleep(0.06)
    run(project, "canon", "run")
    assert (project / fresh.FILE).exists()
    exclude.write_text("")
    assert "overlap" in run(project, "canon", "run", code=1).stderr


def test_json_has_no_numbers_that_json_does_not_know(project: Path, run: Run) -> None:
    write(project, {"pipelines/p.yaml": STAGES.replace("0.5", "NaN")})
    done = run(project, "canon", "run", "--render", "--json")
    said = json.loads(done.stdout, parse_constant=pytest.fail)
    assert {"rmse": None, "of.max": 2.0} in [each["metrics"] for each in said["stages"]]
