"""Applications and pods as clusters have them: one that serves a release and is well, to be changed by tests."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from canon.model.release import Release

NEW, OLD = "1" * 64, "2" * 64
REPOSITORY = "registry.example.com/ml/toy"
URL = "https://git.example.com/ml/toy.git"
RELEASED, HEALTHY, STARTED, NOW = (
    "2026-10-31T10:00:00Z",
    "2026-10-31T10:05:00Z",
    "2026-10-31T10:04:00Z",
    "2026-11-02T12:00:00Z",
)
Object = dict[str, Any]


def release(environment: str = "staging", number: int = 7, digest: str = NEW, **changed: Any) -> Release:
    """A release of `toy`."""
    fields: Object = {
        "schema": 1, "pipeline": "toy", "environment": environment, "number": number, "image": f"{REPOSITORY}@sha256:{digest}",
        "version": "v0.0.1", "commit": "a" * 40, "tree": "b" * 40, "experiment": "c" * 40, "result": "d" * 64, "data_hash": "e" * 64,
        "entries": {}, "time": RELEASED, "author": "A <a@example.com>", "why": "test",
    }  # fmt: skip
    return Release.model_validate({**fields, **changed})


def application(
    environment: str = "staging", namespace: str = "toy-staging", revision: str = "f" * 40, **status: Any
) -> Object:
    """An Application that is well; ``status`` replaces keys of its status."""
    return {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": f"toy-{environment}", "namespace": "argocd"},
        "spec": {
            "project": "toy",
            "source": {"repoURL": URL, "targetRevision": "main", "path": f"argo/toy/environments/{environment}"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
        },
        "status": {
            "sync": {"status": "Synced", "revision": revision},
            "health": {"status": "Healthy", "lastTransitionTime": HEALTHY},
            "operationState": {"phase": "Succeeded", "operation": {"sync": {}}, "message": "successfully synced", "finishedAt": HEALTHY, "startedAt": RELEASED},
            "reconciledAt": "2026-11-02T11:59:00Z",
            **status,
        },
    }  # fmt: skip


def pod(
    name: str = "toy-1", digest: str = NEW, *, environment: str = "staging", image: str | None = None, image_id: str | None = None,
    container: str = "serving", replica_set: str = "toy-5d8f", **status: Any,
) -> Object:  # fmt: skip
    """A pod that serves; ``status`` replaces keys of its status."""
    pinned = f"{REPOSITORY}@sha256:{digest}"
    return {
        "metadata": {
            "name": name, "labels": {"canon.dev/pipeline": "toy", "canon.dev/environment": environment, "pod-template-hash": "5d8f"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": replica_set, "controller": True}],
        },
        "spec": {"containers": [{"name": container, "image": pinned if image is None else image}]},
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True", "lastTransitionTime": STARTED},
            ],
            "containerStatuses": [
                {
                    "name": container, "ready": True, "restartCount": 0, "image": pinned, "imageID": pinned if image_id is None else image_id,
                    "state": {"running": {"startedAt": STARTED}},
                }
            ],
            **status,
        },
    }  # fmt: skip


def waiting(reason: str, message: str = "", image_id: str = "", name: str = "serving") -> Object:
    """The status of a container that does not run."""
    return {
        "name": name,
        "ready": False,
        "imageID": image_id,
        "state": {"waiting": {"reason": reason, "message": message}},
    }


def changed(found: Object, path: str, value: Any) -> Object:
    """A copy with another value at a dotted path; None removes it."""
    copy = deepcopy(found)
    *folders, last = path.split(".")
    place: Any = copy
    for each in folders:
        place = place[int(each)] if each.isdigit() else place[each]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return copy
