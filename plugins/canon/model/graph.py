"""The graph of stages: who reads what whom writes, and what is wrong with it."""

from __future__ import annotations

import heapq
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from canon.model.errors import Problem
from canon.model.stage import Stage


def stage_key(stage: Stage) -> str:
    """DVC's address of a stage: the name alone in the root's dvc.yaml."""
    return stage.name if stage.file == "dvc.yaml" else f"{stage.file}:{stage.name}"


@dataclass(frozen=True, slots=True)
class Graph:
    """Stages by key, in declaration order, and the keys of those that each one reads from."""

    stages: Mapping[str, Stage]
    parents: Mapping[str, tuple[str, ...]]

    def children(self) -> dict[str, tuple[str, ...]]:
        """Keys of the stages that read from each one."""
        below: dict[str, list[str]] = {key: [] for key in self.stages}
        for key, parents in self.parents.items():
            for parent in parents:
                below[parent].append(key)
        return {key: tuple(children) for key, children in below.items()}

    def descendants(self, keys: Iterable[str]) -> set[str]:
        """Keys of everything below ``keys``, themselves left out unless they lie below one another."""
        children = self.children()
        found: set[str] = set()
        waiting = list(keys)
        while waiting:
            for child in children[waiting.pop()]:
                if child not in found:
                    found.add(child)
                    waiting.append(child)
        return found

    def order(self) -> tuple[str, ...]:
        """Keys, parents first, of those that are ready the one that sorts first: independent of declaration order.

        Stages on or below a cycle are left out.
        """
        left = {key: len(parents) for key, parents in self.parents.items()}
        children = self.children()
        ready = [key for key, count in left.items() if not count]
        heapq.heapify(ready)
        found: list[str] = []
        while ready:
            key = heapq.heappop(ready)
            found.append(key)
            for child in children[key]:
                left[child] -= 1
                if not left[child]:
                    heapq.heappush(ready, child)
        return tuple(found)

    def levels(self) -> tuple[tuple[str, ...], ...]:
        """Keys by the length of the longest way from a root."""
        depth: dict[str, int] = {}
        for key in self.order():
            depth[key] = 1 + max((depth[parent] for parent in self.parents[key]), default=-1)
        rows: dict[int, list[str]] = {}
        for key in self.stages:
            if key in depth:
                rows.setdefault(depth[key], []).append(key)
        return tuple(tuple(rows[level]) for level in sorted(rows))

    def cycle(self) -> tuple[str, ...]:
        """One circle of stages, each reading from the one before; empty without one."""
        ordered = set(self.order())
        rest = [key for key in self.stages if key not in ordered]
        if not rest:
            return ()
        seen: list[str] = []
        key = rest[0]
        while key not in seen:
            seen.append(key)
            key = next(parent for parent in self.parents[key] if parent not in ordered)
        circle = seen[seen.index(key) :]
        circle.reverse()
        first = circle.index(min(circle))
        return tuple(circle[first:] + circle[:first])


def build_graph(stages: Sequence[Stage]) -> Graph:
    """Build the graph: a dep that is an out, lies in one, or holds one, is an edge."""
    owners: dict[str, str] = {}
    inside: dict[str, list[str]] = {}
    for stage in stages:
        for path in stage.out_paths:
            owners.setdefault(path, stage_key(stage))
            for folder in _above(path):
                inside.setdefault(folder, []).append(stage_key(stage))
    parents: dict[str, tuple[str, ...]] = {}
    for stage in stages:
        found: dict[str, None] = {}
        for path in (*stage.dep_paths, *(file for file, _ in stage.param_paths)):
            for candidate in (path, *_above(path)):
                if candidate in owners:
                    found[owners[candidate]] = None
            for owner in inside.get(path, ()):
                found[owner] = None
        key = stage_key(stage)
        parents[key] = tuple(found)
    return Graph(stages={stage_key(stage): stage for stage in stages}, parents=parents)


@lru_cache(maxsize=1 << 16)  # a path is asked for by each stage that reads it, several times
def _above(path: str) -> tuple[str, ...]:
    found: list[str] = []
    folder = posixpath.dirname(path)
    while folder and folder != "/":
        found.append(folder)
        folder = posixpath.dirname(folder)
    return tuple(found)


def graph_problems(graph: Graph, files: Mapping[str, str]) -> tuple[Problem, ...]:
    """Everything that makes the graph no pipeline; ``files``: dvc.yaml → the declaration it is generated from."""
    found = [*_out_findings(graph)]
    circle = graph.cycle()
    if len(circle) > 1:
        message = f"the stages form a cycle: {' -> '.join((*circle, circle[0]))}"
        found.append((graph.stages[circle[0]], "", message, "one of them must not read what the others make"))
    return tuple(
        dict.fromkeys(
            Problem(
                file=files.get(stage.file, stage.file),
                path=f"stages.{stage.name.partition('@')[0]}{path}",
                message=message,
                remedy=remedy,
            )
            for stage, path, message, remedy in found
        )
    )


def _out_findings(graph: Graph) -> Iterator[tuple[Stage, str, str, str]]:
    owners: dict[str, Stage] = {}
    for stage in graph.stages.values():
        for path in stage.out_paths:
            owner = owners.setdefault(path, stage)
            if owner is not stage or stage.out_paths.count(path) > 1:
                other = stage_key(owner) if owner is not stage else "itself"
                remedy = "one stage writes a file; let the other one read it as a dep"
                yield stage, ".outs", f"`{path}` is an out of `{other}`, too", remedy
        yield from ((stage, ".deps", message, "write to another path") for message in _own_inputs(stage))
    for stage in graph.stages.values():
        for path in stage.out_paths:
            for folder in _above(path):
                if folder in owners:
                    message = f"`{path}` lies in `{folder}`, an out of `{stage_key(owners[folder])}`"
                    yield stage, ".outs", message, "let the stages write to folders that do not overlap"


def _own_inputs(stage: Stage) -> Iterator[str]:
    """DVC refuses a stage whose deps and outs overlap."""
    read = dict.fromkeys((*stage.dep_paths, *(file for file, _ in stage.param_paths)))
    made = dict.fromkeys(stage.out_paths)
    for path in made:
        if path in read:
            yield f"`{path}` is both a dep and an out of this stage"
    for inner, outer in ((read, made), (made, read)):
        for path in inner:
            for folder in _above(path):
                if folder in outer:
                    yield f"`{path}` lies in `{folder}`: a dep and an out of this stage overlap"
