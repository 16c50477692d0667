"""`canon step plan`: the code of a declared branch, params applied, the base image in a registry, and what it tells the other pods."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from canon.image.images import load_image
from canon.image.layout import Layout
from canon.image.registry import Repository
from canon.model import cluster
from canon.model.dag import dag_hash
from canon.model.errors import CanonError
from canon.model.project import load_project
from canon.model.tasks import build_tasks
from canon.planning.pipelines import pipeline_graph
from canon.remotes.opening import Remote
from canon.steps.documents import WorkflowPlan, load_plan, load_record
from canon.steps.places import Places, Pod
from canon.steps.planner import plan_workflow
from canon.steps.settings import format_settings
from tests.conftest import S3, git, once
from tests.e2e.planned import add_remote, run_and_push, write_project
from tests.images import make_image
from tests.registry import Registry

pytestmark = pytest.mark.usefixtures("quick")


class Planned:
    """A project pushed to a bare repository, whose `plan` pods run here."""

    def __init__(self, root: Path, folder: Path, s3: S3, registry: Registry) -> None:
        self.root, self.folder, self.registry = root, folder, registry
        self.said: list[str] = []
        layout = folder / "below"
        digest = make_image(layout)
        self.declared = f"{registry.host}/python@{digest}"
        _copy(layout, digest, Repository(registry.host, "python"))
        file = root / "pipelines/p.yaml"
        file.write_text(file.read_text().replace("name: p\n", f"name: p\nenvironment: {{image: {self.declared}}}\n", 1))
        settings = root / "pyproject.toml"
        settings.write_text(settings.read_text().replace('remote = "store"', 'remote = "store"\naccept = "pods"'))
        add_remote(root, s3)
        self.canon("render")
        git(root, "add", "--all")
        git(root, "commit", "-qm", "image")
        git(folder, "init", "-q", "--bare", "-b", "main", "code.git")
        git(root, "remote", "add", "origin", str(folder / "code.git"))
        git(root, "push", "-q", "origin", "main")
        self.remote = Remote(f"s3://{s3.bucket}/dvc", {"endpoint": s3.endpoint})
        self.environ = {
            cluster.PROTOCOL_VARIABLE: "1",
            cluster.PIPELINE_VARIABLE: "p",
            cluster.PROFILE_VARIABLE: "local",
            cluster.GIT_URL_VARIABLE: str(folder / "code.git"),
            cluster.GIT_BRANCHES_VARIABLE: "main\nexp/*",
            cluster.REMOTE_URL_VARIABLE: self.remote.url,
            cluster.REMOTE_ENDPOINT_VARIABLE: s3.endpoint,
            cluster.REGISTRY_VARIABLE: f"{registry.host}/ml",
            cluster.ACCEPT_VARIABLE: "any",
            cluster.DAG_VARIABLE: self.graph(),
        }

    def canon(self, *arguments: str) -> None:
        from tests.e2e.faults import canon

        canon(self.root, *arguments)

    def graph(self) -> str:
        project = load_project(self.root)
        pipeline = project.pipeline("p")
        return dag_hash(build_tasks(pipeline.declaration, pipeline_graph(project, pipeline)))

    def push(self, branch: str, **files: str) -> str:
        """Commit files on a branch; return the commit."""
        git(self.root, "checkout", "-qB", branch)
        for path, text in files.items():
            (self.root / path.replace("__", "/")).write_text(text)
        git(self.root, "commit", "-qam", branch, "--allow-empty")
        git(self.root, "push", "-q", "origin", branch)
        return git(self.root, "rev-parse", "HEAD")

    def plan(self, uid: str, **environ: str) -> tuple[WorkflowPlan, dict[str, Any]]:
        """Run the pod; return what it wrote for the others, and its output parameters."""
        top = self.folder / "pods" / uid
        places = Places(top / "src", top / "run", top / "private")
        places.private.mkdir(parents=True)
        plan_workflow(Pod(uid, "plan", self.environ | environ, places), self.said.append)
        outputs = {path.name: path.read_text() for path in (places.private / "outputs").iterdir()}
        return load_plan(self.remote.objects(), uid), outputs


def _copy(layout: Path, digest: str, target: Repository) -> None:
    source = Layout(layout)
    image = load_image(source, source.name, digest)
    for descriptor in (image.manifest.config, *image.manifest.layers):
        target.copy(source, descriptor)
    target.add(source.manifest(source.find(digest))[0], "base")


@pytest.fixture
def project(s3: S3, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planned]:
    root = shutil.copytree(once(tmp_path_factory, "planned", write_project), tmp_path / "planned", symlinks=True)
    with Registry() as registry:
        yield Planned(root, tmp_path, s3, registry)


def test_all_runs_at_first_and_nothing_once_it_is_known(project: Planned) -> None:
    head = git(project.root, "rev-parse", "HEAD")
    plan, outputs = project.plan("one")
    assert (plan.revision, plan.profile, plan.applied, plan.declared) == (head, "local", {}, project.declared)
    assert json.loads(outputs["run"]) == dict.fromkeys(plan.tasks, True)
    assert outputs["deliver"] == "true"
    assert outputs["image"] == plan.image
    assert outputs["commit"] == plan.revision  # no forge: the repository is a folder
    assert plan.image.startswith(f"{project.registry.host}/ml/p@sha256:")
    assert plan.image.rpartition("@")[2] in project.registry.repositories["ml/p"].tags.values()
    assert plan.tags["mlflow.source.git.commit"] == head
    run_and_push(project.root)
    plan, outputs = project.plan("two")
    assert json.loads(outputs["run"]) == dict.fromkeys(plan.tasks, False)
    record = load_record(project.remote.objects(), "two", "prepare")
    assert record is not None
    assert list(record.stages) == ["prepare"]
    assert load_record(project.remote.objects(), "one", "prepare") is None
    refused, outputs = project.plan(
        "four", CANON_ACCEPT="pods"
    )  # a laptop's, where the template takes those of pods alone
    assert (refused.accept, json.loads(outputs["run"])) == ("pods", dict.fromkeys(plan.tasks, True))
    fresh, outputs = project.plan("three", CANON_FRESH="true")
    assert fresh.fresh
    assert json.loads(outputs["run"]) == dict.fromkeys(plan.tasks, True)


def test_params_run_what_tracks_them_and_are_told_to_the_pods(project: Planned) -> None:
    run_and_push(project.root)
    plan, outputs = project.plan("one", CANON_SET=format_settings({"params/p.yaml": {"fit.rate": 0.125}}))
    assert json.loads(outputs["run"]) == {
        "data-raw": False,
        "prepare": False,
        "fit--40a": True,
        "fit--40b": True,
        "compare": True,
    }
    assert plan.applied == {"params/p.yaml": "fit: {rate: 0.125}\nnames: [a, b]\n"}


def test_a_profile_is_applied(project: Planned) -> None:
    run_and_push(project.root)
    plan, outputs = project.plan("one", CANON_PROFILE="cluster")
    assert json.loads(outputs["run"])["data-raw"]
    assert list(plan.applied) == ["pipelines/p.pins.yaml"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"params/p.yaml": {"fit.rate": "1; rm -rf /"}}, "where the shell would read it"),
        ({"params/p.yaml": {"names": ["a", "$(id)"]}}, "where the shell would read it"),
        ({"params/p.yaml": {"other": 1}}, "has no key `other`"),
        ({"pipelines/p.yaml": {"name": "q"}}, "is no params file"),
        ({"../../etc/x.yaml": {"a": 1}}, "is no params file"),
        ("text", "is not base64 of JSON"),
    ],
)
def test_params_that_are_none_are_refused(project: Planned, value: object, says: str) -> None:
    text = base64.b64encode(json.dumps(value).encode()).decode()
    with pytest.raises(CanonError, match=says.replace("(", r"\(")):
        project.plan("one", CANON_SET=text)


def test_a_revision_is_a_commit_of_a_declared_branch(project: Planned) -> None:
    """Pull requests, forks and other branches start nothing; neither do words that git would read as options."""
    mine = project.push("exp/mine")
    assert project.plan("one", CANON_REVISION=mine)[0].revision == mine
    other = project.push("other")
    with pytest.raises(CanonError, match=r"is on no branch of .* that this template takes"):
        project.plan("two", CANON_REVISION=other)
    git(project.root, "commit", "-q", "--allow-empty", "-m", "pull request")
    request = git(project.root, "rev-parse", "HEAD")
    git(project.root, "push", "-q", "origin", "HEAD:refs/pull/1/head")
    with pytest.raises(CanonError, match="is on no branch"):
        project.plan("three", CANON_REVISION=request)
    for revision in ("--upload-pack=x", "main", mine[:12], "0" * 40):
        with pytest.raises(CanonError, match=r"is no commit: give its 40 hex digits|is on no branch"):
            project.plan(f"r{len(revision)}", CANON_REVISION=revision)


@pytest.mark.parametrize("path", ["pipelines/p.yaml", "params/p.yaml", "argo/notes.yaml"])
def test_a_commit_with_a_link_out_of_the_repository_is_refused(project: Planned, tmp_path: Path, path: str) -> None:
    """`plan` would read there what lies beside it: credentials of the registry, say, which then were params in the remote and in MLflow."""
    (tmp_path / "config.json").write_text('{"auths": {"token": "s3cret"}}')
    place = project.root / path
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(tmp_path / "config.json")
    git(project.root, "add", "--all")
    with pytest.raises(CanonError, match=f"^{path} of .* is a link that leads out of the repository") as found:
        project.plan("one", CANON_REVISION=project.push("exp/link"))
    assert "s3cret" not in str(found.value)


def test_a_commit_of_other_stages_is_refused(project: Planned) -> None:
    file = project.root / "pipelines/p.yaml"
    project.push("exp/other", **{"pipelines__p.yaml": file.read_text().replace("compare:", "judge:")})
    with pytest.raises(CanonError, match="declares other stages than the template in the cluster has"):
        project.plan("one", CANON_REVISION=git(project.root, "rev-parse", "HEAD"))


def test_a_commit_of_generated_files_has_the_same_base(project: Planned) -> None:
    before = project.plan("one")[0]
    (project.root / "argo").mkdir()
    (project.root / "argo/release.yaml").write_text("x: 1\n")
    git(project.root, "add", "--all")
    git(project.root, "commit", "-qm", "release")
    git(project.root, "push", "-q", "origin", "main")
    project.registry.clear()
    after = project.plan("two")[0]
    assert (after.image, after.tree) == (before.image, before.tree)
    assert after.revision != before.revision
    assert project.registry.received == 0


def test_without_a_registry_the_profile_is_told_what_it_lacks(project: Planned) -> None:
    with pytest.raises(CanonError, match="the profile has no `registry`"):
        project.plan("one", CANON_REGISTRY="")
