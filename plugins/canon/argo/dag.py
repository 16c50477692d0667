"""The tasks of a Workflow as DAG templates, small ones: plain mappings, because Hera's own tasks take as long again as all the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from canon.model import cluster
from canon.model.tasks import Task
from canon.output.yaml import OneLine, Shared

MAX_TASKS = 200
"""Tasks in one DAG template, by Argo's full CRDs."""
MANY = 50
"""Tasks from which on what is the same in all stands in the text once: it would be a fifth of a large file."""
MAIN = "main"
SCHEDULED = "scheduled"
"""What the clock enters by: as `main`, with datasets pinned anew."""
STAGES = "stages"


def cut_blocks(tasks: Sequence[Task], most: int = MAX_TASKS) -> tuple[tuple[Task, ...], ...]:
    """The tasks in blocks of at most ``most``, parents in the same block or an earlier one; one block where they fit.

    More are cut by level, the length of the longest way from a root: a block waits for the whole one before it.
    """
    if len(tasks) <= most:
        return (tuple(tasks),)
    depth: dict[str, int] = {}
    for task in tasks:
        depth[task.name] = 1 + max((depth[parent] for parent in task.parents), default=-1)
    ordered = sorted(tasks, key=lambda task: depth[task.name])  # stable
    return tuple(tuple(ordered[start : start + most]) for start in range(0, len(ordered), most))


def build_dags(tasks: Sequence[Task], shapes: Mapping[str, str], *, scheduled: bool = False) -> list[dict[str, Any]]:
    """The DAG templates `main` and `stages`, or with many tasks `stages-1`, `stages-2` …; ``shapes``: task → template of its pod.

    ``scheduled``: also that which the clock enters by.
    """
    blocks = cut_blocks(tasks)
    names = [STAGES] if len(blocks) == 1 else [f"{STAGES}-{number}" for number in range(1, len(blocks) + 1)]
    before = [f"{cluster.PLAN}.Succeeded", *(f"{name}.Succeeded" for name in names)]
    given = [cluster.RUNS, cluster.IMAGE]
    outputs = [_output(name) for name in given]
    main: list[dict[str, Any]] = [
        {"name": cluster.PLAN, "template": cluster.PLAN},
        *(
            {"name": name, "template": name, "depends": depends, "arguments": {"parameters": outputs}}
            for name, depends in zip(names, before, strict=False)
        ),
        {
            "name": cluster.DELIVER,
            "template": cluster.DELIVER,
            "depends": before[-1],
            "arguments": {"parameters": [_output(cluster.REVISION)]},
            "when": f"{{{{tasks.{cluster.PLAN}.outputs.parameters.{cluster.DELIVERS}}}}} == true",
        },
    ]
    inputs = {"parameters": [OneLine(name=name) for name in given]}
    nested = [
        {"name": name, "inputs": inputs, "dag": {"tasks": _build_tasks(block, shapes)}}
        for name, block in zip(names, blocks, strict=True)
    ]
    entries = [{"name": MAIN, "dag": {"tasks": main}}]
    if scheduled:
        anew = {**main[0], "arguments": {"parameters": [_argument(cluster.PIN, "true")]}}
        entries.append({"name": SCHEDULED, "dag": {"tasks": [anew, *main[1:]]}})
    return [*entries, *nested]


def fill_in_hash(templates: Iterable[Mapping[str, Any]], dag: str) -> None:
    """Let each container of Canon's own know the hash of the graph that it is part of."""
    for template in templates:
        for container in (template.get("container"), *template.get("containerSet", {}).get("containers", ())):
            for variable in (container or {}).get("env", ()):
                if variable["name"] == cluster.DAG_VARIABLE:
                    variable["value"] = dag


def _build_tasks(block: Sequence[Task], shapes: Mapping[str, str]) -> list[OneLine]:
    here = {task.name for task in block}
    shared = Shared if len(block) >= MANY else OneLine
    image = shared(name=cluster.IMAGE, value=f"{{{{inputs.parameters.{cluster.IMAGE}}}}}")
    found: list[OneLine] = []
    for task in block:
        item = OneLine(
            name=task.name,
            template=shapes[task.name],
            when=f"{{{{=jsonpath(inputs.parameters.{cluster.RUNS}, \"$['{task.name}']\")}}}} == true",
        )
        parents = [parent for parent in task.parents if parent in here]
        if parents:  # without the second half a skipped parent leaves its children out
            item["depends"] = " && ".join(f"({parent}.Succeeded || {parent}.Skipped)" for parent in parents)
        item["arguments"] = {"parameters": [_argument(cluster.TASK, task.name), image]}
        found.append(item)
    return found


def _output(name: str) -> OneLine:
    return _argument(name, f"{{{{tasks.{cluster.PLAN}.outputs.parameters.{name}}}}}")


def _argument(name: str, value: str) -> OneLine:
    return OneLine(name=name, value=value)
