"""The volumes of a pod as folders of this machine, and which of them a container sees where."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tests.harness.errors import HangsError, NodeError
from tests.harness.launch import Mount

Content = Mapping[str, Mapping[str, str | bytes]]
"""Name → key → value, of Secrets or ConfigMaps."""
EXECUTOR = "/var/run/argo"
"""Where the executor's own volume is in each container."""


@dataclass(frozen=True)
class Objects:
    """What the namespace holds beside workflows."""

    namespace: str = "default"
    secrets: Content = field(default_factory=dict)
    config_maps: Content = field(default_factory=dict)
    claims: Mapping[str, Path] = field(default_factory=dict)


class Volumes:
    """The volumes of one pod, below ``folder`` and, for those in memory, below ``memory``."""

    def __init__(self, folder: Path, memory: Path, objects: Objects, group: int | None) -> None:
        self._folder, self._memory, self._objects, self._group = folder, memory, objects, group
        self._sources: dict[str, Path] = {}
        self.executor = folder / "executor"
        self._make(self.executor, 0o777)

    def __getitem__(self, name: str) -> Path:
        return self._sources[name]

    def add(self, volume: Mapping[str, Any]) -> None:
        """Make a volume. Raises HangsError for a Secret or ConfigMap that is not there."""
        name = volume["name"]
        if "persistentVolumeClaim" in volume:
            self._sources[name] = self._claimed(volume["persistentVolumeClaim"]["claimName"])
            return
        in_memory = (volume.get("emptyDir") or {}).get("medium") == "Memory"
        place = (self._memory if in_memory else self._folder) / f"volume-{name}"
        self._sources[name] = place
        self._make(place, 0o777)
        if "secret" in volume:
            self._fill(place, volume["secret"], "secret", volume["secret"]["secretName"], self._objects.secrets)
        elif "configMap" in volume:
            self._fill(place, volume["configMap"], "configmap", volume["configMap"]["name"], self._objects.config_maps)

    def _claimed(self, name: str) -> Path:
        if name not in self._objects.claims:
            raise HangsError(f'Unschedulable: persistentvolumeclaim "{name}" not found')
        place = self._objects.claims[name]
        if self._group is not None and os.geteuid() == 0:
            os.chown(place, -1, self._group)
            place.chmod(place.stat().st_mode | 0o2070)
        return place

    def _make(self, place: Path, mode: int) -> None:
        place.mkdir(parents=True)
        if self._group is not None and os.geteuid() == 0:
            os.chown(place, 0, self._group)
            mode |= 0o2000
        place.chmod(mode)

    def _fill(self, place: Path, source: Mapping[str, Any], kind: str, name: str, objects: Content) -> None:
        found = objects.get(name)
        if found is None:
            if source.get("optional"):
                return
            raise HangsError(f'MountVolume.SetUp failed for volume "{place.name[7:]}" : {kind} "{name}" not found')
        items = source.get("items") or [{"key": key, "path": key} for key in found]
        mode = int(source.get("defaultMode", 0o644))
        for item in items:
            if item["key"] not in found:
                if source.get("optional"):
                    continue
                raise HangsError(
                    f'MountVolume.SetUp failed for volume "{place.name[7:]}" : references non-existent {kind} key: {item["key"]}'
                )
            # As a kubelet lays them out: links to a folder that is exchanged as a whole.
            target = place / "..data" / item["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(as_bytes(found[item["key"]]))
            target.chmod(int(item.get("mode", mode)) | (0o440 if self._group is not None else 0))
            if os.geteuid() != 0:
                target.chmod(0o444)  # no owner of another namespace can be given
            elif self._group is not None:
                os.chown(target, 0, self._group)
            first = PurePosixPath(item["path"]).parts[0]
            link = place / first
            if not link.is_symlink():
                link.symlink_to(f"..data/{first}")

    def mounts(self, where: str, wanted: Iterable[Mapping[str, Any]]) -> tuple[Mount, ...]:
        """The mounts of a container, the executor's last. Raises NodeError for a volume that the pod does not have."""
        found: dict[str, Mount] = {}
        for number, each in enumerate(wanted):
            if each["name"] not in self._sources:
                raise NodeError(f'{where}.volumeMounts[{number}].name: Not found: "{each["name"]}"')
            if each["mountPath"] in found:
                raise NodeError(
                    f'{where}.volumeMounts[{number}].mountPath: Invalid value: "{each["mountPath"]}": must be unique'
                )
            source = self._sources[each["name"]] / each.get("subPath", "")
            if each.get("subPath") and not source.exists():
                self._make(source, 0o777)
            found[each["mountPath"]] = Mount(source, each["mountPath"], bool(each.get("readOnly")))
        executor = Mount(self.executor, EXECUTOR)
        return (*sorted(found.values(), key=lambda mount: len(PurePosixPath(mount.path).parts)), executor)

    def remove(self) -> None:
        """Remove what the pod has written."""
        for each in (self._folder, self._memory):
            shutil.rmtree(each, ignore_errors=True)


def as_bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def pod_volumes(template: Mapping[str, Any], spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The volumes that the controller gives a pod: all of the template, and those of the workflow that a mount asks for.

    In a set only `containerSet.volumeMounts` and init containers ask, not a container's own mounts
    (workflow/controller/workflowpod.go, addVolumeReferences). Raises NodeError for a volume that neither has.
    """
    own = {each["name"]: each for each in template.get("volumes") or ()}
    shared = {each["name"]: each for each in spec.get("volumes") or ()}
    main = template.get("container") or template["containerSet"]
    asked = [*main.get("volumeMounts", ())]
    for each in template.get("initContainers") or ():
        asked += each.get("volumeMounts", ())
    found = dict(own)
    for mount in asked:
        if mount["name"] not in found:
            if mount["name"] not in shared:
                raise NodeError(f"volume '{mount['name']}' not found in workflow spec")
            found[mount["name"]] = shared[mount["name"]]
    return list(found.values())
