"""Each thing that nobody else finds, put into a manifest that has nothing wrong with it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from canon.argo.checks import check_workflow
from canon.argo.sizes import size_problems
from canon.model.errors import ProblemsError
from canon.output.files import RenderedFile
from tests.clustered import make_clustered, template_of, workflow_of

Manifest = dict[str, Any]


@pytest.fixture
def good(tmp_path: Path) -> Manifest:
    return workflow_of(make_clustered(tmp_path))


def found(manifest: Manifest) -> str:
    with pytest.raises(ProblemsError) as caught:
        check_workflow(manifest, "argo/toy/workflow/cluster.yaml", "pipelines/toy.yaml")
    return str(caught.value)


def task(manifest: Manifest, name: str) -> Manifest:
    tasks = template_of(manifest, "stages")["dag"]["tasks"] + template_of(manifest, "main")["dag"]["tasks"]
    chosen: Manifest = next(each for each in tasks if each["name"] == name)
    return chosen


def test_what_is_rendered_has_nothing_wrong_with_it(good: Manifest) -> None:
    check_workflow(good, "a.yaml", "b.yaml")


def no_entrypoint(manifest: Manifest) -> None:
    manifest["spec"]["entrypoint"] = "mian"


def no_template(manifest: Manifest) -> None:
    task(manifest, "train")["template"] = "stagg"


def twice(manifest: Manifest) -> None:
    manifest["spec"]["templates"].append(copy.deepcopy(template_of(manifest, "stage")))


def cycle(manifest: Manifest) -> None:
    task(manifest, "prepare")["depends"] = "(train.Succeeded || train.Skipped)"


def unknown_parent(manifest: Manifest) -> None:
    task(manifest, "train")["depends"] = "prepair.Succeeded"


def unknown_result(manifest: Manifest) -> None:
    task(manifest, "train")["depends"] = "prepare.Suceeded"


def other_key(manifest: Manifest) -> None:
    task(manifest, "train")["when"] = task(manifest, "prepare")["when"]


def wrong_input(manifest: Manifest) -> None:
    task(manifest, "train")["when"] = "{{=jsonpath(inputs.parameters.rum, \"$['train']\")}} == true"


def wrong_output(manifest: Manifest) -> None:
    task(manifest, "deliver")["when"] = "{{tasks.plan.outputs.parameters.delivers}} == true"


def missing_argument(manifest: Manifest) -> None:
    task(manifest, "train")["arguments"]["parameters"].pop()


def unknown_argument(manifest: Manifest) -> None:
    task(manifest, "train")["arguments"]["parameters"].append({"name": "more", "value": "x"})


def wrong_parameter(manifest: Manifest) -> None:
    manifest["spec"]["arguments"]["parameters"][0]["name"] = "revisions"


def wrong_retry(manifest: Manifest) -> None:
    template_of(manifest, "stage")["retryStrategy"]["expression"] = "lastRetry.state == 'Error'"


def wrong_patch(manifest: Manifest) -> None:
    manifest["spec"]["podSpecPatch"] = "containers: [{name: wait"


def patch_of_text(manifest: Manifest) -> None:
    manifest["spec"]["podSpecPatch"] = "containers"


def wrong_quantity(manifest: Manifest) -> None:
    template_of(manifest, "plan")["container"]["resources"]["limits"]["memory"] = "1GB"


def wrong_size(manifest: Manifest) -> None:
    manifest["spec"]["volumes"][0]["emptyDir"] = {"sizeLimit": "ten"}


def wrong_name(manifest: Manifest) -> None:
    manifest["metadata"]["name"] = "Toy"


def long_name(manifest: Manifest) -> None:
    manifest["metadata"]["name"] = "t" * 53


def digit_first(manifest: Manifest) -> None:
    task(manifest, "train")["name"] = "1train"


def many_tasks(manifest: Manifest) -> None:
    tasks = template_of(manifest, "stages")["dag"]["tasks"]
    for number in range(199):
        more = copy.deepcopy(tasks[0])
        more["name"] = f"more-{number}"
        more["when"] = more["when"].replace("prepare", more["name"])
        tasks.append(more)


def many_templates(manifest: Manifest) -> None:
    for number in range(196):
        manifest["spec"]["templates"].append({**template_of(manifest, "stage"), "name": f"more-{number}"})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_entrypoint, "spec.entrypoint: there is no template `mian`"),
        (no_template, "spec.templates.stages.dag.train: there is no template `stagg`"),
        (twice, "spec.templates: two templates are called `stage`"),
        (cycle, "spec.templates.stages.dag: the tasks form a cycle: prepare, train"),
        (unknown_parent, "stages.dag.train: it depends on `prepair`, which is no task of this DAG"),
        (unknown_result, "stages.dag.train: `Suceeded` is no result of a task"),
        (other_key, "stages.dag.train: `when` looks up `prepare`, another task than this"),
        (wrong_input, "`inputs.parameters.rum`: the template has no input `rum`"),
        (wrong_output, "main.dag.deliver.when: `{{tasks.plan.outputs.parameters.delivers}}`: the task `plan` has no output `delivers`"),
        (missing_argument, "stages.dag.train: the input `image` of the template `stage` is not given"),
        (unknown_argument, "stages.dag.train: the template `stage` has no input `more`"),
        (wrong_parameter, "`workflow.parameters.revision`: the Workflow has no parameter `revision`"),
        (wrong_retry, "spec.templates.stage.retryStrategy.expression: `lastRetry.state`"),
        (wrong_patch, "spec.podSpecPatch: is not YAML"),
        (patch_of_text, "spec.podSpecPatch: is no mapping"),
        (wrong_quantity, "plan.container.resources.limits.memory: `1GB` is no quantity"),
        (wrong_size, "emptyDir.sizeLimit: `ten` is no quantity"),
        (wrong_name, "metadata.name: `Toy` is no DNS name"),
        (long_name, "is no DNS name of at most 52 characters"),
        (digit_first, "`1train` is no name of a task"),
        (many_tasks, "spec.templates.stages.dag: 201 tasks, at most 200"),
        (many_templates, "spec.templates: 201 templates, at most 200"),
    ],
)  # fmt: skip
def test_what_would_hang_or_never_start_is_found(good: Manifest, spoil: Callable[[Manifest], None], said: str) -> None:
    spoil(good)
    assert said in found(good)


def test_a_schedule_that_never_comes_is_found() -> None:
    manifest = {"kind": "CronWorkflow", "metadata": {"name": "a"}, "spec": {"schedules": ["61 25 * * *"]}}
    assert "spec.schedules: `61 25 * * *`: minute `61`" in found(manifest)


def test_a_spec_that_argo_does_not_take_is_refused_with_the_remedy(good: Manifest) -> None:
    good["spec"]["workflowMetadata"]["annotations"]["x"] = "é" * (1 << 19)
    said = found(good)
    assert said.startswith("pipelines/toy.yaml: stages: the spec has 1,0")
    assert "Argo takes at most 1,048,576" in said
    assert "workflow: {group: chain}" in said


def test_a_large_one_is_a_warning() -> None:
    files = [RenderedFile(f"argo/a/workflow/{size}.yaml", "x" * size) for size in (1 << 18, (1 << 18) + 1)]
    (problem,) = size_problems([*files, RenderedFile("dvc.yaml", "x" * (1 << 19))])
    assert (problem.severity, problem.file) == ("warning", f"argo/a/workflow/{(1 << 18) + 1}.yaml")
    assert "--server-side" in problem.remedy
