"""What the API server refuses when a manifest is applied, and what the controller finds before it starts a workflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tests.harness.errors import InvalidSpecError, RefusedError, UnknownFieldError
from tests.harness.fields import check_fields
from tests.harness.graph import ancestors, ordered, parents_of
from tests.harness.resolve import Scope, UnresolvedError, parameters, plain_names

NAME = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]{0,127}")
PARAMETER = re.compile(r"[-a-zA-Z0-9_]+")
OBJECT = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
CONTAINER = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
MOST_TASKS = MOST_TEMPLATES = 200
MOST_PARAMETERS = 500
MOST_BYTES = 1024 * 1024
KINDS = ("container", "containerSet", "dag")
LATE = ("pod.name", "node.name", "retries")
"""Known within a pod alone."""


def check_applied(manifest: Mapping[str, Any]) -> None:
    """Raise UnknownFieldError or RefusedError as the API server with the full CRDs does."""
    check_fields(manifest)
    _check_object(manifest)
    spec = manifest["spec"]
    templates = spec.get("templates") or []
    _check_count("spec.templates", templates, MOST_TEMPLATES)
    for number, template in enumerate(templates):
        where = f"spec.templates[{number}]"
        _check_name(where, template.get("name", ""), NAME)
        kinds = [kind for kind in KINDS if kind in template]
        if len(kinds) != 1:
            raise RefusedError(f"{where}: template must have exactly one template type, this one has {kinds}")
        if "dag" in template and "activeDeadlineSeconds" in template:
            raise RefusedError(f"{where}: activeDeadlineSeconds cannot be used with dag")
        if "dag" in template and "retryStrategy" in template:
            raise UnknownFieldError(f"{where}.retryStrategy: the harness does not run a whole DAG again")
        _check_tasks(where, template.get("dag", {}).get("tasks", []))
        inputs = parameters(template.get("inputs"))
        _check_count(f"{where}.inputs.parameters", inputs, MOST_PARAMETERS)
        for each in (*inputs, *parameters(template.get("outputs"))):
            _check_name(f"{where} parameter", each["name"], PARAMETER)
        _check_containers(where, template)
    for each in parameters(spec.get("arguments")):
        _check_name("spec.arguments", each["name"], PARAMETER)


def _check_object(manifest: Mapping[str, Any]) -> None:
    name = manifest["metadata"].get("name") or manifest["metadata"].get("generateName", "")
    if not OBJECT.fullmatch(name.rstrip("-")):
        raise RefusedError(f"metadata.name: Invalid value: {name!r}: a lowercase RFC 1123 subdomain is needed")
    if manifest["kind"] == "Workflow" and len(name) > 63:
        raise RefusedError(f"workflow name {name!r} must not be more than 63 characters long (currently {len(name)})")


def _check_count(where: str, items: Sequence[Any], most: int) -> None:
    if len(items) > most:
        raise RefusedError(f"{where}: Too many: {len(items)}: must have at most {most} items")


def _check_name(where: str, name: str, form: re.Pattern[str]) -> None:
    if not form.fullmatch(name):
        raise RefusedError(f"{where}: Invalid value: {name!r}: should match '^{form.pattern}$'")


def _check_tasks(where: str, tasks: Sequence[Mapping[str, Any]]) -> None:
    _check_count(f"{where}.dag.tasks", tasks, MOST_TASKS)
    uses_depends = any("depends" in task for task in tasks)
    for task in tasks:
        _check_name(f"{where}.dag.tasks", task["name"], NAME)
        if uses_depends and task["name"][0].isdigit():
            raise RefusedError(f"{where}.dag.tasks: {task['name']!r} cannot begin with a digit when using 'depends'")
        if uses_depends and "dependencies" in task:
            raise RefusedError(f"{where}.dag.tasks: {task['name']!r}: cannot use both 'depends' and 'dependencies'")


def _check_containers(where: str, template: Mapping[str, Any]) -> None:
    containers = template.get("containerSet", {}).get("containers", [])
    names = [each.get("name", "") for each in (*template.get("initContainers", ()), *containers)]
    for name in names:
        _check_name(f"{where} container", name, CONTAINER)
    for each in (*template.get("initContainers", ()), *containers, template.get("container", {"image": ""})):
        if "image" not in each:
            raise RefusedError(f"{where} container {each.get('name', 'main')}: image: Required value")
    if len(set(names)) < len(names):
        raise RefusedError(f"{where}: names of containers are not unique: {names}")
    if "containerSet" in template:
        tasks = [{"name": each["name"], "dependencies": each.get("dependencies", [])} for each in containers]
        try:
            ordered(f"{where}.containerSet", tasks)
        except InvalidSpecError as error:
            raise RefusedError(str(error)) from None


def check_size(spec: Mapping[str, Any]) -> None:
    """Raise InvalidSpecError for a workflow of more than 1 MiB: its status is compressed, its spec never."""
    size = len(json.dumps(spec, separators=(",", ":")))
    if size > MOST_BYTES:
        raise InvalidSpecError(f"workflow is longer than maximum allowed size. size={size}, maxSize={MOST_BYTES}")


def check_spec(spec: Mapping[str, Any], scope: Scope) -> None:
    """Raise InvalidSpecError as the controller does when a workflow starts; ``scope``: the workflow's own names.

    It does not look into expressions, nor at arguments that nobody asked for.
    """
    names = [template["name"] for template in spec.get("templates", ())]
    for name in names:
        if names.count(name) > 1:
            raise InvalidSpecError(f"templates.{name} template name is not unique")
    templates = {template["name"]: template for template in spec.get("templates", ())}
    entries = [("spec.entrypoint", spec.get("entrypoint", ""))]
    if "onExit" in spec:
        entries.append(("spec.onExit", spec["onExit"]))
    for where, name in entries:
        template = _template(where, templates, name)
        given = {each["name"] for each in parameters(spec.get("arguments"))}
        _check_arguments(where, template, given)
        late = scope.with_values(workflow={**scope.values["workflow"], "status": "", "failures": "", "duration": ""})
        _check_template(template, templates, late if where == "spec.onExit" else scope, set())


def _template(where: str, templates: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    if name not in templates:
        raise InvalidSpecError(f"{where} template name '{name}' undefined")
    return templates[name]


def _check_arguments(where: str, template: Mapping[str, Any], given: Iterable[str]) -> None:
    for each in parameters(template.get("inputs")):
        if each["name"] not in given and each.get("value", each.get("default")) is None:
            raise InvalidSpecError(f"{where} inputs.parameters.{each['name']} was not supplied")


def _check_template(
    template: Mapping[str, Any], templates: Mapping[str, Mapping[str, Any]], scope: Scope, seen: set[str]
) -> None:
    where = f"templates.{template['name']}"
    if where in seen:
        return
    seen.add(where)
    inner = scope.with_values(inputs={"parameters": {each["name"]: "" for each in parameters(template.get("inputs"))}})
    if "dag" not in template:
        _check_pod(where, template, inner)
        return
    tasks = ordered(where, template["dag"]["tasks"])
    above = ancestors(parents_of(tasks))
    called = {task["name"]: _template(f"{where}.tasks.{task['name']}", templates, task["template"]) for task in tasks}
    for task in tasks:
        name = f"{where}.tasks.{task['name']}"
        known = {parent: _results(called[parent]) for parent in above[task["name"]]}
        _check_names(name, task, inner.with_values(tasks=known))
        _check_arguments(name, called[task["name"]], {each["name"] for each in parameters(task.get("arguments"))})
        _check_template(called[task["name"]], templates, scope, seen)


def _results(template: Mapping[str, Any]) -> Mapping[str, Any]:
    outputs = {each["name"]: "" for each in parameters(template.get("outputs"))}
    return {"status": "", "outputs": {"parameters": outputs, "exitCode": ""}}


def _check_pod(where: str, template: Mapping[str, Any], scope: Scope) -> None:
    _check_names(where, template, scope)
    containers = template.get("containerSet", {}).get("containers")
    asks = parameters(template.get("inputs")) or parameters(template.get("outputs"))
    if containers is not None and asks and all(each["name"] != "main" for each in containers):
        raise InvalidSpecError(
            f'{where} containerSet.containers must have a container named "main" for input or output'
        )


def _check_names(where: str, value: Mapping[str, Any], scope: Scope) -> None:
    for name in _names(value):
        try:
            scope.find(name)
        except UnresolvedError as error:
            raise InvalidSpecError(f"{where}: {error}") from None


def _names(value: Mapping[str, Any]) -> Iterator[str]:
    return (name for name in plain_names(value) if name not in LATE)
