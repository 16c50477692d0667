"""The admission policy, evaluated by another implementation of CEL: which Applications of the root's it lets in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cel
import pytest

from tests.clustered import CLUSTER, COMMON, HEAD, STAGES
from tests.deployed import DEPLOYED, SERVED, SYNC, delivered, make_deployed, make_release, objects

Manifest = dict[str, Any]
BRANCHED = (COMMON + CLUSTER).replace('toy.git"}', 'toy.git", releases = {branch = "deploy"}}')


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    declaration = HEAD + STAGES + SERVED + DEPLOYED + SYNC
    releases = (make_release("staging"), make_release("production"))
    return delivered(make_deployed(tmp_path_factory.mktemp("p"), declaration, *releases))


@pytest.fixture(scope="module")
def policy(files: dict[str, str]) -> Manifest:
    return objects(files["platform/argocd.policy.yaml"])[0]


def admits(policy: Manifest, manifest: Manifest, old: Manifest | None = None) -> bool:
    known: dict[str, Any] = {}
    given = {"object": manifest, "oldObject": old, "variables": known}
    for variable in policy["spec"]["variables"]:
        known[variable["name"]] = cel.evaluate(variable["expression"], given)
    for validation in policy["spec"]["validations"]:
        assert "toy" in cel.evaluate(validation["messageExpression"], given)
    return all(cel.evaluate(each["expression"], given) for each in policy["spec"]["validations"])


def tracked(manifest: Manifest, root: str = "toy-root", *, by_label: bool = False) -> Manifest:
    """As Argo CD applies it: it writes on everything of an Application's whose it is."""
    found = copy.deepcopy(manifest)
    metadata = found["metadata"]
    if by_label:
        metadata["labels"]["app.kubernetes.io/instance"] = root
    else:
        name = f"{metadata['namespace']}/{metadata['name']}"
        metadata.setdefault("annotations", {})["argocd.argoproj.io/tracking-id"] = (
            f"{root}:argoproj.io/Application:{name}"
        )
    return found


def application(files: dict[str, str], name: str = "staging") -> Manifest:
    return objects(files[f"applications/{name}.yaml"])[0]


@pytest.mark.parametrize("by_label", [False, True])
@pytest.mark.parametrize("name", ["staging", "production", "workflow"])
def test_what_is_rendered_gets_in(files: dict[str, str], policy: Manifest, name: str, by_label: bool) -> None:  # noqa: FBT001
    assert admits(policy, tracked(application(files, name), by_label=by_label))


def other_project(manifest: Manifest) -> None:
    manifest["spec"]["project"] = "default"


def root_project(manifest: Manifest) -> None:
    manifest["spec"]["project"] = "toy-root"


def other_namespace(manifest: Manifest) -> None:
    manifest["spec"]["destination"]["namespace"] = "kube-system"


def no_namespace(manifest: Manifest) -> None:
    del manifest["spec"]["destination"]["namespace"]


def training_in_production(manifest: Manifest) -> None:
    manifest["spec"]["project"] = "toy-training"


def namespace_of_another(manifest: Manifest) -> None:
    manifest["spec"]["destination"]["namespace"] = "toy-production"


def name_of_another(manifest: Manifest) -> None:
    manifest["metadata"]["name"] = "somebody-elses"


def name_of_the_root(manifest: Manifest) -> None:
    manifest["metadata"]["name"] = "toy-root"


SPOILED = (
    other_project, root_project, other_namespace, no_namespace, training_in_production, namespace_of_another, name_of_another, name_of_the_root,
)  # fmt: skip


@pytest.mark.parametrize("by_label", [False, True])
@pytest.mark.parametrize("spoil", SPOILED)
def test_what_a_commit_could_write_instead_does_not(
    files: dict[str, str], policy: Manifest, spoil: Callable[[Manifest], None], by_label: bool  # noqa: FBT001
) -> None:  # fmt: skip
    good = tracked(application(files), by_label=by_label)
    bad = copy.deepcopy(good)
    spoil(bad)
    bad = tracked(bad, by_label=by_label)
    assert not admits(policy, bad)
    if bad["metadata"]["name"] == good["metadata"]["name"]:  # an update
        assert not admits(policy, bad, good)


def test_other_applications_are_nobodys_business_here(files: dict[str, str], policy: Manifest) -> None:
    for root in ("other-root", "toy-root-2", "my-toy-root"):
        manifest = application(files)
        other_project(manifest)
        assert admits(policy, tracked(manifest, root))
    plain = {"metadata": {"name": "x"}, "spec": {"project": "default", "destination": {"name": "in-cluster"}}}
    assert admits(policy, plain)


def test_one_that_is_no_longer_declared_can_end(files: dict[str, str], policy: Manifest) -> None:
    """Argo CD writes its status and takes its finalizer away, and its specification is as it was."""
    old = tracked(application(files))
    name_of_another(old)
    new = copy.deepcopy(old)
    new["metadata"]["finalizers"] = []
    new["status"] = {"sync": {"status": "Synced"}}
    assert admits(policy, new, old)


def test_the_root_cannot_take_over_what_is_somebody_elses(files: dict[str, str], policy: Manifest) -> None:
    """Neither with another specification nor with the same: pruned later, it would be gone."""
    old = application(files)
    name_of_another(old)
    other_project(old)
    assert not admits(policy, tracked(old), old)


def test_each_root_holds_its_own_applications(tmp_path: Path) -> None:
    """Who may push to the branch of the releases does not thereby write the training's Application, nor the other way round."""
    declaration = HEAD + STAGES + SERVED + DEPLOYED + SYNC
    files = delivered(make_deployed(tmp_path, declaration, make_release(), settings=BRANCHED))
    policy = objects(files["platform/argocd.policy.yaml"])[0]
    for name, own, other in (("staging", "toy-releases", "toy-root"), ("workflow", "toy-root", "toy-releases")):
        assert admits(policy, tracked(application(files, name), own))
        assert not admits(policy, tracked(application(files, name), other))
        assert not admits(policy, tracked(application(files, name), other), tracked(application(files, name), own))
        spoiled = tracked(application(files, name), own)
        other_project(spoiled)
        assert not admits(policy, spoiled)


def test_it_holds_where_nothing_is_tried_out(files: dict[str, str], policy: Manifest) -> None:
    binding = objects(files["platform/argocd.policy.yaml"])[1]
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    assert policy["spec"]["failurePolicy"] == "Fail"
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert (rule["resources"], rule["operations"]) == (["applications"], ["CREATE", "UPDATE"])
