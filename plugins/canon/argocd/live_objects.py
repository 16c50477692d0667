"""Applications and pods as an API server has them, read with suspicion: any key may be missing, or hold something else.

Sources: `ApplicationStatus` in argo-cd/pkg/apis/application/v1alpha1/types.go; `PodStatus` in Kubernetes' core/v1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from canon.model.cluster import SERVING
from canon.model.errors import printable

MAX_WORDS = 200
_MANIFEST = re.compile(r"(?:docker-pullable://)?[^\s@/:]+(?:[:/][^\s@]+)?@(sha256:[0-9a-f]{64})")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z")


@dataclass(frozen=True, slots=True)
class Application:
    """What Argo CD says. ``since``: when its health last changed; ``reconciled``: when it last compared with Git; ``watches``: what it follows."""

    sync: str
    health: str
    revision: str
    message: str
    since: datetime | None
    reconciled: datetime | None
    operation: str
    operation_message: str
    problems: tuple[str, ...]
    watches: Watched
    is_ending: bool


@dataclass(frozen=True, slots=True)
class Watched:
    """What an Application follows, and where it puts it."""

    repository: str
    branch: str
    path: str
    namespace: str
    server: str


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a service. ``digest``: of the manifest that its container runs, "" where the runtime does not say; ``image``: as its spec names it.

    ``started`` and ``ready``: since when the container runs, and the pod is ready. ``trouble``: why the container does not run. A pod that
    `is_over` serves no more; one that `is_ending` soon won't. ``serves``: one of its containers is known to be the service.
    """

    name: str
    replica_set: str
    image: str
    image_id: str
    digest: str
    started: datetime | None
    ready: datetime | None
    trouble: str
    serves: bool
    is_ready: bool
    is_ending: bool
    is_over: bool

    @property
    def pinned(self) -> str:
        """The digest that the spec names, "" where it names a tag."""
        return _digest(self.image)


def application_from_object(found: Mapping[str, Any]) -> Application:
    """Read an Application."""
    spec, status = _mapping(found, "spec"), _mapping(found, "status")
    sync, health, operation = _mapping(status, "sync"), _mapping(status, "health"), _mapping(status, "operationState")
    source, destination = _mapping(spec, "source"), _mapping(spec, "destination")
    conditions = [each for each in _list(status, "conditions") if _text(each, "type").endswith("Error")]
    return Application(
        sync=_text(sync, "status") or "Unknown",
        health=_text(health, "status") or "Unknown",
        revision=_text(sync, "revision"),
        message=_text(health, "message"),
        since=_time(health, "lastTransitionTime"),
        reconciled=_time(status, "reconciledAt"),
        operation=_text(operation, "phase"),
        operation_message=_text(operation, "message"),
        problems=tuple(f"{_text(each, 'type')}: {_text(each, 'message')}" for each in conditions),
        watches=Watched(
            _text(source, "repoURL"),
            _text(source, "targetRevision"),
            _text(source, "path"),
            _text(destination, "namespace"),
            _text(destination, "server") or _text(destination, "name"),
        ),
        is_ending="deletionTimestamp" in _mapping(found, "metadata"),
    )


def pod_from_object(found: Mapping[str, Any], repository: str = "") -> Pod:
    """Read a pod. ``repository``: of the released image, by which the container is known where no name says it."""
    meta, spec, status = _mapping(found, "metadata"), _mapping(found, "spec"), _mapping(found, "status")
    container = _serving(_list(spec, "containers"), repository)
    name = _text(container, "name")
    its = next((each for each in _list(status, "containerStatuses") if _text(each, "name") == name), {})
    ready = next((each for each in _list(status, "conditions") if _text(each, "type") == "Ready"), {})
    owner = next((each for each in _list(meta, "ownerReferences") if each.get("controller") is True), {})
    image_id = _text(its, "imageID")
    is_ready = _text(ready, "status") == "True" and (its.get("ready") is True or not container)
    return Pod(
        name=_text(meta, "name"),
        replica_set=_text(owner, "name"),
        image=_text(container, "image"),
        image_id=image_id,
        digest=_digest(image_id),
        started=_time(_mapping(_mapping(its, "state"), "running"), "startedAt"),
        ready=_time(ready, "lastTransitionTime") if is_ready else None,
        trouble=_trouble(its, status) if container else "",
        serves=bool(container),
        is_ready=is_ready,
        is_ending="deletionTimestamp" in meta,
        is_over=_text(status, "phase") in {"Succeeded", "Failed"},
    )


def _serving(containers: list[Mapping[str, Any]], repository: str) -> Mapping[str, Any]:
    """The container that serves: by its name, as the only one, as the only one of that image; none of several else."""
    wanted = _repository(repository)
    of_image = [each for each in containers if wanted and _repository(_text(each, "image")) == wanted]
    for candidates in ([each for each in containers if _text(each, "name") == SERVING], containers, of_image):
        if len(candidates) == 1:
            return candidates[0]
    return {}


def _trouble(container: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """Why a container does not run: its own reason, that of an init container before it, or of the pod."""
    states = [_mapping(container, "state")] if container else []
    states += [_mapping(each, "state") for each in _list(status, "initContainerStatuses")]
    for state in states:
        waiting, ended = _mapping(state, "waiting"), _mapping(state, "terminated")
        if (reason := _text(waiting, "reason")) and reason != "PodInitializing":
            return f"{reason}{_after(_text(waiting, 'message'))}"
        if ended and ended.get("exitCode") != 0:
            return f"{_text(ended, 'reason') or 'ended'} (exit code {_plain(ended.get('exitCode'))})"
    if _mapping(_mapping(container, "state"), "running"):
        return ""
    for condition in _list(status, "conditions"):
        if _text(condition, "type") == "PodScheduled" and _text(condition, "status") == "False":
            return f"{_text(condition, 'reason')}{_after(_text(condition, 'message'))}"
    return _text(status, "reason") or "does not run yet"


def _after(text: str) -> str:
    return f": {text}" if text else ""


def _digest(reference: str) -> str:
    """The digest of a manifest in a reference, or in an imageID of containerd, CRI-O or Docker.

    `sha256:…`, `docker://sha256:…` and bare hex digits are of an image's configuration, which no reference names.
    """
    found = _MANIFEST.fullmatch(reference)
    return found[1] if found else ""


def _repository(image: str) -> str:
    """A reference without its tag and digest."""
    return re.sub(r":[^/:]+$", "", image.partition("@")[0])


def _mapping(holder: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = holder.get(key)
    return found if isinstance(found, dict) else {}


def _list(holder: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = holder.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _text(holder: Mapping[str, Any], key: str) -> str:
    found = holder.get(key)
    return _plain(found) if isinstance(found, str) else ""


def _plain(found: object) -> str:
    """Somebody else's words, in one line."""
    plain = " ".join(printable(str(found)).split())
    return plain if len(plain) <= MAX_WORDS else f"{plain[:MAX_WORDS]}…"


def _time(holder: Mapping[str, Any], key: str) -> datetime | None:
    """A moment as Kubernetes writes it."""
    text = _text(holder, key)
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if _TIME.fullmatch(text) else None
    except (ValueError, OverflowError):
        return None
