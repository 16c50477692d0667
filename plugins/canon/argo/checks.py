"""What neither Hera nor an API server finds in a manifest: the controller would say it when a Workflow starts, or never."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from canon.argo.cron import cron_finding
from canon.argo.expressions import RETRIED, Scope, expression_findings, jsonpath_keys, tag_findings
from canon.argo.sizes import LARGEST
from canon.model import cluster
from canon.model.errors import Problem, ProblemsError
from canon.model.fields import DNS_LABEL, QUANTITY
from canon.model.project import Pipeline
from canon.output.yaml import load_yaml

MOST = 200
"""Templates of a Workflow, and tasks of a DAG, by Argo's full CRDs."""
LONGEST_NAME = 52
"""Argo adds a time to the name of what it starts, which then has at most 63 characters."""
LONGEST_WORKFLOW = 63
"""Where a Workflow has its whole name already."""
PARAMETERS = frozenset({cluster.REVISION, cluster.SET, cluster.FRESH})
"""Of every WorkflowTemplate of Canon."""
_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
_DEPENDS = re.compile(r"([A-Za-z][-A-Za-z0-9]*)(?:\.([A-Za-z]+))?")
_RESULTS = {"Succeeded", "Skipped", "Failed", "Errored", "Daemoned", "Omitted", "AnySucceeded", "AllFailed"}
_Finding = tuple[str, str]


def check_workflow(manifest: Mapping[str, Any], file: str, source: str) -> None:
    """Raise ProblemsError for a manifest that would hang or never start; ``source``: the declaration that mends it."""
    remedy = f"change {source}; if nothing there explains it, report it"
    problems = [Problem(file=file, path=path, message=message, remedy=remedy) for path, message in _findings(manifest)]
    size = len(json.dumps(manifest.get("spec", {}), ensure_ascii=False, separators=(",", ":")).encode())
    if size > LARGEST:
        message = f"the spec has {size:,} bytes, and Argo takes at most {LARGEST:,}"
        remedy = "let fewer stages do more each, join chains by `workflow: {group: chain}`, or give `foreach` and `matrix` fewer members"
        problems.append(Problem(file=source, path="stages", message=message, remedy=remedy))
    if problems:
        raise ProblemsError(problems)


def schedule_problems(pipeline: Pipeline) -> Iterator[Problem]:
    """Yield what is wrong with the declared schedule: the controller logs it, and never starts a run."""
    schedule = pipeline.declaration.triggers.schedule
    finding = cron_finding(schedule.cron) if schedule else None
    if schedule and schedule.timezone and not _is_zone(schedule.timezone):
        yield Problem(
            file=pipeline.file,
            path="triggers.schedule.timezone",
            message=f"there is no time zone `{schedule.timezone}`",
            remedy="write one of the IANA database, for example Europe/Berlin, or leave it out for the controller's",
        )
    if finding:
        yield Problem(
            file=pipeline.file,
            path="triggers.schedule.cron",
            message=finding,
            remedy='write for example "0 3 * * 1": Mondays at three',
        )


def _is_zone(name: str) -> bool:
    """Tell whether a time zone exists; all do where the machine has no database of them."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return not available_timezones()
    return True


def _findings(manifest: Mapping[str, Any]) -> Iterator[_Finding]:
    name = manifest["metadata"]["name"]
    most = LONGEST_WORKFLOW if manifest["kind"] == "Workflow" else LONGEST_NAME
    if not re.fullmatch(DNS_LABEL, name) or len(name) > most:
        yield "metadata.name", f"`{name}` is no DNS name of at most {most} characters"
    if manifest["kind"] == "WorkflowTemplate":
        yield from _template_findings(manifest["spec"])
    if manifest["kind"] == "Workflow":
        yield from _reference_findings(manifest)
    if manifest["kind"] == "CronWorkflow":
        for cron in manifest["spec"]["schedules"]:
            finding = cron_finding(cron)
            if finding:
                yield "spec.schedules", finding


def _reference_findings(manifest: Mapping[str, Any]) -> Iterator[_Finding]:
    """Of a Workflow that refers to a template: the controller takes an argument that nothing has, and fails at an annotation that is not there."""
    spec = manifest["spec"]
    for key in sorted(spec.keys() - {"workflowTemplateRef", "arguments"}):
        yield f"spec.{key}", "`templateReferencing: Strict` takes nothing beside the template and its arguments"
    for name in sorted(_names(spec["arguments"]) - PARAMETERS):
        yield "spec.arguments", f"the template has no parameter `{name}`"
    annotations = {*manifest["metadata"].get("annotations", ()), cluster.REVISION_ANNOTATION}
    yield from _tags(spec["arguments"], Scope(annotations=annotations), "spec.arguments")


def _template_findings(spec: Mapping[str, Any]) -> Iterator[_Finding]:
    templates: dict[str, Mapping[str, Any]] = {}
    if len(spec["templates"]) > MOST:
        yield "spec.templates", f"{len(spec['templates'])} templates, at most {MOST}: let more stages have equal pods"
    for template in spec["templates"]:
        if template["name"] in templates:
            yield "spec.templates", f"two templates are called `{template['name']}`"
        templates[template["name"]] = template
    if spec.get("entrypoint") not in templates:
        yield "spec.entrypoint", f"there is no template `{spec.get('entrypoint')}`"
    yield from _patch_findings(spec.get("podSpecPatch"), "spec.podSpecPatch")
    parameters = _names(spec.get("arguments"))
    common = {key: value for key, value in spec.items() if key != "templates"}
    yield from _tags(common, Scope(parameters), "spec")
    yield from _quantity_findings(common, "spec")
    for name, template in templates.items():
        path = f"spec.templates.{name}"
        if not _NAME.fullmatch(name):
            yield path, f"`{name}` is no name of a template"
        scope = Scope(parameters, _names(template.get("inputs")))
        of_pod = {key: value for key, value in template.items() if key != "dag"}
        yield from _quantity_findings(of_pod, path)
        yield from _patch_findings(template.get("podSpecPatch"), f"{path}.podSpecPatch")
        expression = template.get("retryStrategy", {}).get("expression", "")
        for finding in expression_findings(expression, scope, RETRIED):
            yield f"{path}.retryStrategy.expression", finding
        yield from _tags(of_pod, scope, path)
        if "dag" in template:
            yield from _dag_findings(template["dag"]["tasks"], templates, scope, f"{path}.dag")


def _names(holder: Mapping[str, Any] | None) -> frozenset[str]:
    return frozenset(parameter["name"] for parameter in (holder or {}).get("parameters") or ())


def _dag_findings(
    tasks: Sequence[Mapping[str, Any]], templates: Mapping[str, Mapping[str, Any]], scope: Scope, path: str
) -> Iterator[_Finding]:
    if len(tasks) > MOST:
        yield path, f"{len(tasks)} tasks, at most {MOST}"
    outputs = {task["name"]: _names(templates.get(task["template"], {}).get("outputs")) for task in tasks}
    if len(outputs) < len(tasks):
        yield path, "two tasks have one name"
    scope = Scope(scope.workflow, scope.inputs, outputs)
    parents: dict[str, set[str]] = {}
    for task in tasks:
        place = f"{path}.{task['name']}"
        words, found = _parents(task.get("depends", ""), outputs)
        parents[task["name"]] = found
        yield from ((place, finding) for finding in (*words, *_task_findings(task, templates)))
        yield from _tags({key: task[key] for key in ("when", "arguments") if key in task}, scope, place)
    circle = _cycle(parents)
    if circle:
        yield path, f"the tasks form a cycle: {', '.join(circle)}"


def _parents(depends: str, known: Collection[str]) -> tuple[list[str], set[str]]:
    """What is wrong with what a task depends on, in words, and the tasks that it depends on."""
    words: list[str] = []
    found: set[str] = set()
    for parent, result in _DEPENDS.findall(depends):
        if parent not in known:
            words.append(f"it depends on `{parent}`, which is no task of this DAG")
        elif result and result not in _RESULTS:
            words.append(f"`{result}` is no result of a task")
        else:
            found.add(parent)
    return words, found


def _task_findings(task: Mapping[str, Any], templates: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if not _NAME.fullmatch(task["name"]):
        yield f"`{task['name']}` is no name of a task"
    for key in jsonpath_keys(task.get("when", "")):
        if key != task["name"]:
            yield f"`when` looks up `{key}`, another task than this"
    yield from _argument_findings(task, templates)


def _argument_findings(task: Mapping[str, Any], templates: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    template = templates.get(task["template"])
    if template is None:
        yield f"there is no template `{task['template']}`"
        return
    wanted = {each["name"]: each for each in template.get("inputs", {}).get("parameters") or ()}
    given = _names(task.get("arguments"))
    for name, parameter in wanted.items():
        if name not in given and not {"value", "default"} & parameter.keys():
            yield f"the input `{name}` of the template `{task['template']}` is not given"
    for name in sorted(given - wanted.keys()):
        yield f"the template `{task['template']}` has no input `{name}`"


def _cycle(parents: Mapping[str, set[str]]) -> list[str]:
    """The tasks on and below cycles: those that never become ready."""
    waits = {name: set(above) for name, above in parents.items()}
    below: dict[str, list[str]] = {name: [] for name in waits}
    for name, above in waits.items():
        for parent in above:
            below[parent].append(name)
    ready = [name for name, above in waits.items() if not above]
    while ready:
        name = ready.pop()
        del waits[name]
        for child in below[name]:
            waits[child].discard(name)
            if not waits[child]:
                ready.append(child)
    return sorted(waits)


def _tags(value: object, scope: Scope, path: str) -> Iterator[_Finding]:
    if isinstance(value, str):
        if "{{" in value:
            yield from ((path, finding) for finding in tag_findings(value, scope))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _tags(item, scope, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _tags(item, scope, f"{path}[{index}]")


def _quantity_findings(value: object, path: str) -> Iterator[_Finding]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in {"requests", "limits"} and isinstance(item, dict):
                yield from (
                    (f"{path}.{key}.{name}", f"`{text}` is no quantity") for name, text in item.items() if _is_bad(text)
                )
            elif key == "sizeLimit" and _is_bad(item):
                yield f"{path}.{key}", f"`{item}` is no quantity"
            else:
                yield from _quantity_findings(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _quantity_findings(item, f"{path}[{index}]")


def _is_bad(text: object) -> bool:
    return not isinstance(text, str) or re.fullmatch(QUANTITY, text) is None


def _patch_findings(text: str | None, path: str) -> Iterator[_Finding]:
    """A patch that does not parse is an error of each pod, when it starts."""
    if text is None:
        return
    try:
        patch = load_yaml(text, path)
    except ProblemsError as error:
        yield path, error.problems[0].message
        return
    if not isinstance(patch, Mapping):
        yield path, "is no mapping of a pod's fields"
