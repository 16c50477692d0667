"""What Argo CD starts at each commit of the branch: a Workflow as a hook of its sync."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from canon.argo.checks import check_workflow
from canon.model.errors import ProblemsError
from canon.output.yaml import load_yaml
from tests.clustered import CLUSTER, COMMON, HEAD, STAGES, make_clustered, rendered

Manifest = dict[str, Any]
SYNC = "triggers: {sync: cluster}\n"
FILE = "argo/toy/workflow/cluster.sync.yaml"


@pytest.fixture
def hook(tmp_path: Path) -> Manifest:
    files = rendered(make_clustered(tmp_path, HEAD + SYNC + STAGES))
    manifest: Manifest = load_yaml(files[FILE], FILE)
    return manifest


def test_it_runs_the_commit_that_was_synced_after_its_template_and_in_place_of_the_one_before(hook: Manifest) -> None:
    annotations = hook["metadata"]["annotations"]
    assert {name: value for name, value in annotations.items() if name.startswith("argocd.")} == {
        "argocd.argoproj.io/hook": "Sync",
        "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
        "argocd.argoproj.io/sync-wave": "1",
    }
    # `templateReferencing: Strict` takes nothing else.
    assert hook["spec"] == {
        "workflowTemplateRef": {"name": "toy-cluster"},
        "arguments": {"parameters": [{"name": "revision", "value": "{{workflow.annotations.canon.dev/revision}}"}]},
    }


def test_its_name_is_fixed_and_nobody_elses(hook: Manifest) -> None:
    """Kustomize takes no generateName; what Argo makes of `toy-cluster-` has five letters more, of a CronWorkflow digits."""
    assert "generateName" not in hook["metadata"]
    assert hook["metadata"]["name"] == "toy-cluster-sync"


def test_only_the_profile_that_is_named_has_one(tmp_path: Path) -> None:
    second = CLUSTER.replace("cluster", "drafts").replace('"ml"', '"drafts"')
    files = rendered(make_clustered(tmp_path, HEAD + SYNC + STAGES, settings=COMMON + CLUSTER + second))
    assert [path for path in files if path.endswith(".sync.yaml")] == [FILE]
    listed = load_yaml(files["argo/toy/workflow/kustomization.yaml"], "k")["resources"]
    assert sorted(listed) == ["cluster.sync.yaml", "cluster.yaml", "drafts.yaml"]


def other_argument(manifest: Manifest) -> None:
    manifest["spec"]["arguments"]["parameters"][0]["name"] = "revison"


def other_annotation(manifest: Manifest) -> None:
    manifest["spec"]["arguments"]["parameters"][0]["value"] = "{{workflow.annotations.canon.dev/commit}}"


def account(manifest: Manifest) -> None:
    manifest["spec"]["serviceAccountName"] = "canon-toy-plan"


def long_name(manifest: Manifest) -> None:
    manifest["metadata"]["name"] = "a" * 64


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (other_argument, "spec.arguments: the template has no parameter `revison`"),
        (other_annotation, "the Workflow has no annotation `canon.dev/commit`"),
        (account, "spec.serviceAccountName: `templateReferencing: Strict` takes nothing beside"),
        (long_name, "is no DNS name of at most 63 characters"),
    ],
)
def test_what_would_fail_when_it_starts_is_found(hook: Manifest, spoil: Callable[[Manifest], None], said: str) -> None:
    check_workflow(hook, FILE, "pipelines/toy.yaml")
    spoil(hook)
    with pytest.raises(ProblemsError) as caught:
        check_workflow(hook, FILE, "pipelines/toy.yaml")
    assert said in str(caught.value)
