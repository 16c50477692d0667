"""The Workflow of a sweep: its plan, the pods of all its points in one DAG, or in several with a look at what was made between them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from canon.argo.annotations import TITLE
from canon.argo.checks import check_workflow
from canon.argo.dag import MAIN, STAGES, cut_blocks, fill_in_hash
from canon.argo.pods import as_it_is
from canon.argo.render import FOLDER, Manifests, build_manifests
from canon.argo.site import Site
from canon.argo.workflow import Frame, build_frame
from canon.model import cluster
from canon.model.delivery import Triggers
from canon.model.errors import ProblemsError
from canon.model.project import Pipeline
from canon.model.tasks import Task
from canon.output.yaml import OneLine

POINT_WORKFLOW = f"{{{{workflow.uid}}}}.{{{{inputs.parameters.{cluster.POINT}}}}}"
"""What a pod knows as its workflow."""


def build_sweep_template(
    pipeline: Pipeline,
    site: Site,
    tasks: Sequence[Task],
    points: Mapping[str, tuple[int, str]],
    dag: str,
    build: Callable[[Frame], Manifests] = build_manifests,
) -> dict[str, Any]:
    """The manifest of what a sweep's Workflow would be a copy of, whose templates' pods are those of every workflow of the site.

    ``tasks``: parents first; one without stages delivers. ``points``: its name → the number of its point, and what it is called there.
    Raises ProblemsError for what neither Hera nor an API server would find.
    """
    stages = [task for task in tasks if task.stages]
    frame, shapes = build_frame(site, pipeline.declaration.model_copy(update={"triggers": Triggers()}), stages)
    manifest = copy.deepcopy(build(frame)[f"{site.profile}.yaml"])
    spec = manifest["spec"]
    count = 1 + max(number for number, _ in points.values())
    for holder in (manifest["metadata"], spec["workflowMetadata"]):
        holder["annotations"] = {**holder["annotations"], TITLE: f"{holder['annotations'][TITLE]}: {count} points"}
    spec["arguments"]["parameters"] = [
        spec["arguments"]["parameters"][0],
        {"name": cluster.POINTS, "value": "", "description": "space and points as base64 of JSON"},
    ]
    blocks = cut_blocks(tasks)
    plan, *pods = spec["templates"]
    templates = [_planning(plan), *map(_of_point, pods)]
    if len(blocks) > 1:
        templates.insert(1, _between(plan))
    spec["templates"] = [*_dags(blocks, shapes, points), *templates]
    fill_in_hash(spec["templates"], dag)
    try:
        check_workflow(manifest, f"{FOLDER}/{pipeline.name}/sweep", pipeline.file)
    except ProblemsError as error:
        raise ProblemsError(pipeline.placed(error.problems)) from None
    return manifest


def _planning(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The template `plan`, with points in place of params."""
    found = _with_variables(plan, {cluster.POINTS_VARIABLE: as_it_is(f"workflow.parameters.{cluster.POINTS}")})
    found["container"]["args"] = ["step", "sweep"]
    found["outputs"] = {
        "parameters": _named(
            plan["outputs"]["parameters"], {cluster.RUNS, cluster.IMAGE, cluster.REVISION, cluster.COMMIT}
        )
    }
    return found


def _between(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The template `next`: its pod is as that of `plan`."""
    found = _with_variables(plan, {cluster.BLOCK_VARIABLE: f"{{{{inputs.parameters.{cluster.BLOCK}}}}}"})
    found |= {"name": cluster.NEXT, "inputs": {"parameters": [{"name": cluster.BLOCK}]}}
    found["container"]["args"] = ["step", "next"]
    found["outputs"] = {"parameters": _named(plan["outputs"]["parameters"], {cluster.RUNS})}
    return found


def _with_variables(plan: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    found = copy.deepcopy(dict(plan))
    left = [
        each for each in found["container"]["env"] if each["name"] not in {cluster.SET_VARIABLE, cluster.FRESH_VARIABLE}
    ]
    found["container"]["env"] = [*left, *({"name": name, "value": value} for name, value in values.items())]
    return found


def _named(parameters: Sequence[Mapping[str, Any]], names: Collection[str]) -> list[Mapping[str, Any]]:
    return [each for each in parameters if each["name"] in names]


def _of_point(template: Mapping[str, Any]) -> dict[str, Any]:
    """A template whose pod is that of a point, by an input."""
    found = copy.deepcopy(dict(template))
    inputs = found.setdefault("inputs", {})
    inputs["parameters"] = [*(inputs.get("parameters") or ()), {"name": cluster.POINT}]
    for container in (found.get("container"), *found.get("containerSet", {}).get("containers", ())):
        for variable in (container or {}).get("env", ()):
            if variable["name"] == cluster.WORKFLOW_VARIABLE:
                variable["value"] = POINT_WORKFLOW
    return found


def _dags(
    blocks: Sequence[Sequence[Task]], shapes: Mapping[str, str], points: Mapping[str, tuple[int, str]]
) -> list[dict[str, Any]]:
    """The DAG templates `main` and `stages`, or `stages-1`, `stages-2` … .

    None stops when a task fails (`failFast`): other points do not need it. What needs it in a later block is left out by `next`; of several
    blocks only the last task says how the Workflow has ended: `end`, which fails where a point has no result.
    """
    names = [STAGES] if len(blocks) == 1 else [f"{STAGES}-{number}" for number in range(1, len(blocks) + 1)]
    planned = [_argument(name, _output(cluster.PLAN, name)) for name in (cluster.IMAGE, cluster.REVISION)]
    main: list[dict[str, Any]] = [{"name": cluster.PLAN, "template": cluster.PLAN}]
    before = cluster.PLAN
    for number, name in enumerate(names, 1):
        arguments = {"parameters": [_argument(cluster.RUNS, _output(before, cluster.RUNS)), *planned]}
        main.append({"name": name, "template": name, "depends": f"{before}.Succeeded", "arguments": arguments})
        if len(names) > 1:
            before = f"{cluster.NEXT}-{number}" if number < len(names) else cluster.END
            arguments = {"parameters": [_argument(cluster.BLOCK, str(number))]}
            depends = " || ".join(f"{name}.{result}" for result in ("Succeeded", "Failed", "Errored"))
            main.append({"name": before, "template": cluster.NEXT, "depends": depends, "arguments": arguments})
    inputs = {"parameters": [OneLine(name=name) for name in (cluster.RUNS, cluster.IMAGE, cluster.REVISION)]}
    nested = [
        {"name": name, "inputs": inputs, "dag": {"failFast": False, "tasks": _tasks(block, shapes, points)}}
        for name, block in zip(names, blocks, strict=True)
    ]
    return [{"name": MAIN, "dag": {"failFast": False, "tasks": main}}, *nested]


def _tasks(
    block: Sequence[Task], shapes: Mapping[str, str], points: Mapping[str, tuple[int, str]]
) -> list[dict[str, Any]]:
    here = {task.name for task in block}
    image, revision = (
        _argument(name, f"{{{{inputs.parameters.{name}}}}}") for name in (cluster.IMAGE, cluster.REVISION)
    )
    found: list[dict[str, Any]] = []
    for task in block:
        number, name = points[task.name]
        when = f"{{{{=jsonpath(inputs.parameters.{cluster.RUNS}, \"$['{task.name}']\")}}}} == true"
        item = OneLine(name=task.name, template=shapes.get(task.name, cluster.DELIVER), when=when)
        parents = [parent for parent in task.parents if parent in here]
        if parents:  # without the second half a skipped parent leaves its children out
            item["depends"] = " && ".join(f"({parent}.Succeeded || {parent}.Skipped)" for parent in parents)
        given = [_argument(cluster.TASK, name), image] if task.stages else [revision]
        item["arguments"] = {"parameters": [*given, _argument(cluster.POINT, str(number))]}
        found.append(item)
    return found


def _output(task: str, name: str) -> str:
    return f"{{{{tasks.{task}.outputs.parameters.{name}}}}}"


def _argument(name: str, value: str) -> OneLine:
    return OneLine(name=name, value=value)
