"""What a branch's own Workflow may not have that the trusted declaration does not give: credentials, storage, a place, a priority."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from canon.model.declaration import Declaration
from canon.model.definition import ForeachDefinition
from canon.model.errors import Problem
from canon.model.pod import Pod
from canon.model.project import Pipeline

GRANTED = (
    "env_from",
    "secrets",
    "volumes",
    "image_pull_secrets",
    "node_selector",
    "tolerations",
    "affinity",
    "priority_class",
)
"""Keys of `pod` by which a stage gets at something that others own; the rest is bounded by the namespace's quota."""
_MOUNTED = frozenset({"mount", "read_only"})


def granted_problems(pipeline: Pipeline, trusted: Pipeline, branch: str) -> Iterator[Problem]:
    """Yield what stages of a commit's declaration want, and no stage of the trusted one has: a branch does not widen its own rights."""
    known = {grant for _, pod in _pods(trusted.declaration) for grant in _grants(pod)}
    for stage, pod in _pods(pipeline.declaration):
        for key, _, text in sorted(set(_grants(pod)) - known):
            yield Problem(
                file=pipeline.file,
                path=f"stages.{stage}.pod.{key}",
                message=f"{text} is what no stage has on {branch}, whose rights a branch cannot widen",
                remedy=f"let {branch} declare it first",
            )


def _pods(declaration: Declaration) -> Iterator[tuple[str, Pod]]:
    for name, stage in declaration.stages.items():
        definition = stage.do if isinstance(stage, ForeachDefinition) else stage
        if definition.pod is not None:
            yield name, definition.pod


def _grants(pod: Pod) -> Iterator[tuple[str, str, str]]:
    """Key of the pod, what is granted, and how that is called."""
    for key in GRANTED:
        value: Any = getattr(pod, key)
        if not value:
            continue
        if key == "secrets":
            yield from (
                (key, f"{each.secret}/{each.key}", f"the key {each.key} of the Secret {each.secret}")
                for each in value.values()
            )
        elif key == "volumes":
            for volume in value:
                source = volume.model_dump_json(exclude=_MOUNTED, exclude_none=True)
                writes = volume.claim is not None and not volume.read_only
                if volume.empty_dir is None:
                    yield key, f"{source} {writes}", f"the volume {source}{' to be written' if writes else ''}"
        elif key in {"env_from", "image_pull_secrets"}:
            yield from ((key, each, f"the Secret {each}") for each in value)
        elif key == "tolerations":
            yield from (
                (key, each.model_dump_json(), f"the toleration {each.model_dump_json(exclude_none=True)}")
                for each in value
            )
        elif key == "node_selector":
            yield from ((key, f"{label}={text}", f"the node {label}={text}") for label, text in value.items())
        else:
            yield key, str(value), f"`{value}`"
