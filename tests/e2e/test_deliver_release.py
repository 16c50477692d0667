"""`canon step deliver` releases: a commit with what follows, its tags, and no second one of the same content."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from canon.model import cluster
from canon.model.release import Release, release_from_text, release_path
from canon.output.yaml import load_yaml
from canon.steps.documents import WorkflowPlan
from canon.steps.settings import format_settings
from tests.conftest import S3, Run, git, once
from tests.e2e.clustered import TOOLS
from tests.e2e.delivered import Delivered
from tests.e2e.planned import write_project
from tests.e2e.test_deliver_image import SERVED, delivered
from tests.e2e.test_step_plan import Planned
from tests.registry import Registry
from tests.tracking import Store

pytestmark = pytest.mark.usefixtures("quick")
DEPLOY = "deploy: {staging: {namespace: p-staging}, production: {namespace: p, from: staging}}\n"
PATH = release_path("p", "staging")


@pytest.fixture
def planned(s3: S3, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planned]:
    """The project with two environments, and a profile that runs in a cluster and makes images."""
    made = once(tmp_path_factory, "delivered-image", lambda folder: write_project(folder, SERVED))
    root = shutil.copytree(made, tmp_path / "planned", symlinks=True)
    with Registry() as registry:
        (root / "pyproject.toml").write_text(f"""\
[tool.canon]
default_profile = "local"
git = {{url = "{tmp_path}/code.git", branch = "main"}}
tools_image = "{TOOLS}"
[tool.canon.profiles.local]
remote = "store"
namespace = "ml"
registry = "{registry.host}/ml"
[tool.canon.profiles.cluster]
""")
        with (root / "pipelines/p.yaml").open("a") as file:
            file.write(DEPLOY)
        yield Planned(root, tmp_path, s3, registry)


def released(planned: Planned, s3: S3, team: Store, uid: str, plan: WorkflowPlan) -> tuple[Delivered, str]:
    """A whole workflow, and what it says that it released."""
    workflow = delivered(planned, s3, team, uid, plan)
    workflow.environ |= variables(planned.root)
    workflow.deliver()
    return workflow, (workflow.outputs / "release").read_text()


def variables(root: Path) -> dict[str, str]:
    """Those of `deliver` in the rendered template that say what it releases."""
    template = load_yaml((root / "argo/p/workflow/local.yaml").read_text(), "local.yaml")
    (deliver,) = (each for each in template["spec"]["templates"] if each["name"] == cluster.DELIVER)
    found = {each["name"]: each.get("value", "") for each in deliver["container"]["env"]}
    return {name: found[name] for name in (cluster.RELEASES_VARIABLE, cluster.RELEASES_BRANCH_VARIABLE)}


def current(code: Path) -> Release:
    return release_from_text(git(code, "show", f"main:{PATH}") + "\n", PATH)


def test_what_is_delivered_is_released_once_and_what_is_rolled_back_stays(
    planned: Planned, s3: S3, team: Store, run: Run, tmp_path: Path
) -> None:
    assert variables(planned.root) == {cluster.RELEASES_VARIABLE: "staging", cluster.RELEASES_BRANCH_VARIABLE: "main"}
    first, tag = released(planned, s3, team, "one", planned.plan("one", CANON_REVISION="")[0])
    assert tag == "p#staging#1"
    release = current(first.code)
    assert (release.number, release.tree) == (1, first.plan.tree)
    assert release.experiment == git(first.code, "rev-parse", "p@v0.0.1^{commit}") in first.experiments().values()
    assert release.run is not None
    assert release.run.endswith(team.row("p").info.run_id)
    kustomization = load_yaml(git(first.code, "show", "main:argo/p/environments/staging/kustomization.yaml"), "k.yaml")
    assert kustomization["images"][0]["digest"] == release.digest
    assert git(first.code, "ls-tree", "main", "argo/p/environments/production") == ""
    assert git(first.code, "log", "-1", "--format=%an %s", "main").startswith("canon p in staging #1: release v0.0.1")
    # the Workflow that this commit starts is `plan` alone
    assert planned.plan("two", CANON_REVISION="")[1]["deliver"] == "false"
    # other code of the service: no stage runs, another image, another release
    git(planned.root, "pull", "-q", "origin", "main")
    second_commit = planned.push("main", **{"serve.py": "import http.server\nhttp.server.test(port=8080)  # new\n"})
    plan, outputs = planned.plan("three", CANON_REVISION="")
    assert (set(json.loads(outputs["run"]).values()), outputs["deliver"]) == ({False}, "true")
    second, tag = released(planned, s3, team, "three", plan)
    assert tag == "p#staging#2"
    assert current(second.code).commit == second_commit
    assert current(second.code).image != release.image
    # a workflow of older code that ends after it changes nothing
    first.deliver(attempt=2)
    assert (first.outputs / "release").read_text() == "p#staging#2"
    # and what is rolled back stays so, also where `deliver` of the newer one is run again
    git(tmp_path, "clone", "-q", str(second.code), "clone")
    run(tmp_path / "clone", "canon", "rollback", "p", "staging", "--why", "it fails")
    assert planned.plan("four", CANON_REVISION="")[1]["deliver"] == "false"
    head = git(second.code, "rev-parse", "main")
    second.deliver(attempt=2)
    assert (second.outputs / "release").read_text() == "p#staging#3"
    assert git(second.code, "rev-parse", "main") == head
    assert (current(second.code).restores, current(second.code).image) == (1, release.image)
    rows = json.loads(run(tmp_path / "clone", "canon", "history", "p", "staging", "--json").stdout)
    assert len(rows) == 3


@pytest.mark.soak
def test_other_params_and_other_branches_are_not_released(planned: Planned, s3: S3, team: Store) -> None:
    plan, _ = planned.plan("one", CANON_SET=format_settings({"params/p.yaml": {"fit.rate": 0.125}}))
    assert not plan.releases
    assert planned.plan("clock", CANON_PIN="true")[0].releases is False
    assert planned.plan("clock-released", CANON_PIN="true", CANON_RELEASES_SCHEDULED="true")[0].releases
    revision = planned.push("exp/mine", **{"serve.py": "import http.server\nhttp.server.test(port=8080)  # mine\n"})
    plan, _ = planned.plan("two", CANON_REVISION=revision)
    workflow = delivered(planned, s3, team, "two", plan)
    workflow.environ |= {**variables(planned.root), cluster.GIT_BRANCHES_VARIABLE: "main\nexp/*"}
    workflow.deliver()
    assert (workflow.outputs / "release").read_text() == ""
    assert any("is not on main" in text for text in workflow.said)
    assert git(workflow.code, "tag") == ""
