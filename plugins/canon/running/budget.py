"""How many stages run side by side: no more than asked for, and no more than this machine has for what they say that they need together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from canon.model.graph import stage_key
from canon.model.project import Project
from canon.model.stage import Stage

_SUFFIXES = {"": 1.0, "m": 1e-3, **{unit: 1000.0**power for power, unit in enumerate("kMGTPE", start=1)},
             **{f"{unit}i": 1024.0**power for power, unit in enumerate("KMGTPE", start=1)}}  # fmt: skip
_QUANTITY = re.compile(r"([0-9.]+(?:[eE][-+]?[0-9]+)?)([A-Za-z]*)")
_CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")
_CGROUP_CPU = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Need:
    """Cores and bytes of memory."""

    cpu: float = 0.0
    memory: float = 0.0

    def __add__(self, other: Need) -> Need:
        return Need(self.cpu + other.cpu, self.memory + other.memory)

    def fits(self, room: Need) -> bool:
        """Tell whether it is no more than there is."""
        return self.cpu <= room.cpu * (1 + 1e-9) and self.memory <= room.memory


def parse_quantity(text: str | float) -> float:
    """A quantity of Kubernetes (`500m`, `2Gi`, `1e3`) as a number; its form was checked with the declaration."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        raise ValueError(f"{text!r} is no quantity")
    return float(found[1]) * _SUFFIXES[found[2]]


def declared_needs(project: Project) -> dict[str, Need]:
    """What the stages of a project say that they need, by DVC's address; for `foreach` and `matrix`, that of the group."""
    found: dict[str, Need] = {}
    for pipeline in project.pipelines:
        for name, definition in pipeline.declaration.stages.items():
            pod = (definition.do if hasattr(definition, "do") else definition).pod
            if pod is not None and (pod.cpu or pod.memory):
                key = stage_key(Stage(name=name, cmd="", file=pipeline.declaration.dvc_file))
                found[key] = Need(parse_quantity(pod.cpu or 0), parse_quantity(pod.memory or 0))
    return found


def machine() -> Need:
    """What there is: the cores that this process may use, the memory of the machine, or of the container that this is."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    quota, period = (*_numbers(_CGROUP_CPU), 0, 0)[:2]
    if quota and period:
        cores = min(cores, quota / period)
    limit = _numbers(_CGROUP_MEMORY)
    return Need(max(cores, 1.0), min(memory, *limit) if limit else memory)


def _numbers(file: Path) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in file.read_text().split())
    except (OSError, ValueError):  # no cgroups, or `max`
        return ()


@dataclass(frozen=True, slots=True)
class Budget:
    """``jobs``: how many stages at once; ``room``: for what they declare together; ``needs``: of stages, or of the groups that they are of."""

    jobs: int
    room: Need
    needs: Mapping[str, Need]

    def allows(self, stage: str, running: Iterable[str]) -> bool:
        """Tell whether a stage may start beside others. Alone it always may."""
        names = tuple(running)
        if not names:
            return True
        if len(names) >= self.jobs:
            return False
        return sum((self._need(each) for each in (*names, stage)), Need()).fits(self.room)

    def _need(self, stage: str) -> Need:
        return self.needs.get(stage) or self.needs.get(stage.rpartition("@")[0]) or Need()
