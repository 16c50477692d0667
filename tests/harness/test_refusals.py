"""What an API server, a controller and a kubelet refuse, and what the harness does not know: no container is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.admission import Rules
from tests.harness.errors import HangsError, HarnessError, RefusedError, UnknownFieldError
from tests.harness.fixtures import MakeHarness
from tests.harness.harness import Harness
from tests.harness.manifests import (
    PRIVATE,
    Manifest,
    container,
    one_pod,
    pipeline,
    single,
    workflow,
    workflow_template,
)  # fmt: skip

RUN = {"prepare": True, "fit-gb": True, "train": True, "evaluate": True}
Change = Callable[[dict[str, Any]], object]


def templates(spec: dict[str, Any]) -> dict[str, Manifest]:
    return {template["name"]: template for template in spec["templates"]}


def tasks(spec: dict[str, Any], template: str = "main") -> list[Manifest]:
    found: list[Manifest] = templates(spec)[template]["dag"]["tasks"]
    return found


def containers(spec: dict[str, Any]) -> list[Manifest]:
    found: list[Manifest] = templates(spec)["stage"]["containerSet"]["containers"]
    return found


UNKNOWN: dict[str, Change] = {
    ".spec.hostNetwork": lambda spec: spec.update(hostNetwork=True),
    ".spec.templates[4].sidecars": lambda spec: templates(spec)["stage"].update(sidecars=[]),
    ".spec.templates[4].containerSet.containers[1].livenessProbe": lambda spec: containers(spec)[1].update(livenessProbe={}),
    ".spec.templates[4].containerSet.retryStrategy": lambda spec: templates(spec)["stage"]["containerSet"].update(retryStrategy={}),
    ".spec.templates[0].dag.tasks[0].withItems": lambda spec: tasks(spec)[0].update(withItems=[1]),
    ".spec.volumes[0].hostPath": lambda spec: spec["volumes"][0].update(hostPath={}),
    ".spec.templates[4].containerSet.containers[0].securityContext.privileged": lambda spec: containers(spec)[0]["securityContext"].update(privileged=True),
}  # fmt: skip


@pytest.mark.parametrize("field", UNKNOWN)
def test_a_field_that_is_not_implemented(harness: Harness, field: str) -> None:
    manifest = pipeline(RUN)
    manifest["spec"]["templates"][4] = {**manifest["spec"]["templates"][4]}
    for each in manifest["spec"]["templates"][4]["containerSet"]["containers"]:
        each["securityContext"] = dict(each["securityContext"])
    UNKNOWN[field](manifest["spec"])
    with pytest.raises(UnknownFieldError) as raised:
        harness.apply(manifest)
    assert str(raised.value).endswith(f": {field}")


def test_a_dag_is_not_run_again(harness: Harness) -> None:
    manifest = pipeline(RUN)
    templates(manifest["spec"])["level-1"]["retryStrategy"] = {"limit": 1}
    with pytest.raises(UnknownFieldError, match="retryStrategy"):
        harness.apply(manifest)


def test_a_kind_that_is_not_run(harness: Harness) -> None:
    with pytest.raises(UnknownFieldError, match="kind 'CronWorkflow'"):
        harness.apply({**pipeline(RUN), "kind": "CronWorkflow"})


def test_a_workflow_says_nothing_but_its_template_and_arguments(harness: Harness) -> None:
    one = workflow()
    one["spec"]["serviceAccountName"] = "other"
    with pytest.raises(UnknownFieldError, match="serviceAccountName"):
        harness.submit(one)


REFUSED: dict[str, Change] = {
    "spec.templates[0].dag.tasks: Too many: 201: must have at most 200 items": lambda spec: tasks(spec).extend({"name": f"t-{n}", "template": "plan"} for n in range(197)),
    "spec.templates: Too many: 201: must have at most 200 items": lambda spec: spec["templates"].extend({**templates(spec)["deliver"], "name": f"t-{n}"} for n in range(195)),
    "Invalid value: 'fit@gb'": lambda spec: tasks(spec)[0].update(name="fit@gb"),
    "cannot begin with a digit": lambda spec: tasks(spec)[0].update(name="1"),
    "both 'depends' and 'dependencies'": lambda spec: tasks(spec)[1].update(dependencies=["plan"]),
    "exactly one template type": lambda spec: templates(spec)["deliver"].update(dag={"tasks": []}),
    "activeDeadlineSeconds cannot be used with dag": lambda spec: templates(spec)["main"].update(activeDeadlineSeconds=5),
    "names of containers are not unique": lambda spec: containers(spec)[0].update(name="push"),
    "containerSet.tasks graph with cycle": lambda spec: containers(spec)[0].update(dependencies=["push"]),
    "Invalid value: 'a.b'": lambda spec: spec["arguments"]["parameters"].append({"name": "a.b", "value": ""}),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_the_api_server_refuses(harness: Harness, message: str) -> None:
    manifest = pipeline(RUN)
    REFUSED[message](manifest["spec"])
    with pytest.raises(RefusedError) as raised:
        harness.apply(manifest)
    assert message in str(raised.value)


def test_200_tasks_are_taken(harness: Harness) -> None:
    manifest = pipeline(RUN)
    tasks(manifest["spec"]).extend({"name": f"t-{n}", "template": "plan"} for n in range(196))
    harness.apply(manifest)


def test_names_of_objects(harness: Harness) -> None:
    with pytest.raises(RefusedError, match="Bad_Name"):
        harness.apply({**pipeline(RUN), "metadata": {"name": "Bad_Name"}})
    with pytest.raises(RefusedError, match="63 characters"):
        harness.submit(workflow("a" * 64))


INVALID: dict[str, Change] = {
    "template name 'stepp' undefined": lambda spec: tasks(spec)[0].update(template="stepp"),
    "spec.entrypoint template name 'nope' undefined": lambda spec: spec.update(entrypoint="nope"),
    "templates.level-1.tasks.prepare inputs.parameters.image was not supplied": lambda spec: tasks(spec, "level-1")[0]["arguments"]["parameters"].pop(),
    "graph with cycle": lambda spec: tasks(spec)[0].update(depends="deliver"),
    "dependency 'nope' not defined": lambda spec: tasks(spec)[1].update(depends="nope.Succeeded"),
    "failed to resolve {{tasks.plan.outputs.parameters.nope}}": lambda spec: tasks(spec)[3].update(when="{{tasks.plan.outputs.parameters.nope}} == true"),
    "failed to resolve {{tasks.deliver.status}}": lambda spec: tasks(spec)[1].update(when="{{tasks.deliver.status}} == true"),
    "failed to resolve {{workflow.parameters.nope}}": lambda spec: templates(spec)["deliver"]["container"].update(args=["{{workflow.parameters.nope}}"]),
    "spec.arguments.revision.value": lambda spec: spec["arguments"]["parameters"][0].pop("value"),
    'must have a container named "main"': lambda spec: containers(spec)[1].update(name="run"),
}  # fmt: skip


@pytest.mark.parametrize("message", INVALID)
def test_what_the_controller_finds_when_a_workflow_starts(harness: Harness, message: str) -> None:
    manifest = pipeline(RUN)
    INVALID[message](manifest["spec"])
    harness.apply(manifest)
    report = harness.run(workflow())
    assert (report.phase, report.pods) == ("Failed", 0)
    assert report.message.startswith("invalid spec: ")
    assert message in report.message


def test_a_template_that_is_not_there(harness: Harness) -> None:
    report = harness.run(workflow())
    assert (report.phase, report.message) == ("Error", 'workflowtemplates.argoproj.io "co2-cluster" not found')


@pytest.mark.parametrize(
    ("patch", "error", "message"),
    [
        ("{nope", None, "Error applying PodSpecPatch"),
        ("text", None, "Error applying PodSpecPatch"),
        ("containers: [{name: other}]", None, "spec.containers[0].image: Required value"),
        ("hostNetwork: true", HarnessError, "hostNetwork"),
    ],
)
def test_a_patch_of_the_pod(harness: Harness, patch: str, error: type[HarnessError] | None, message: str) -> None:
    manifest = one_pod("true")
    manifest["spec"]["podSpecPatch"] = patch
    harness.apply(manifest)
    if error is None:
        report = harness.run(workflow())
        assert (report.phase, report.pods) == ("Error", 0)
        assert message in report.message
    else:
        with pytest.raises(error, match=message):
            harness.run(workflow())


def secret(**more: Any) -> Manifest:
    return {"name": "token", **more}


PENDING: dict[str, Manifest] = {
    "failed to look-up entrypoint/cmd for image 'tools:1'": {"container": {"image": "tools:1"}},
    "ImagePullBackOff: Back-off pulling image 'other:1'": {"container": single("true", "other:1")},
    "ImagePullBackOff: Back-off pulling image '127.0.0.1:1/x@sha256:0'": {"container": single("true", "127.0.0.1:1/x@sha256:0")},
    'secret or configmap "token" not found': {"container": single("true", envFrom=[{"secretRef": secret()}])},
    "CreateContainerConfigError": {"container": single("true", env=[{"name": "A", "valueFrom": {"secretKeyRef": secret(key="a")}}])},
    'secret "token" not found': {"container": single("true", mounts=PRIVATE), "volumes": [{"name": "private", "secret": {"secretName": "token"}}]},
    "runAsNonRoot and image will run as root": {"container": single("true", securityContext={"runAsUser": 0})},
}  # fmt: skip


@pytest.mark.parametrize("message", PENDING)
def test_what_would_stay_pending_for_ever(make_harness: MakeHarness, message: str) -> None:
    harness = make_harness(rules=Rules(restricted=False))
    harness.apply(workflow_template({"name": "main", **PENDING[message]}))
    with pytest.raises(HangsError) as raised:
        harness.run(workflow())
    assert message in str(raised.value)


def test_nothing_is_run_as_root(make_harness: MakeHarness) -> None:
    harness = make_harness(rules=Rules(restricted=False))
    manifest = one_pod("true")
    del manifest["spec"]["securityContext"]
    harness.apply(manifest)
    with pytest.raises(HarnessError, match="nothing as root"):
        harness.run(workflow())


def test_a_set_with_an_output_needs_main(harness: Harness) -> None:
    outputs = {"parameters": [{"name": "x", "valueFrom": {"path": "/tmp/x"}}]}  # noqa: S108  the container's
    harness.apply(
        workflow_template(
            {"name": "main", "containerSet": {"containers": [container("run", "true")]}, "outputs": outputs}
        )
    )
    assert 'must have a container named "main"' in harness.run(workflow()).message
