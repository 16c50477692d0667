"""`canon step pull` and `push` around the stages' own commands, as the containers of a pod run them, over a real S3 server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from canon.model import cluster
from canon.model.errors import CanonError, OutRefusedError
from canon.model.project import load_project
from canon.model.tasks import build_tasks
from canon.planning.pipelines import pipeline_graph
from canon.remotes.opening import Remote
from canon.steps.documents import PlannedTask, WorkflowPlan, load_record, stage_document, write_plan
from canon.steps.places import Places, Pod, load_pod
from canon.steps.pull import pull_task
from canon.steps.push import push_task
from tests.conftest import S3, git, once
from tests.e2e.planned import add_remote, run_and_push, write_project

pytestmark = pytest.mark.usefixtures("quick")
ORDER = ["data-raw", "prepare", "fit--40a", "fit--40b", "compare"]


class Workflow:
    """A planned workflow, whose pods run here: each in folders of its own, with the code that the base image would hold.

    ``patience``: seconds for `push` to end after `main`.
    """

    patience = 60.0

    def __init__(self, project: Path, folder: Path, s3: S3, uid: str, **plan: Any) -> None:
        self.project, self.folder, self.uid = project, folder, uid
        self.said: list[str] = []
        self.ended = -1
        """Exit code of the last `main`."""
        self.remote = Remote(f"s3://{s3.bucket}/dvc", {"endpoint": s3.endpoint})
        loaded = load_project(project)
        pipeline = loaded.pipeline("p")
        graph = pipeline_graph(loaded, pipeline)
        tasks = build_tasks(pipeline.declaration, graph)
        self.plan = WorkflowPlan(
            pipeline="p", profile="local", revision="0" * 40, tree="0" * 40, image="base@sha256:1", declared="image@sha256:2",
            stages={key: stage_document(stage) for key, stage in graph.stages.items()},
            tasks={task.name: PlannedTask(stages=task.stages, parents=task.parents) for task in tasks},
            **plan,
        )  # fmt: skip
        write_plan(self.remote.objects(), uid, self.plan)
        self.secret: dict[str, str] = {}
        """Variables of the user's command."""
        self.environ = {
            cluster.PROTOCOL_VARIABLE: str(cluster.PROTOCOL),
            cluster.WORKFLOW_VARIABLE: uid,
            cluster.REMOTE_URL_VARIABLE: self.remote.url,
            cluster.REMOTE_ENDPOINT_VARIABLE: s3.endpoint,
        }

    def pod(self, task: str, attempt: int = 1) -> Pod:
        top = self.folder / self.uid / f"{task}-{attempt}"
        places = Places(top / "src", top / "run", top / "private", top / "emissary")
        if not places.code.exists():
            git(self.project, "worktree", "prune")
            shutil.copytree(self.project, places.code, ignore=shutil.ignore_patterns(".git", ".dvc", "data", "results"))
            places.run.mkdir()
            places.private.mkdir()
        return Pod(self.uid, task, self.environ, places)

    def pull(self, pod: Pod) -> None:
        pull_task(pod, self.said.append)

    def main(self, pod: Pod) -> int:
        return subprocess.run(
            ["/bin/sh", str(pod.places.script)], env={"PATH": os.environ["PATH"], **self.secret}, check=False
        ).returncode

    def run(self, task: str, attempt: int = 1, between: Callable[[Pod], object] = lambda _: None) -> int:
        """Run a task's pod as the cluster does, push beside main; return main's exit code."""
        pod = self.pod(task, attempt)
        self.pull(pod)
        errors: list[CanonError] = []

        def push() -> None:
            try:
                push_task(pod, self.said.append)
            except CanonError as error:
                errors.append(error)

        between(pod)
        thread = threading.Thread(target=push)
        thread.start()
        code = self.ended = self.main(pod)
        thread.join(self.patience)
        assert not thread.is_alive()
        if errors:
            raise errors[0]
        return code

    def run_all(self) -> None:
        for task in ORDER:
            if task in self.plan.tasks:
                assert self.run(task) == 0

    def values(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for task in self.plan.tasks:
            record = load_record(self.remote.objects(), self.uid, task)
            assert record is not None
            found |= {key: each.value for key, each in record.stages.items()}
        return found


@pytest.fixture
def project(s3: S3, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = shutil.copytree(once(tmp_path_factory, "planned", write_project), tmp_path / "planned", symlinks=True)
    add_remote(root, s3)
    for folder in ("data", "results"):
        shutil.rmtree(root / folder, ignore_errors=True)
    return root


def entries(s3: S3) -> set[str]:
    listed = s3.client.list_objects_v2(Bucket=s3.bucket, Prefix="dvc/runs/").get("Contents", ())
    return {item["Key"].removeprefix("dvc/runs/") for item in listed}


def test_pods_make_what_dvc_makes_and_a_fresh_clone_has_it(project: Path, tmp_path: Path, s3: S3) -> None:
    """The pods' results are DVC's: a clone pulls them and executes nothing, and its own entries have the same names."""
    workflow = Workflow(project, tmp_path / "pods", s3, "one")
    workflow.run_all()
    made = entries(s3)
    assert len(made) == 5
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(project), str(clone))
    said = subprocess.run(["dvc", "repro", "--pull"], cwd=clone, check=True, capture_output=True, text=True).stdout
    assert said.count("is cached - skipping run") == 5
    assert "Running stage" not in said
    assert json.loads((clone / "results/all.json").read_text()) == [
        {"name": "a", "value": 3.0},
        {"name": "b", "value": 3.0},
    ]
    run_and_push(clone)
    assert entries(s3) == made


@pytest.mark.soak
def test_what_a_laptop_pushed_is_a_hit_and_nothing_is_moved(project: Path, tmp_path: Path, s3: S3) -> None:
    run_and_push(project)
    workflow = Workflow(project, tmp_path / "pods", s3, "two")
    workflow.run_all()
    assert all("nothing to run" in text for text in workflow.said)
    assert not list((tmp_path / "pods").rglob("cache"))
    other = Workflow(project, tmp_path / "pods", s3, "three", accept="pods")
    other.run_all()
    assert all("nothing to run" not in text for text in other.said)


def test_a_pod_brings_its_own_deps_alone(project: Path, tmp_path: Path, s3: S3) -> None:
    workflow = Workflow(project, tmp_path / "pods", s3, "one")
    for task in ORDER[:2]:
        workflow.run(task)
    pod = workflow.pod("fit--40a")
    workflow.pull(pod)
    brought = {
        path.relative_to(pod.places.code).as_posix() for path in (pod.places.code / "data").rglob("*") if path.is_file()
    }
    assert brought == {"data/prepared/deep/sum.txt", "data/prepared/count.txt"}
    assert not (pod.places.code / "data/raw.csv").exists()


def test_a_pod_brings_a_whole_folder(project: Path, tmp_path: Path, s3: S3) -> None:
    file = project / "pipelines/p.yaml"
    file.write_text(file.read_text().replace("data/prepared/deep, data/prepared/count.txt", "data/prepared"))
    workflow = Workflow(project, tmp_path / "pods", s3, "one")
    for task in ORDER[:2]:
        workflow.run(task)
    pod = workflow.pod("fit--40a")
    workflow.pull(pod)
    assert (pod.places.code / "data/prepared/deep/sum.txt").read_text() == "6"
    assert (pod.places.code / "data/prepared/count.txt").read_text() == "3"


@pytest.mark.soak
def test_an_out_that_can_be_executed_can_be_in_the_pod_that_reads_it(project: Path, tmp_path: Path, s3: S3) -> None:
    """As after `dvc checkout`: a command that a stage makes for the next ones."""
    file = project / "pipelines/p.yaml"
    text = file.read_text().replace("outs: [data/prepared]", "outs: [data/prepared, data/tool]")
    file.write_text(text.replace("cmd: python3 fit.py", "cmd: data/tool fit.py").replace("deps: [fit.py,", "deps: [fit.py, data/tool,"))  # fmt: skip
    tool = (
        'tool = pathlib.Path("data/tool")\ntool.write_text("#!/bin/sh\\nexec python3 \\"$@\\"\\n")\ntool.chmod(0o755)\n'
    )
    (project / "prepare.py").write_text((project / "prepare.py").read_text() + tool)
    workflow = Workflow(project, tmp_path / "pods", s3, "one")
    for task in ORDER[:3]:
        assert workflow.run(task) == 0


def test_a_stage_that_fails_has_its_own_exit_code_and_saves_nothing(project: Path, tmp_path: Path, s3: S3) -> None:
    (project / "prepare.py").write_text("import sys; sys.exit(3)")
    workflow = Workflow(project, tmp_path / "pods", s3, "one")
    workflow.run("data-raw")
    before = entries(s3)
    assert workflow.run("prepare") == 3
    assert entries(s3) == before
    assert workflow.said[-1] == "prepare: failed with 3; nothing is saved"
    with pytest.raises(CanonError, match="has no entry of `prepare`, which this task reads from"):
        workflow.pull(workflow.pod("fit--40a"))


def test_a_main_that_is_killed_is_noticed(project: Path, tmp_path: Path, s3: S3) -> None:
    workflow = Workflow(project, tmp_path / "pods", s3, "one")
    pod = workflow.pod("data-raw")
    workflow.pull(pod)
    (pod.places.emissary / "main").mkdir(parents=True)
    (pod.places.emissary / "main/exitcode").write_text("137")
    push_task(pod, workflow.said.append)
    assert workflow.said[-1] == "data-raw: ended without a word; nothing is saved"
    assert workflow.run("data-raw", attempt=2) == 0


@pytest.mark.soak
def test_of_two_results_of_one_key_the_older_stands_and_children_use_it(project: Path, tmp_path: Path, s3: S3) -> None:
    """A stage that is not deterministic runs twice at once; both pods end, one entry stays."""
    (project / "prepare.py").write_text(
        (project / "prepare.py").read_text() + '(out / "noise.txt").write_text(__import__("uuid").uuid4().hex)\n'
    )
    one, other = (Workflow(project, tmp_path / "pods", s3, uid) for uid in ("one", "other"))
    one.run("data-raw")
    other.run("data-raw")
    second = other.pod("prepare")
    other.pull(second)
    assert one.run("prepare") == 0
    assert other.main(second) == 0
    push_task(second, other.said.append)
    prepared = [
        each for each in entries(s3) if each.split("/")[1] in {load["key"] for load in _records(one, "prepare")}
    ]
    assert len(prepared) == 1
    assert _records(one, "prepare") == _records(other, "prepare")
    assert "was there before, and stands for it" in other.said[-1]
    other.run("fit--40a")
    assert one.run("fit--40a") == 0
    assert "nothing to run" in one.said[-1]


def _records(workflow: Workflow, task: str) -> list[dict[str, str]]:
    record = load_record(workflow.remote.objects(), workflow.uid, task)
    assert record is not None
    return [each.model_dump() for each in record.stages.values()]


@pytest.mark.soak
def test_fresh_makes_all_anew_and_its_results_replace_the_others(project: Path, tmp_path: Path, s3: S3) -> None:
    (project / "prepare.py").write_text(
        (project / "prepare.py").read_text() + '(out / "noise.txt").write_text(__import__("uuid").uuid4().hex)\n'
    )
    one = Workflow(project, tmp_path / "pods", s3, "one")
    one.run_all()
    fresh = Workflow(project, tmp_path / "pods", s3, "fresh", fresh=True)
    fresh.run_all()
    assert all("nothing to run" not in text for text in fresh.said)
    assert fresh.values()["prepare"] != one.values()["prepare"]
    assert len([each for each in entries(s3) if each.split("/")[1] == _records(fresh, "prepare")[0]["key"]]) == 1
    assert fresh.run("prepare", attempt=2) == 0  # its own result counts
    assert "nothing to run" in fresh.said[-1]


def test_an_out_that_leads_elsewhere_is_refused(project: Path, tmp_path: Path, s3: S3) -> None:
    (project / "prepare.py").write_text(
        (project / "prepare.py").read_text() + '(out / "link").symlink_to("/etc/passwd")\n'
    )
    workflow = Workflow(project, tmp_path / "pods", s3, "one")
    workflow.run("data-raw")
    before = entries(s3)
    with pytest.raises(CanonError, match="is a link that leads out of it"):
        workflow.run("prepare")
    assert entries(s3) == before


def test_damaged_data_is_never_used(project: Path, tmp_path: Path, s3: S3) -> None:
    """An object of the same size that was exchanged: the pod fails, and names it."""
    workflow = Workflow(project, tmp_path / "pods", s3, "one")
    workflow.run("data-raw")
    (key,) = (item["Key"] for item in s3.client.list_objects_v2(Bucket=s3.bucket, Prefix="dvc/files/")["Contents"])
    size = s3.client.head_object(Bucket=s3.bucket, Key=key)["ContentLength"]
    s3.client.put_object(Bucket=s3.bucket, Key=key, Body=b"9" * size)
    with pytest.raises(CanonError, match=r"does not have .*, or has other bytes under that name"):
        workflow.run("prepare")
    s3.client.delete_object(Bucket=s3.bucket, Key=key)
    with pytest.raises(CanonError, match=r"does not have .*, or has other bytes"):
        workflow.run("prepare", attempt=2)


def write_chain(project: Path) -> None:
    """Let `prepare`, `fit` and `compare` run in one pod."""
    file = project / "pipelines/p.yaml"
    text = file.read_text().replace("stages:\n", "workflow: {group: chain}\nstages:\n", 1)
    file.write_text(
        text.replace("foreach: ${names}\n    do:\n      ", "", 1)
        .replace("      deps: [fit.py", "    deps: [fit.py")
        .replace("      params:", "    params:")
        .replace('      outs: ["results/fit/${item}.json"]', '    outs: ["results/fit/a.json"]')
        .replace("${item}", "a")
    )


@pytest.mark.soak
def test_a_chain_ends_where_what_a_stage_left_cannot_be_saved(project: Path, tmp_path: Path, s3: S3) -> None:
    """`main` ends by itself, with a code that no other attempt is made for: Argo calls a pod after that."""
    write_chain(project)
    (project / "fit.py").write_text("import pathlib; pathlib.Path('results/fit').mkdir(parents=True)")
    workflow = Workflow(project, tmp_path / "pods", s3, "one")
    workflow.run("data-raw")
    with pytest.raises(OutRefusedError, match=r"out results/fit/a.json is not there .*: its stage did not write it"):
        workflow.run("prepare")
    assert workflow.ended == OutRefusedError.exit_code == cluster.REFUSED
    assert len(entries(s3)) == 2  # prepare is saved
    assert not (workflow.pod("prepare").places.exit_file(2)).exists()


def test_a_chain_saves_each_stage_when_it_ends_and_a_retry_goes_on_there(project: Path, tmp_path: Path, s3: S3) -> None:
    write_chain(project)
    (project / "compare.py").write_text("import sys; sys.exit(5)")
    workflow = Workflow(project, tmp_path / "pods", s3, "one")
    assert workflow.plan.tasks["prepare"].stages == ("prepare", "fit", "compare")
    workflow.run("data-raw")
    assert workflow.run("prepare") == 5
    assert len(entries(s3)) == 3  # prepare and fit are saved
    said = len(workflow.said)
    assert workflow.run("prepare", attempt=2) == 5
    assert [text.partition(":")[0] for text in workflow.said[said:]] == ["prepare", "fit", "compare", "compare"]
    assert "nothing to run" in workflow.said[said]
    (project / "compare.py").write_text("import pathlib; pathlib.Path('results/all.json').write_text('1')")
    other = Workflow(project, tmp_path / "pods", s3, "two")
    other.run("data-raw")
    assert other.run("prepare") == 0
    assert len(other.values()) == 4


def test_another_protocol_is_refused() -> None:
    with pytest.raises(CanonError, match="the template speaks protocol 99, and the tools image protocol 1"):
        load_pod("prepare", {cluster.PROTOCOL_VARIABLE: "99"})
    with pytest.raises(CanonError, match="is not set: this runs in a pod"):
        load_pod("prepare", {})
