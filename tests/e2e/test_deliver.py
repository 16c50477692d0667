"""`canon step deliver`: the result of a workflow's pods in the remote, in Git as an experiment, and in MLflow; once, however often it runs."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from canon.dvc.lockfile import load_lockfile
from canon.model import cluster
from canon.model.errors import CanonError, StoreUnavailableError
from canon.steps.deliver import deliver_workflow
from canon.steps.documents import record_path, write_plan
from canon.steps.places import Places, Pod
from canon.steps.planner import delivered_path
from tests.conftest import S3, Run, git, once
from tests.e2e.planned import FILES, add_remote, run_and_push, write_project
from tests.e2e.test_steps import Workflow, entries
from tests.tracking import Store, stages_run

pytestmark = pytest.mark.usefixtures("quick")
PIPELINE = (
    FILES["pipelines/p.yaml"].replace("track: false\n", "description: A small pipeline.\n")
    + """\
    metrics: [results/metrics.json, summary.json: {cache: false}]
    plots: [plots/loss.csv: {x: step, y: loss}]
artifacts: {net: {path: data/prepared/deep, type: model}}
"""
)
COMPARE = """\
pathlib.Path("results/metrics.json").write_text(json.dumps({"total": sum(each["value"] for each in found)}))
pathlib.Path("summary.json").write_text(json.dumps({"count": len(found)}))
pathlib.Path("plots").mkdir(exist_ok=True)
pathlib.Path("plots/loss.csv").write_text("step,loss\\n1,0.5\\n")
"""
DELIVERED = FILES | {"pipelines/p.yaml": PIPELINE, "compare.py": FILES["compare.py"] + COMPARE}


OTHER = """\
name: q
dvc_file: side/dvc.yaml
track: false
stages:
  write: {cmd: echo words > side/words.txt, deps: [samples/raw.csv], outs: [side/words.txt]}
"""


class Delivered(Workflow):
    """A workflow whose project lies in a bare repository, too."""

    def __init__(self, project: Path, folder: Path, s3: S3, uid: str, store: Store, **changed: Any) -> None:
        super().__init__(project, folder, s3, uid)
        assert store.client  # MLflow's mappings, which use what SQLAlchemy deprecates, are read with warnings off
        self.code = folder.parent / "code.git"
        revision = git(project, "rev-parse", "HEAD")
        self.plan = self.plan.model_copy(update={"revision": revision, **changed})
        write_plan(self.remote.objects(), uid, self.plan)
        self.environ |= {
            cluster.GIT_URL_VARIABLE: str(self.code),
            cluster.GIT_BRANCHES_VARIABLE: "main",
            "MLFLOW_TRACKING_URI": store.uri,
        }

    def run_all(self) -> None:
        done: set[str] = set()
        while left := [task for task in self.plan.tasks if task not in done]:
            task = next(task for task in left if done.issuperset(self.plan.tasks[task].parents))
            assert self.run(task) == 0
            done.add(task)

    def deliver(self, attempt: int = 1) -> dict[str, Any]:
        """Run the pod, each attempt in folders of its own; return what it noted in the end."""
        top = self.folder / self.uid / f"deliver-{attempt}"
        places = Places(top / "src", top / "run", top / "private")
        places.private.mkdir(parents=True, exist_ok=True)
        deliver_workflow(Pod(self.uid, cluster.DELIVER, self.environ, places), self.said.append)
        content = self.remote.objects().read(delivered_path(self.plan, self.values()))
        assert content is not None
        found: dict[str, Any] = json.loads(content)
        return found

    def experiments(self) -> dict[str, str]:
        """Experiments of the bare repository: name → commit."""
        lines = git(self.code, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").splitlines()
        return {line.split()[0].rpartition("/")[2]: line.split()[1] for line in lines}


@pytest.fixture
def project(s3: S3, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = once(tmp_path_factory, "delivered", lambda folder: write_project(folder, DELIVERED))
    root = shutil.copytree(made, tmp_path / "delivered", symlinks=True)
    add_remote(root, s3)
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "code.git")
    git(root, "remote", "add", "origin", str(tmp_path / "code.git"))
    git(root, "push", "-q", "origin", "main")
    return root


@pytest.fixture
def workflow(project: Path, tmp_path: Path, s3: S3, team: Store, tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    """A workflow whose stages have all run: once for all tests, what they left in the remote is copied."""

    def make(folder: Path) -> None:
        Delivered(project, tmp_path / "pods", s3, "one", team).run_all()
        for item in s3.client.list_objects_v2(Bucket=s3.bucket)["Contents"]:
            (folder / item["Key"]).parent.mkdir(parents=True, exist_ok=True)
            (folder / item["Key"]).write_bytes(s3.client.get_object(Bucket=s3.bucket, Key=item["Key"])["Body"].read())

    left = once(tmp_path_factory, "delivered-objects", make)
    for file in left.rglob("*"):
        if file.is_file():
            s3.put(file.relative_to(left).as_posix(), file.read_bytes())
    return Delivered(project, tmp_path / "pods", s3, "one", team)


def test_a_clone_takes_what_was_delivered_and_executes_nothing(workflow: Delivered, tmp_path: Path, run: Run) -> None:
    noted = workflow.deliver()
    name = noted["experiment"]
    assert noted == {
        "revision": workflow.plan.revision,
        "result": noted["result"],
        "experiment": f"p-local-{noted['result'][:8]}",
        "image": None,
    }
    git(tmp_path, "clone", "-q", str(workflow.code), "clone")
    clone = tmp_path / "clone"
    assert name in run(clone, "dvc", "exp", "list", "origin", "--all").stdout
    run(clone, "dvc", "exp", "pull", "-q", "origin", name)
    run(clone, "dvc", "exp", "apply", "-q", name)
    assert "up to date" in run(clone, "dvc", "status").stdout
    lock = (clone / "dvc.lock").read_text()
    assert list(load_lockfile(lock, "dvc.lock")) == ["data-raw", "prepare", "fit@a", "fit@b", "compare", "track"]
    repro = run(clone, "dvc", "repro", "--pull")
    assert stages_run(repro.stdout) == []
    assert "up to date" in repro.stdout
    assert (clone / "dvc.lock").read_text() == lock
    assert json.loads((clone / "summary.json").read_text()) == {"count": 2}
    assert hashlib.sha256((clone / "results/p.json").read_bytes()).hexdigest() == noted["result"]
    shown = json.loads(run(clone, "dvc", "metrics", "show", "--json").stdout)
    assert shown[""]["data"] == {
        "results/metrics.json": {"data": {"total": 6.0}},
        "summary.json": {"data": {"count": 2}},
    }


def test_without_its_lock_a_clone_finds_all_in_the_run_cache(workflow: Delivered, tmp_path: Path, run: Run) -> None:
    """`track` too, whose entry nobody ran for."""
    workflow.deliver()
    git(tmp_path, "clone", "-q", str(workflow.code), "clone")
    repro = run(tmp_path / "clone", "dvc", "repro", "--pull")
    assert stages_run(repro.stdout) == []
    assert repro.stdout.count("is cached - skipping run") == 6


def test_it_is_what_a_laptop_would_have_made(workflow: Delivered, project: Path, s3: S3) -> None:
    """dvc.lock and the lines of .gitignore are DVC's to the byte, the result and all entries have the same names."""
    noted = workflow.deliver()
    made = entries(s3)
    run_and_push(project)
    commit = workflow.experiments()[noted["experiment"]]
    changed = git(workflow.code, "diff", "--name-only", f"{commit}~", commit).splitlines()
    assert changed == [".gitignore", "dvc.lock", "plots/.gitignore", "summary.json"][1 - (".gitignore" in changed) :]
    for path in changed:
        assert git(workflow.code, "show", f"{commit}:{path}") == (project / path).read_text().rstrip("\n"), path
    assert (
        git(workflow.code, "show", "-s", "--format=%(trailers:key=Canon-Result,valueonly)", commit) == noted["result"]
    )
    assert git(workflow.code, "rev-parse", f"{commit}~") == workflow.plan.revision
    assert hashlib.sha256((project / "results/p.json").read_bytes()).hexdigest() == noted["result"]
    assert entries(s3) == made
    assert len(made) == 6


def test_one_row_names_commit_experiment_and_workflow(workflow: Delivered, team: Store) -> None:
    noted = workflow.deliver()
    row = team.row("p")
    assert row.info.status == "FINISHED"
    tags = row.data.tags
    assert tags["canon.result"] == noted["result"]
    assert tags["mlflow.source.git.commit"] == workflow.plan.revision
    assert tags["canon.dirty"] == "false"
    assert (tags["canon.profile"], tags["canon.workflow"]) == ("local", "one")
    assert tags["canon.dvc.experiment"] == noted["experiment"] == row.info.run_name
    assert row.data.metrics == {"total": 6.0, "count": 2.0}
    artifacts = team.artifacts(row)
    assert {"dvc.lock", "result.json", "plots/plots/loss.csv"} <= artifacts.keys()
    assert artifacts["models/net/sum.txt"] == b"6"


def test_again_nothing_is_new(workflow: Delivered, s3: S3, team: Store, project: Path, tmp_path: Path) -> None:
    """Neither in another pod, nor in the same one, nor by another workflow with the same results."""
    workflow.deliver()
    before = (workflow.experiments(), entries(s3), [run.info.run_id for run in team.rows("p")])
    assert workflow.deliver(attempt=2)["experiment"] in before[0]
    workflow.deliver()
    other = Delivered(project, tmp_path / "pods", s3, "two", team)
    other.run_all()
    other.deliver()
    assert (workflow.experiments(), entries(s3), [run.info.run_id for run in team.rows("p")]) == before
    assert team.row("p").data.tags["canon.workflow"] == "one"


def test_params_as_applied_are_in_the_experiment_alone(project: Path, tmp_path: Path, s3: S3, team: Store) -> None:
    text = "fit: {rate: 0.25}\nnames: [a, b]\n"
    workflow = Delivered(project, tmp_path / "pods", s3, "one", team, applied={"params/p.yaml": text})
    workflow.run_all()
    name = workflow.deliver()["experiment"]
    commit = workflow.experiments()[name]
    assert git(workflow.code, "show", f"{commit}:params/p.yaml") == text.rstrip("\n")
    assert team.row("p").data.metrics["total"] == 3.0
    assert team.row("p").data.tags["canon.dirty"] == "false"
    assert git(workflow.code, "rev-parse", "main") == workflow.plan.revision


def test_a_task_that_recorded_nothing_is_named(workflow: Delivered, team: Store) -> None:
    workflow.remote.objects().remove(record_path("one", "fit--40b"))
    with pytest.raises(CanonError, match="has no entry of `fit@b`"):
        workflow.deliver()
    assert workflow.experiments() == {}
    assert team.rows("p") == []


def test_an_entry_of_another_code_is_refused(workflow: Delivered, project: Path) -> None:
    """As when somebody exchanged a record: it is whole, and of other inputs."""
    (project / "fit.py").write_text(FILES["fit.py"] + "# other\n")
    git(project, "commit", "-qam", "other")
    git(project, "push", "-q", "origin", "main")
    workflow.plan = workflow.plan.model_copy(update={"revision": git(project, "rev-parse", "HEAD")})
    write_plan(workflow.remote.objects(), "one", workflow.plan)
    with pytest.raises(CanonError, match="of `fit@a` was made from other code, params or data"):
        workflow.deliver()


def test_data_that_is_gone_is_named(workflow: Delivered, s3: S3) -> None:
    listed = s3.client.list_objects_v2(Bucket=s3.bucket, Prefix="dvc/files/")["Contents"]
    for item in listed:
        if s3.client.get_object(Bucket=s3.bucket, Key=item["Key"])["Body"].read() == b'{"total": 6.0}':
            s3.client.delete_object(Bucket=s3.bucket, Key=item["Key"])
    with pytest.raises(CanonError, match=r"has no data of results/metrics.json"):
        workflow.deliver()


def test_mlflow_down_fails_the_pod_and_the_next_one_delivers(workflow: Delivered, team: Store) -> None:
    workflow.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        workflow.deliver()
    assert workflow.remote.objects().read(delivered_path(workflow.plan, workflow.values())) is None
    before = workflow.experiments()
    workflow.environ["MLFLOW_TRACKING_URI"] = team.uri
    noted = workflow.deliver(attempt=2)
    assert workflow.experiments() == before
    assert team.row("p").data.tags["canon.result"] == noted["result"]


def test_a_pod_that_is_killed_after_any_step_is_made_up_for(
    workflow: Delivered, team: Store, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a killed attempt has done is there once in the end, and it has noted nothing."""
    from canon.steps import deliver, outcome

    class Killed(BaseException):
        pass

    steps = [
        (outcome, "send_track"),
        (deliver, "build_outcome"),
        (deliver, "publish_experiment"),
        (deliver, "log_record"),
    ]
    for attempt, (module, name) in enumerate(steps, 1):
        real = getattr(module, name)

        def killed(*arguments: Any, real: Any = real, **options: Any) -> None:
            real(*arguments, **options)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(module, name, killed)
            with pytest.raises(Killed):
                workflow.deliver(attempt)
        assert workflow.remote.objects().read(delivered_path(workflow.plan, workflow.values())) is None
    noted = workflow.deliver(attempt=len(steps) + 1)
    assert workflow.experiments().keys() == {noted["experiment"]}
    assert team.row("p").info.status == "FINISHED"
    assert len(entries(s3)) == 6


def test_without_mlflow_there_is_no_row_and_that_is_said(workflow: Delivered, team: Store) -> None:
    del workflow.environ["MLFLOW_TRACKING_URI"]
    assert workflow.deliver()["experiment"] in workflow.experiments()
    assert workflow.said[-1] == "no row: the profile `local` declares no `mlflow`"
    assert team.rows("p") == []


def test_another_experiment_of_the_name_stays_and_this_one_gets_a_number(workflow: Delivered, project: Path) -> None:
    noted = workflow.deliver()
    name, revision = noted["experiment"], workflow.plan.revision
    ref = f"refs/exps/{revision[:2]}/{revision[2:]}/{name}"
    git(workflow.code, "update-ref", "-d", ref)
    foreign = git(project, "commit-tree", f"{revision}^{{tree}}", "-p", revision, "-m", "somebody else's")
    git(project, "push", "-q", "origin", f"{foreign}:{ref}")
    assert workflow.deliver(attempt=2)["experiment"] == f"{name}-2"
    assert workflow.experiments()[name] == foreign
    assert workflow.deliver(attempt=3)["experiment"] == f"{name}-2"
    assert len(workflow.experiments()) == 2


def test_an_experiment_that_is_pushed_meanwhile_is_not_replaced(
    workflow: Delivered, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race that is lost between the look and the push: by a hook of the server's, at the very moment."""
    revision = workflow.plan.revision
    foreign = git(project, "commit-tree", f"{revision}^{{tree}}", "-p", revision, "-m", "somebody else's")
    git(project, "push", "-q", "origin", f"{foreign}:refs/heads/held")
    from canon.steps import publish

    real = publish._push
    raced: list[str] = []

    def push(root: Path, url: str, ref: str) -> None:
        if not raced:
            raced.append(ref)
            git(workflow.code, "update-ref", ref, foreign)
        real(root, url, ref)

    monkeypatch.setattr(publish, "_push", push)
    noted = workflow.deliver()
    name = raced[0].rpartition("/")[2]
    assert noted["experiment"] == f"{name}-2"
    assert workflow.experiments().keys() == {name, f"{name}-2"}
    assert workflow.experiments()[name] == foreign


def test_a_repository_that_takes_no_push_is_named(workflow: Delivered, team: Store) -> None:
    hook = workflow.code / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(CanonError, match=r"cannot be pushed to .*`git-write`"):
        workflow.deliver()
    assert team.rows("p") == []


def test_a_commit_of_another_branch_is_refused(workflow: Delivered) -> None:
    """The plan lies in the remote: which code counts says the manifest."""
    workflow.environ[cluster.GIT_BRANCHES_VARIABLE] = "release/*"
    with pytest.raises(CanonError, match=r"is on no branch of .* that this template takes"):
        workflow.deliver()
    assert workflow.experiments() == {}


def test_what_another_pipeline_makes_is_in_its_own_lock(
    project: Path, tmp_path: Path, s3: S3, team: Store, run: Run
) -> None:
    file = project / "pipelines/p.yaml"
    file.write_text(
        file.read_text().replace("[prepare.py, data/raw.csv]", "[prepare.py, data/raw.csv, side/words.txt]")
    )
    (project / "pipelines/q.yaml").write_text(OTHER)
    run(project, "canon", "render")
    git(project, "add", "--all")
    git(project, "commit", "-qm", "two")
    git(project, "push", "-q", "origin", "main")
    workflow = Delivered(project, tmp_path / "pods", s3, "one", team)
    assert "side/dvc.yaml:write" in workflow.plan.stages
    workflow.run_all()
    noted = workflow.deliver()
    git(tmp_path, "clone", "-q", str(workflow.code), "clone")
    clone = tmp_path / "clone"
    run(clone, "dvc", "exp", "pull", "-q", "origin", noted["experiment"])
    run(clone, "dvc", "exp", "apply", "-q", noted["experiment"])
    assert list(load_lockfile((clone / "side/dvc.lock").read_text(), "")) == ["write"]
    assert "up to date" in run(clone, "dvc", "status").stdout
    assert stages_run(run(clone, "dvc", "repro", "--pull").stdout) == []
    assert (clone / "side/words.txt").read_text() == "words\n"
    run_and_push(project)
    assert hashlib.sha256((project / "results/p.json").read_bytes()).hexdigest() == noted["result"]
    assert (clone / "side/dvc.lock").read_text() == (project / "side/dvc.lock").read_text()


def test_without_track_the_result_is_delivered_all_the_same(
    project: Path, tmp_path: Path, s3: S3, team: Store, run: Run
) -> None:
    file = project / "pipelines/p.yaml"
    file.write_text(file.read_text().replace("name: p\n", "name: p\ntrack: false\n", 1))
    subprocess.run(["canon", "render"], cwd=project, check=True, capture_output=True)
    git(project, "commit", "-qam", "untracked")
    git(project, "push", "-q", "origin", "main")
    workflow = Delivered(project, tmp_path / "pods", s3, "one", team)
    workflow.run_all()
    noted = workflow.deliver()
    assert len(entries(s3)) == 5
    git(tmp_path, "clone", "-q", str(workflow.code), "clone")
    run(tmp_path / "clone", "dvc", "exp", "pull", "-q", "origin", noted["experiment"])
    run(tmp_path / "clone", "dvc", "exp", "apply", "-q", noted["experiment"])
    assert "up to date" in run(tmp_path / "clone", "dvc", "status").stdout
    assert team.row("p").data.tags["canon.result"] == noted["result"]
