"""What a declared `pod` is in Kubernetes' words, as plain mappings: for the stages' pods and for the service's."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from canon.model.cluster import TMP
from canon.model.pod import Gpu, Pod, Volume

RESTRICTED: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""What the Pod Security Standard "restricted" asks of a container, and a root that is only read."""
SCRATCH, SHARED_MEMORY = "tmp", "shared-memory"
"""Names of volumes."""
SHARED_MEMORY_PLACE = "/dev/shm"  # noqa: S108  where programs look for it


def pod_security(uid: int) -> dict[str, Any]:
    """The security context of a pod whose containers all run as one user."""
    return {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": uid,
        "fsGroup": uid,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def quiet_variables() -> dict[str, str]:
    """Variables of every container: the root is only read, and code that is compiled there would make hashes differ."""
    return {"HOME": TMP, "TMPDIR": TMP, "PYTHONDONTWRITEBYTECODE": "1"}


def build_env(values: Mapping[str, str], pod: Pod | None = None) -> list[dict[str, Any]]:
    """A container's `env`; those of the `pod` replace ours of the same name."""
    secrets = dict(pod.secrets or {}) if pod else {}
    plain = {**values, **((pod.env if pod else None) or {})}
    found: list[dict[str, Any]] = [
        {"name": name, "value": value} for name, value in plain.items() if name not in secrets
    ]
    for name, source in secrets.items():
        found.append({"name": name, "valueFrom": {"secretKeyRef": {"name": source.secret, "key": source.key}}})
    return found


def build_resources(pod: Pod) -> dict[str, dict[str, str]]:
    """Resources of the container that the `pod` is declared for. A limit on cpu would only slow it down while nobody else wants it."""
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    if pod.cpu is not None:
        requests["cpu"] = pod.cpu if isinstance(pod.cpu, str) else repr(float(pod.cpu)).removesuffix(".0")
    for name, value in (("memory", pod.memory), ("ephemeral-storage", pod.ephemeral_storage)):
        if value is not None:
            requests[name] = limits[name] = value
    gpu = Gpu(count=pod.gpu) if isinstance(pod.gpu, int) and pod.gpu else pod.gpu
    if isinstance(gpu, Gpu):  # an extended resource cannot be overcommitted: both, and equal
        requests[gpu.resource] = limits[gpu.resource] = str(gpu.count)
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def build_tolerations(pod: Pod) -> list[dict[str, Any]]:
    """The taints that a pod tolerates."""
    return [each.model_dump(exclude_none=True) for each in pod.tolerations or ()]


def build_volumes(pod: Pod) -> list[dict[str, Any]]:
    """The declared volumes of a pod, and its shared memory."""
    found = [_volume(number, volume) for number, volume in enumerate(pod.volumes or (), 1)]
    if pod.shared_memory:
        found.append({"name": SHARED_MEMORY, "emptyDir": {"sizeLimit": pod.shared_memory, "medium": "Memory"}})
    return found


def build_mounts(pod: Pod) -> list[dict[str, Any]]:
    """Where those volumes are in the container that the `pod` is declared for."""
    found: list[dict[str, Any]] = []
    for number, volume in enumerate(pod.volumes or (), 1):
        mount: dict[str, Any] = {"name": f"volume-{number}", "mountPath": volume.mount}
        found.append(mount | ({"readOnly": True} if volume.read_only else {}))
    return found + ([{"name": SHARED_MEMORY, "mountPath": SHARED_MEMORY_PLACE}] if pod.shared_memory else [])


def _volume(number: int, volume: Volume) -> dict[str, Any]:
    name = f"volume-{number}"
    if volume.claim:
        claim: dict[str, Any] = {"claimName": volume.claim}
        return {"name": name, "persistentVolumeClaim": claim | ({"readOnly": True} if volume.read_only else {})}
    if volume.secret:
        return {"name": name, "secret": {"secretName": volume.secret}}
    if volume.config_map:
        return {"name": name, "configMap": {"name": volume.config_map}}
    return {"name": name, "emptyDir": {"sizeLimit": volume.empty_dir}}


def volume_findings(pod: Pod | None, taken: Collection[str]) -> Iterator[tuple[int, str, str]]:
    """Yield what is wrong with declared volumes: number from 0, message, remedy. ``taken``: places that are others'."""
    seen: set[str] = {SHARED_MEMORY_PLACE} if pod and pod.shared_memory else set()
    for index, volume in enumerate((pod.volumes if pod else None) or ()):
        sources = [each for each in (volume.claim, volume.secret, volume.config_map, volume.empty_dir) if each]
        if len(sources) != 1:
            yield index, f"has {len(sources)} sources", "name exactly one of claim, secret, config_map and empty_dir"
        place = posixpath.normpath(volume.mount)
        if any(place == own or place.startswith(f"{own}/") for own in taken) or place in {"/", *seen}:
            remedy = "mount it elsewhere, for example below /mnt"
            yield index, f"something else lies at {place} in the pod", remedy
        seen.add(place)
