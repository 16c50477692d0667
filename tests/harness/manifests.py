"""Manifests of the shape that was tried on the real controller, as dicts: plan, stages in nested DAGs by level, deliver.

Small shell commands stand in for the tools; images stand for tools and base.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Manifest = dict[str, Any]
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
TOOLS, USER = "tools:1", "user:1"
RETRY = (
    "not (lastRetry.message contains 'deadline') and (lastRetry.status == 'Error' or "
    "not (lastRetry.message startsWith 'main: Error') or asInt(lastRetry.exitCode) in [137, 143])"
)
WORK = [{"name": "work", "mountPath": "/work"}, {"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108  the container's
PRIVATE = [{"name": "private", "mountPath": "/private"}]
OUTPUTS = ("run", "image", "deliver")
CODE = "mkdir -p /work/run && echo code > /work/code.txt"
FETCH = "test -f /work/code.txt && echo running > /work/run/said && echo fetched for $CANON_WORKFLOW"
MAIN = "cd /work; cat run/said; echo 0 > run/exit"
PUSH = "while [ ! -e /work/run/exit ]; do sleep 0.05; done; echo saved $CANON_TASK"


def container(
    name: str, script: str, image: str = TOOLS, *, mounts: Iterable[Mapping[str, Any]] = (), **more: Any
) -> Manifest:
    """A container that runs a shell script."""
    found = {
        "name": name,
        "image": image,
        "command": ["sh", "-c"],
        "args": [script],
        "securityContext": RESTRICTED,
        **more,
    }
    return {**found, "volumeMounts": [*mounts]} if mounts else found


def single(script: str, image: str = TOOLS, *, mounts: Iterable[Mapping[str, Any]] = (), **more: Any) -> Manifest:
    """The container of a template that has one alone."""
    found = container("main", script, image, mounts=mounts, **more)
    del found["name"]
    return found


def stage_template(
    *, code: str = CODE, fetch: str = FETCH, main: str = MAIN, push: str = PUSH, **more: Any
) -> Manifest:
    """The pod of a stage. ``more``: fields of the template."""
    env = [
        {"name": "CANON_WORKFLOW", "value": "{{workflow.uid}}"},
        {"name": "CANON_TASK", "value": "{{inputs.parameters.task}}"},
    ]
    image = "{{inputs.parameters.image}}"
    return {
        "name": "stage",
        "inputs": {"parameters": [{"name": "task"}, {"name": "image"}]},
        "volumes": [{"name": "private", "emptyDir": {}}],
        "initContainers": [container("code", code, image, mounts=WORK)],
        "containerSet": {
            "volumeMounts": WORK,
            "containers": [
                container("fetch", fetch, mounts=PRIVATE, env=env),
                container("main", main, image, dependencies=["fetch"]),
                container("push", push, mounts=PRIVATE, env=env, dependencies=["fetch"]),
            ],
        },
        **more,
    }


def task(name: str, parents: Sequence[str] = ()) -> Manifest:
    """The task of a stage."""
    found: Manifest = {
        "name": name,
        "template": "stage",
        "when": "{{=jsonpath(inputs.parameters.run, \"$['" + name + "']\")}} == true",
        "arguments": {
            "parameters": [{"name": "task", "value": name}, {"name": "image", "value": "{{inputs.parameters.image}}"}]
        },
    }
    if parents:
        found["depends"] = " && ".join(f"({parent}.Succeeded || {parent}.Skipped)" for parent in parents)
    return found


def plan_template(run: Mapping[str, bool], *, deliver: bool) -> Manifest:
    """A plan that answers so."""
    answers = {"run": json.dumps(run), "image": USER, "deliver": json.dumps(deliver)}
    script = "\n".join(f"printf '%s' '{value}' > /private/{name}" for name, value in answers.items())
    return {
        "name": "plan",
        "volumes": [{"name": "private", "emptyDir": {}}],
        "retryStrategy": {"limit": "2", "retryPolicy": "OnError"},
        "outputs": {"parameters": [{"name": name, "valueFrom": {"path": f"/private/{name}"}} for name in OUTPUTS]},
        "container": single(f"echo plan {{{{workflow.parameters.revision}}}}\n{script}", mounts=PRIVATE),
    }


def level(name: str, tasks: Sequence[Mapping[str, Any]]) -> Manifest:
    return {"name": name, "inputs": {"parameters": [{"name": "run"}, {"name": "image"}]}, "dag": {"tasks": [*tasks]}}


def pipeline(run: Mapping[str, bool], *, deliver: bool = True, stage: Mapping[str, Any] | None = None) -> Manifest:
    """The WorkflowTemplate of four stages in two levels."""
    passed = {
        "parameters": [
            {"name": name, "value": f"{{{{tasks.plan.outputs.parameters.{name}}}}}"} for name in ("run", "image")
        ]
    }
    retried = {
        "limit": "2",
        "retryPolicy": "Always",
        "expression": RETRY,
        "backoff": {"duration": "1s", "factor": "2"},
    }
    return workflow_template(
        {
            "name": "main",
            "dag": {
                "tasks": [
                    {"name": "plan", "template": "plan"},
                    {"name": "level-1", "template": "level-1", "depends": "plan.Succeeded", "arguments": passed},
                    {"name": "level-2", "template": "level-2", "depends": "level-1.Succeeded", "arguments": passed},
                    {
                        "name": "deliver", "template": "deliver", "depends": "level-2.Succeeded",
                        "when": "{{tasks.plan.outputs.parameters.deliver}} == true",
                    },
                ]
            },
        },
        level("level-1", [task("prepare"), task("fit-gb", ["prepare"])]),
        level("level-2", [task("train"), task("evaluate", ["train"])]),
        plan_template(run, deliver=deliver),
        stage or stage_template(retryStrategy=retried),
        {"name": "deliver", "container": single("echo delivered", mounts=WORK)},
        synchronization={"mutexes": [{"name": "canon-co2-cluster"}]},
    )  # fmt: skip


def workflow_template(*templates: Mapping[str, Any], **spec: Any) -> Manifest:
    """A WorkflowTemplate `co2-cluster` whose entry point is the first template. ``spec``: more fields of its spec."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": {"name": "co2-cluster", "namespace": "default"},
        "spec": {
            "entrypoint": templates[0]["name"],
            "serviceAccountName": "canon",
            "automountServiceAccountToken": False,
            "executor": {"serviceAccountName": "canon"},
            "arguments": {"parameters": [{"name": "revision", "value": ""}]},
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "podSpecPatch": json.dumps({"initContainers": [{"name": "init", "securityContext": RESTRICTED}], "containers": [{"name": "wait", "securityContext": RESTRICTED}]}),
            "parallelism": 8,
            "volumes": [{"name": "work", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
            "templates": [copy.deepcopy(dict(each)) for each in templates],
            **spec,
        },
    }  # fmt: skip


def one_pod(script: str, **more: Any) -> Manifest:
    """A WorkflowTemplate of one pod. ``more``: fields of its template."""
    return workflow_template({"name": "main", "container": single(script), **more})


def workflow(name: str = "co2", **parameters: str) -> Manifest:
    """A Workflow of that template."""
    arguments = {"parameters": [{"name": key, "value": value} for key, value in parameters.items()]}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"workflowTemplateRef": {"name": "co2-cluster"}, "arguments": arguments},
    }
