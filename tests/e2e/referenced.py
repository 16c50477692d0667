"""This repository in a cluster on this machine: a copy of it, declared for a registry, an S3 server, MLflow and git's daemon, and the pod harness."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from canon.image.registry import Repository
from canon.output.yaml import load_yaml
from tests.conftest import ACCESS_KEY, ROOT, SECRET_KEY, Base, git, once
from tests.counted import Counted, counted
from tests.e2e.clustered import TOOLS, copy_image, git_daemon, make_tools
from tests.e2e.projects import call, copy_of_this_repository, environment, s3_environment
from tests.harness.harness import Harness
from tests.harness.images import Images
from tests.harness.launch import Engine
from tests.harness.report import Report
from tests.images import forge, tar_of
from tests.registry import Registry
from tests.servers.mlflow_server import mlflow_server

SAMPLES = ROOT / "data/samples"
PROFILES = ("cluster", "drafts")
"""`drafts` believes what laptops push."""


@dataclass(frozen=True)
class Reference:
    """``root``: a checkout whose remote is the repository ``code``; ``env``: a user's shell there; ``s3``: what passes to the bucket."""

    folder: Path
    root: Path
    code: Path
    env: Mapping[str, str]
    harness: Harness
    registry: Registry
    s3: Counted
    mlflow: str

    def call(self, *command: str, folder: Path | None = None) -> str:
        return call(folder or self.root, self.env, *command, timeout=900)

    def commit(self, words: str) -> str:
        """Commit and push what has changed; return the commit."""
        git(self.root, "add", "--all")
        git(self.root, "commit", "-qm", words)
        git(self.root, "push", "-q", "origin", "HEAD:main")
        return git(self.root, "rev-parse", "HEAD")

    def run(self, pipeline: str = "co2", profile: str = "cluster", **parameters: str) -> Report:
        """Run a workflow of the template as it is committed, and forget what passed before it."""
        self.s3.clear()
        self.registry.clear()
        name = f"{pipeline}-{profile}"
        self.harness.apply(load_yaml((self.root / f"argo/{pipeline}/workflow/{profile}.yaml").read_text(), name))
        manifest: dict[str, Any] = {
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"generateName": f"{name}-", "namespace": "ml"},
            "spec": {
                "workflowTemplateRef": {"name": name},
                "arguments": {"parameters": [{"name": key, "value": value} for key, value in parameters.items()]},
            },
        }  # fmt: skip
        return self.harness.run(manifest, seconds=1200)

    def clone(self, name: str) -> Path:
        """A fresh clone that has the remote as its default one, as who works with it sets it up."""
        git(self.folder, "clone", "-q", "-b", "main", str(self.code), name)
        self.call("dvc", "remote", "default", "--local", "-q", "store", folder=self.folder / name)
        return self.folder / name

    def experiments(self) -> dict[str, str]:
        """Experiments of the repository: ref, which has the commit that each is on, → commit."""
        lines = git(self.code, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").splitlines()
        return dict(line.split() for line in lines)


def stages(report: Report) -> dict[str, str]:
    """Task → what became of it, of the stages alone."""
    return {
        name.removeprefix("stages."): phase
        for name, phase in report.phases().items()
        if name.startswith("stages.") and "(" not in name
    }


def settings(url: str, host: str, endpoint: str, mlflow: str) -> str:
    """What takes the place of `[tool.canon]` in pyproject.toml."""
    common = (
        f'remote = "store"\nnamespace = "ml"\nregistry = "{host}/ml"\nendpoint = "{endpoint}"\nmlflow = "{mlflow}"\n'
    )
    return f"""\
[tool.canon]
default_profile = "local"
git = {{url = "{url}/code.git", branch = "main"}}
tools_image = "{TOOLS}"
[tool.canon.profiles.local]
[tool.canon.profiles.cluster]
{common}
[tool.canon.profiles.drafts]
{common}accept = "any"

"""


def declare(root: Path, text: str, image: str, bucket: str, endpoint: str) -> None:
    """Put this machine's servers into the declarations' places; nothing else of them changes."""
    file = root / "pyproject.toml"
    file.write_text(re.sub(r"(?s)^\[tool\.canon\].*?(?=^\[tool\.ruff\])", lambda _: text, file.read_text(), flags=re.MULTILINE))  # fmt: skip
    for name in ("co2", "sunspots"):
        file = root / f"pipelines/{name}.yaml"
        said = re.sub(r"docker\.io/library/python:\S+@sha256:[0-9a-f]{64}", image, file.read_text())
        said = re.sub(r"cluster: s3://canon-demo/([a-z0-9_]+\.csv)", rf"cluster: s3://{bucket}/\1, drafts: s3://{bucket}/\1", said)  # fmt: skip
        file.write_text(
            said.replace("cluster: params/co2.cluster.yaml", "cluster: params/co2.cluster.yaml, drafts: params/co2.cluster.yaml")
        )  # fmt: skip
    file = root / ".dvc/config"
    file.write_text(
        file.read_text().replace("url = s3://canon-demo/dvc", f"url = s3://{bucket}/dvc\n    endpointurl = {endpoint}")
    )


def python_image(base: Base, folder: Path) -> tuple[Path, str]:
    """A base whose Python is called `python`, too, as in the image that the pipelines declare."""
    layout = shutil.copytree(base.layout, folder / "base")
    layer = tar_of({"usr/local/bin/python": "-> /usr/bin/python3"})
    return layout, forge(layout, base.digest, layers=lambda layers: [*layers, layer])


@contextlib.contextmanager
def reference_cluster(
    folder: Path,
    factory: pytest.TempPathFactory,
    commands: Path,
    pods: tuple[Engine, Images],
    bases: tuple[Base, Base],
    bucket: str,
    endpoint: str,
) -> Iterator[Reference]:
    """All of it, on a bucket that holds the pipelines' data and nothing else. ``bases``: with Python, and for the tools image."""
    with (
        counted(endpoint) as s3,
        Registry() as registry,
        git_daemon(folder) as url,
        mlflow_server(folder) as mlflow,
        Harness(
            pods[0], pods[1], folder, namespace="ml", notice=0.3, grace=2.0,
            secrets={
                f"canon-{name}-{profile}-{what}": {
                    "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_DEFAULT_REGION": "us-east-1",
                }
                for name in ("co2", "sunspots") for profile in PROFILES for what in ("remote", "data")
            },
        ) as harness,
    ):  # fmt: skip
        env = environment(folder / "home", commands, **s3_environment(s3.url))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", env["HOME"])
            patch.setenv("PATH", env["PATH"])
            root = copy_of_this_repository(folder / "work")
            layout, digest = python_image(bases[0], folder)
            image = copy_image(layout, digest, Repository(registry.host, "python"), "3.11-slim")
            declare(root, settings(url, registry.host, s3.url, mlflow), image, bucket, s3.url)
            reference = Reference(folder, root, folder / "code.git", env, harness, registry, s3, mlflow)
            for profile in PROFILES:
                reference.call("canon", "data", "pin", "--profile", profile)
            reference.call("canon", "render")
            # `dvc exp apply` checks out every pipeline of a commit: somebody has run the other one, and pushed its data.
            reference.call("dvc", "repro", "-q", "pipelines/sunspots/dvc.yaml")
            reference.call("dvc", "push", "-q", "-r", "store", "pipelines/sunspots/dvc.yaml")
            git(folder, "init", "-q", "--bare", "-b", "main", "code.git")
            git(root, "remote", "add", "origin", str(reference.code))
            # What installs packages needs an index, which pods have not: the registry keeps the environment, as a laptop left it.
            reference.call("canon", "image", "base", "co2", "--allow-dirty", "--to", f"{registry.host}/ml/co2")
            reference.commit("a cluster")
            tools = once(factory, "tools-image", lambda into: make_tools(root, bases[1], into)) / "layout"
            harness.images.given[TOOLS] = (tools, (tools / "digest").read_text())
            yield reference
