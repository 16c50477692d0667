"""A project whose stages need a shell and nothing else, three of them in one pod; and the cluster that runs it, with a proxy before each server."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from canon.steps.planner import DELIVERED
from tests.conftest import S3, Base, git, once
from tests.e2e.clustered import TOOLS, checkout_tools, declare_cluster, git_daemon, make_tools, template
from tests.e2e.planned import write_project
from tests.harness.harness import Harness, Submitted
from tests.harness.pod import Running
from tests.harness.report import Report
from tests.proxies import Proxy, proxy_to
from tests.registry import Registry
from tests.tracking import Store

FILES = {
    "pyproject.toml": """\
[tool.canon]
default_profile = "local"
[tool.canon.profiles.local]
remote = "store"
[tool.canon.profiles.cluster]
remote = "store"
""",
    ".gitignore": "/data\n/model\n/results\n/began\n/hold\nmlflow.db\nmlartifacts\n",
    "samples/a.csv": "1\n2\n3\n",
    "samples/b.csv": "4\n5\n",
    "samples/c.csv": "6\n7\n8\n9\n",
    "params/p.yaml": "fit: {rate: 2}\n",
    # It waits for as long as somebody holds it.
    "prepare.sh": """\
echo prepare runs
touch began
while [ -e hold ]; do sleep 0.1; done
mkdir -p data/prepared
for name in a b c; do wc -l < "data/raw/$name.csv" | tr -d ' ' > "data/prepared/$name.txt"; done
""",
    "fit.sh": """\
echo fit runs
mkdir -p model
total=0
for file in data/prepared/*.txt; do total=$((total + $(cat "$file"))); done
echo "$((total * $1))" > model/weights.txt
""",
    "report.sh": """\
echo report runs
mkdir -p results
echo "{\\"total\\": $(cat model/weights.txt)}" > results/metrics.json
""",
    "pipelines/p.yaml": """\
name: p
vars: [params/p.yaml]
data:
  raw: {path: data/raw, from: {local: samples, cluster: samples}}
stages:
  prepare: {cmd: sh prepare.sh, deps: [prepare.sh, data/raw], outs: [data/prepared]}
  fit: {cmd: "sh fit.sh ${fit.rate}", deps: [fit.sh, data/prepared], params: [{params/p.yaml: [fit]}], outs: [model/weights.txt]}
  report: {cmd: sh report.sh, deps: [report.sh, model/weights.txt], metrics: [results/metrics.json]}
artifacts: {net: {path: model/weights.txt, type: model}}
serving: {artifact: net, cmd: httpd -f -p 8080, port: 8080}
workflow: {group: chain}
""",
}
SETTINGS = """\
mlflow = "{mlflow}"
[tool.canon.profiles.cluster]
remote = "store"
namespace = "ml"
registry = "{host}/ml"
accept = "any"
mlflow = "{mlflow}"
"""


@dataclass
class Cluster:
    """The project at ``root``, a bare repository of it, and a harness that knows its templates."""

    root: Path
    harness: Harness
    bucket: S3
    s3: Proxy
    registry: Proxy
    mlflow: Proxy
    images: Registry

    def push(self, *, message: str = "changed", **files: str) -> None:
        """Commit files, ``__`` for a slash and ``_DOT_`` for a dot in their names, and push them."""
        for name, text in files.items():
            (self.root / name.replace("__", "/").replace("_DOT_", ".")).write_text(text)
        git(self.root, "commit", "-qam", message)
        git(self.root, "push", "-q", "origin", "HEAD:main")

    def submit(self, profile: str = "local", **parameters: str) -> Submitted:
        self.harness.apply(template(self.root, profile))
        manifest: dict[str, Any] = {
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"generateName": "p-", "namespace": "ml"},
            "spec": {
                "workflowTemplateRef": {"name": f"p-{profile}"},
                "arguments": {"parameters": [{"name": name, "value": value} for name, value in parameters.items()]},
            },
        }  # fmt: skip
        return self.harness.submit(manifest)

    def run(self, profile: str = "local", **parameters: str) -> Report:
        return self.submit(profile, **parameters).wait(600)

    def objects(self, prefix: str) -> dict[str, bytes]:
        """What the remote holds below a folder: path in it → content."""
        top = f"dvc/{prefix}/"
        found = self.bucket.client.list_objects_v2(Bucket=self.bucket.bucket, Prefix=top).get("Contents", ())
        return {
            item["Key"].removeprefix(top): self.bucket.client.get_object(Bucket=self.bucket.bucket, Key=item["Key"])["Body"].read()
            for item in found
        }  # fmt: skip

    def delivered(self) -> list[dict[str, Any]]:
        """What was noted of results that were delivered."""
        return [json.loads(content) for content in self.objects(DELIVERED).values()]

    def experiments(self) -> set[str]:
        lines = git(self.root.parent / "code.git", "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
        return {line.rpartition("/")[2] for line in lines}

    def rows(self, result: str) -> list[Any]:
        """The rows of a result that are not deleted."""
        return [run for run in Store(self.mlflow.target).rows("p") if run.data.tags["canon.result"] == result]

    def check(self, *, total: int = 18, results: int = 1) -> None:
        """Nothing is lost, nothing is wrong, nothing is there twice; and nothing is left to be done."""
        for md5, content in self.objects("files/md5").items():
            assert hashlib.md5(content).hexdigest() == md5.replace("/", "").removesuffix(".dir")  # noqa: S324  DVC's
        keys = [path.rpartition("/")[0] for path in self.objects("runs")]
        assert len(keys) == len(set(keys)), keys
        noted = self.delivered()
        assert len(noted) == results, noted
        assert self.experiments() == {each["experiment"] for each in noted}
        for each in noted:
            (row,) = self.rows(each["result"])
            assert (row.info.status, row.data.metrics["total"]) == ("FINISHED", total)
            assert each["image"].rpartition("@")[2] in self.images.repositories["ml/p"].manifests
        report = self.run()
        assert report.phase == "Succeeded", report
        assert (report.pods, report.node("deliver").phase) == (1, "Skipped"), report


def hold(each: Running) -> None:
    """Let the stage `prepare` of a pod, which has not started yet, wait."""
    (each.pod.volumes["work"] / "src/hold").touch()


def said(report: Report) -> str:
    """A report with all that its containers have printed."""
    logs = [f"--- {each.name}\n{each.read_text(errors='replace')}" for each in (report.folder / "logs").iterdir()]
    return "\n".join([str(report), *logs])


def shell_project(factory: pytest.TempPathFactory, into: Path, mark: str) -> Path:
    """A copy of the project whose results are its own: ``mark`` stands in the code."""
    root = shutil.copytree(once(factory, "shells", lambda folder: write_project(folder, FILES)), into, symlinks=True)
    for name in ("prepare.sh", "fit.sh", "report.sh"):
        (root / name).write_text(f"# {mark}\n{FILES[name]}")
    return root


@contextlib.contextmanager
def shell_cluster(
    root: Path, harness: Harness, s3: S3, base: Base, server: str, tools: tuple[Path, str] | None
) -> Iterator[Cluster]:
    """Give the project its cluster. ``server``: an MLflow server; ``tools``: the tools image, or that of this checkout."""
    if tools is None or os.environ.get("CANON_TEST_TOOLS") == "checkout":
        harness.images.given[TOOLS] = checkout_tools(harness.images.find("tools:1"))
    else:
        harness.images.given[TOOLS] = tools
    with (
        Registry() as images, git_daemon(root.parent) as url, proxy_to(s3.endpoint) as data, proxy_to(server) as rows,
        proxy_to(f"http://{images.host}") as registry,
    ):  # fmt: skip
        images.relative = True
        host = registry.url.removeprefix("http://")
        declare_cluster(
            root, root.parent / "code.git", url, dataclasses.replace(s3, endpoint=data.url), host, base,
            SETTINGS.format(mlflow=rows.url, host=host),
        )  # fmt: skip
        yield Cluster(root, harness, s3, data, registry, rows, images)


def tools_image(factory: pytest.TempPathFactory, root: Path, base: Base) -> tuple[Path, str] | None:
    """The tools image of this checkout, made once for a session; None where CANON_TEST_TOOLS asks for the checkout in its place."""
    if os.environ.get("CANON_TEST_TOOLS") == "checkout":
        return None
    layout = once(factory, "tools-image", lambda folder: make_tools(root, base, folder)) / "layout"
    return layout, (layout / "digest").read_text()
