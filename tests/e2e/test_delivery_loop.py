"""The GitOps loop in the pod harness: a commit trains by the hook that Argo CD would make, is released by a commit, and that one starts `plan` alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from canon.model.cluster import REVISION_ANNOTATION
from canon.model.release import Release, release_from_text, release_path
from canon.output.yaml import load_yaml
from tests.conftest import S3, Base, Run, git, once
from tests.e2e.clustered import TOOLS, declare_cluster, git_daemon, make_tools, secrets, template
from tests.e2e.planned import write_project
from tests.e2e.test_deliver_image import SERVED
from tests.harness.fixtures import MakeHarness
from tests.harness.harness import Harness
from tests.harness.report import Report
from tests.registry import Registry

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("quick")]
DEPLOY = """\
deploy: {staging: {namespace: p-staging, replicas: 2}, production: {namespace: p-production, from: staging}}
triggers: {sync: local}
"""
PATH = release_path("p", "staging")


class Loop:
    """The repository that everything goes by, a clone of it, and a cluster that follows it."""

    def __init__(self, code: Path, clone: Path, harness: Harness) -> None:
        self.code, self.clone, self.harness = code, clone, harness

    @property
    def head(self) -> str:
        return git(self.code, "rev-parse", "main")

    @property
    def release(self) -> Release:
        return release_from_text(git(self.code, "show", f"main:{PATH}") + "\n", PATH)

    def push(self, text: str) -> str:
        """Commit other code of the service; return the commit."""
        git(self.clone, "pull", "-q", "--rebase", "origin", "main")
        (self.clone / "serve.py").write_text(text)
        git(self.clone, "commit", "-qam", text[:40])
        git(self.clone, "push", "-q", "origin", "HEAD:main")
        return git(self.clone, "rev-parse", "HEAD")

    def hook(self, name: str) -> dict[str, Any]:
        """What Argo CD makes of the head of the branch: Kustomize has written the commit on the hook."""
        text = git(self.code, "show", "main:argo/p/workflow/local.sync.yaml")
        found: dict[str, Any] = load_yaml(text, "local.sync.yaml")
        found["metadata"]["annotations"][REVISION_ANNOTATION] = self.head
        found["metadata"]["name"] = name
        return found

    def sync(self, name: str) -> Report:
        git(self.clone, "pull", "-q", "--rebase", "origin", "main")
        self.harness.apply(template(self.clone))
        return self.harness.run(self.hook(name), 300)


@pytest.fixture
def loop(
    s3: S3,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    make_harness: MakeHarness,
    python_base: Base,
    tools_base: Base,
) -> Iterator[Loop]:
    made = once(tmp_path_factory, "delivered-image", lambda folder: write_project(folder, SERVED))
    root = shutil.copytree(made, tmp_path / "planned", symlinks=True)
    tools = once(tmp_path_factory, "tools-image", lambda folder: make_tools(root, tools_base, folder)) / "layout"
    with (root / "pipelines/p.yaml").open("a") as file:
        file.write(DEPLOY)
    with Registry() as registry, git_daemon(tmp_path) as url:
        declare_cluster(root, tmp_path / "code.git", url, s3, registry.host, python_base)
        git(tmp_path, "clone", "-q", f"{url}/code.git", "clone")
        harness = make_harness(secrets=secrets())
        harness.images.given[TOOLS] = (tools, (tools / "digest").read_text())
        yield Loop(tmp_path / "code.git", tmp_path / "clone", harness)


def test_the_loop(loop: Loop, run: Run) -> None:
    trained = loop.head
    report = loop.sync("first")
    assert report.phase == "Succeeded", report
    first = loop.release
    assert report.node("deliver").outputs["release"] == first.tag == "p#staging#1"
    assert first.image == report.node("deliver").outputs["image"]
    assert git(loop.code, "rev-parse", "main^") == trained
    assert {*git(loop.code, "tag").split()} == {"p#staging#1", "p@v0.0.1"}
    kustomization = load_yaml(git(loop.code, "show", "main:argo/p/environments/staging/kustomization.yaml"), "k.yaml")
    assert kustomization["images"][0]["digest"] == first.digest

    assert_stays(loop, "of-the-release")

    loop.push("import http.server\nhttp.server.test(port=8080)  # other words\n")
    report = loop.sync("served-anew")
    assert (report.phase, report.pods) == ("Succeeded", 2)  # plan and deliver: no stage runs
    second = loop.release
    assert (second.number, second.result) == (2, first.result)
    assert second.image != first.image

    git(loop.clone, "pull", "-q", "--rebase", "origin", "main")
    run(loop.clone, "canon", "rollback", "p", "staging", "--why", "it fails")
    assert_stays(loop, "of-the-rollback")
    assert (loop.release.image, loop.release.restores) == (first.image, 1)


def assert_stays(loop: Loop, name: str) -> None:
    """The Workflow that a commit of a release starts is one pod, and makes no commit."""
    head = loop.head
    report = loop.sync(name)
    assert (report.phase, report.pods, report.node("deliver").phase) == ("Succeeded", 1, "Skipped")
    assert loop.head == head


def test_two_at_once(loop: Loop, run: Run) -> None:
    """Both end, and history shows both; what is newer answers in the end."""
    git(loop.clone, "pull", "-q", "--rebase", "origin", "main")
    loop.harness.apply(template(loop.clone))
    submitted = []
    for name in ("one", "two"):
        commit = loop.push(f"import http.server\nhttp.server.test(port=8080)  # {name}\n")
        submitted.append(loop.harness.submit(loop.hook(name)))
    reports = [each.wait(300) for each in submitted]
    assert [report.phase for report in reports] == ["Succeeded", "Succeeded"], reports
    assert loop.release.commit == commit
    git(loop.clone, "pull", "-q", "--rebase", "origin", "main")
    rows = json.loads(run(loop.clone, "canon", "history", "p", "staging", "--json").stdout)
    assert len(rows) == 2
    assert len(git(loop.code, "log", "--merges", "--format=%h", "main").split()) == 0
