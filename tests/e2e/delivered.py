"""A project whose workflow has all that is delivered, and its pods up to `deliver`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from canon.model import cluster
from canon.steps.deliver import deliver_workflow
from canon.steps.documents import write_plan
from canon.steps.places import Places, Pod
from canon.steps.planner import delivered_path
from tests.conftest import S3, git, once
from tests.e2e.planned import FILES, add_remote, write_project
from tests.e2e.test_steps import Workflow
from tests.tracking import Store

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
        self.outputs = places.private / "outputs"
        deliver_workflow(Pod(self.uid, cluster.DELIVER, self.environ, places), self.said.append)
        content = self.remote.objects().read(delivered_path(self.plan, self.values()))
        assert content is not None
        found: dict[str, Any] = json.loads(content)
        return found

    def experiments(self) -> dict[str, str]:
        """Experiments of the bare repository: name → commit."""
        lines = git(self.code, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").splitlines()
        return {line.split()[0].rpartition("/")[2]: line.split()[1] for line in lines}


def pushed_project(s3: S3, tmp_path: Path, factory: pytest.TempPathFactory) -> Path:
    """The project, committed, with a remote on S3, in a bare repository."""
    made = once(factory, "delivered", lambda folder: write_project(folder, DELIVERED))
    root = shutil.copytree(made, tmp_path / "delivered", symlinks=True)
    add_remote(root, s3)
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "code.git")
    git(root, "remote", "add", "origin", str(tmp_path / "code.git"))
    git(root, "push", "-q", "origin", "main")
    return root


def finished_workflow(
    project: Path, tmp_path: Path, s3: S3, store: Store, factory: pytest.TempPathFactory
) -> Delivered:
    """A workflow whose stages have all run: once for all tests, what they left in the remote is copied."""

    def make(folder: Path) -> None:
        Delivered(project, tmp_path / "pods", s3, "one", store).run_all()
        for item in s3.client.list_objects_v2(Bucket=s3.bucket)["Contents"]:
            (folder / item["Key"]).parent.mkdir(parents=True, exist_ok=True)
            (folder / item["Key"]).write_bytes(s3.client.get_object(Bucket=s3.bucket, Key=item["Key"])["Body"].read())

    left = once(factory, "delivered-objects", make)
    for file in left.rglob("*"):
        if file.is_file():
            s3.put(file.relative_to(left).as_posix(), file.read_bytes())
    return Delivered(project, tmp_path / "pods", s3, "one", store)
