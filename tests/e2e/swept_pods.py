"""A sweep's pods, run here one after the other: each in folders of its own, with the code that the base image would hold."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from canon.model import cluster
from canon.model.errors import CanonError
from canon.model.project import load_project
from canon.steps.deliver import deliver_workflow
from canon.steps.places import Places, Pod
from canon.steps.pull import pull_task
from canon.steps.push import push_task
from canon.steps.sweep import plan_sweep, point_workflow
from canon.sweeps.layout import Layout, build_layout
from canon.sweeps.points import Sweep, format_sweep
from canon.sweeps.variants import load_points
from tests.conftest import S3, git
from tests.e2e import planned, swept
from tests.e2e.test_step_plan import Planned
from tests.registry import Registry
from tests.tracking import Store

FILES: Mapping[str, str] = {**swept.FILES, "pyproject.toml": planned.FILES["pyproject.toml"]}


def write_project(root: Path) -> None:
    swept.write_swept(root, FILES)


class SweptPods(Planned):
    """A project pushed to a bare repository, and the pods of its sweeps."""

    def __init__(self, root: Path, folder: Path, s3: S3, registry: Registry, store: Store) -> None:
        assert store.client  # MLflow's mappings, which use what SQLAlchemy deprecates, are read with warnings off
        super().__init__(root, folder, s3, registry)
        self.log = folder / "log"
        self.store = store
        self.environ |= {"MLFLOW_TRACKING_URI": store.uri}
        del self.environ[cluster.DAG_VARIABLE]

    def layout(self, sweep: Sweep) -> Layout:
        """What a sweep would be rendered from."""
        project = load_project(self.root)
        pipeline = project.pipeline("p")
        return build_layout(pipeline.declaration, load_points(project, pipeline, sweep.points))

    def plan_points(self, uid: str, sweep: Sweep, **environ: str) -> dict[str, bool]:
        """Run the pod `plan`; return which pods run."""
        places = self._places(uid, "plan")
        given = {cluster.POINTS_VARIABLE: format_sweep(sweep), cluster.DAG_VARIABLE: self.layout(sweep).dag}
        plan_sweep(Pod(uid, "plan", {**self.environ, **given, **environ}, places), self.said.append)
        runs: dict[str, bool] = json.loads((places.private / "outputs/run").read_text())
        return runs

    def run_points(self, uid: str, sweep: Sweep, runs: Mapping[str, bool], **environ: str) -> set[str]:
        """Run the other pods as the DAG does; return those that failed, or were left out."""
        failed: set[str] = set()
        for node in self.layout(sweep).nodes:
            if not runs[node.name]:
                continue
            if not failed.isdisjoint(node.parents):
                failed.add(node.name)
            elif node.is_deliver:
                places = self._places(uid, node.name)
                deliver_workflow(self._pod(uid, node.point, "deliver", places), self.said.append)
            elif self._run(uid, node.point, node.task.name, environ) != 0:
                failed.add(node.name)
        return failed

    def _run(self, uid: str, point: int, task: str, environ: Mapping[str, str]) -> int:
        places = self._places(uid, f"{point}-{task}")
        shutil.copytree(self.root, places.code, ignore=shutil.ignore_patterns(".git", ".dvc", "data", "results"))
        git(self.root, "diff", "--quiet", "HEAD")
        pod = self._pod(uid, point, task, places)
        pull_task(pod, self.said.append)
        errors: list[CanonError] = []

        def push() -> None:
            try:
                push_task(pod, self.said.append)
            except CanonError as error:
                errors.append(error)

        thread = threading.Thread(target=push)
        thread.start()
        env = {"PATH": os.environ["PATH"], "COUNT": str(self.log), **environ}
        code = subprocess.run(["/bin/sh", str(places.script)], env=env, check=False).returncode
        thread.join(60)
        assert not thread.is_alive()
        assert not errors
        return code

    def _pod(self, uid: str, point: int, task: str, places: Places) -> Pod:
        return Pod(point_workflow(uid, point), task, self.environ, places)

    def _places(self, uid: str, name: str) -> Places:
        top = self.folder / "pods" / uid / name
        places = Places(top / "src", top / "run", top / "private", top / "emissary")
        places.run.mkdir(parents=True)
        places.private.mkdir()
        return places

    def experiments(self) -> set[str]:
        """Names of the experiments in the bare repository."""
        lines = git(self.folder / "code.git", "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
        return {line.rpartition("/")[2] for line in lines}

    def families(self) -> dict[str, int]:
        """Space of a sweep → how many rows are below its own."""
        rows = self.store.rows("p")
        found = {row.info.run_id: dict(row.data.params) for row in rows if "canon.sweep" in row.data.tags}
        parents = [row.data.tags.get("mlflow.parentRunId") for row in rows]
        return {" ".join(f"{key}={text}" for key, text in sorted(space.items())): parents.count(run) for run, space in found.items()}  # fmt: skip


def sweep_over(**values: Collection[Any]) -> Sweep:
    """Every combination of values of keys (`__` stands for a dot) of the one params file."""
    points: list[dict[str, Any]] = [{}]
    for key, each in values.items():
        points = [{**point, key.replace("__", "."): value} for point in points for value in each]
    space = {key.replace("__", "."): ",".join(map(str, each)) for key, each in values.items()}
    return Sweep(space, tuple({"params/p.yaml": point} for point in points))
