"""Hit or run, for every stage of a graph: what does not read from one another is looked up at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from canon.dvc.entries import build_entry, load_stage_params
from canon.dvc.runcache import reasons_without_entry, run_cache_key
from canon.model.graph import Graph
from canon.model.stage import Stage
from canon.planning.known import Known
from canon.planning.lookup import Hit, Lookup
from canon.remotes.objects import AT_ONCE, Objects


@dataclass(frozen=True, slots=True)
class Planned:
    """What becomes of a stage: ``hit`` when nothing has to run; else why it runs. ``key`` is empty where it depends on what is not made yet."""

    key: str
    hit: Hit | None
    why: str = ""


def plan_graph(
    root: Path, graph: Graph, objects: Objects, lookup: Lookup, given: Mapping[str, Planned] | None = None
) -> dict[str, Planned]:
    """Look up every stage, by its key in the graph, in the order of the graph. ``root``: a checkout; its outs are not read, nothing is moved.

    ``given``: stages of which that is known already, with all before them.
    An entry whose data is not complete in the remote is none. Raises CanonError for a dep that nobody makes and that is not there, and for a
    remote that does not answer.
    """
    broken: dict[str, set[str]] = {}
    while True:
        planned, incomplete = _Planning(root, graph, objects, lookup, broken, given or {}).run()
        if not incomplete:
            return {key: planned[key] for key in graph.order()}
        for key, hit in incomplete.items():
            broken.setdefault(key, set()).add(hit.value)


class _Planning:
    """One pass. Whether the data of an entry is complete is asked beside it: where it is not, what follows is looked at once more."""

    def __init__(
        self,
        root: Path,
        graph: Graph,
        objects: Objects,
        lookup: Lookup,
        broken: Mapping[str, Collection[str]],
        given: Mapping[str, Planned],
    ) -> None:
        self._root, self._graph, self._lookup, self._broken, self._given = root, graph, lookup, broken, given
        outs = frozenset(path for stage in graph.stages.values() for path in stage.out_paths)
        self._known = Known(root, outs, objects)
        self._planned: dict[str, Planned] = {}

    def run(self) -> tuple[Mapping[str, Planned], Mapping[str, Hit]]:
        left = {key: len(parents) for key, parents in self._graph.parents.items()}
        children = self._graph.children()
        ready = [key for key, count in left.items() if not count]
        whole: list[tuple[str, Hit, Future[bool]]] = []
        running: dict[Future[Planned], str] = {}
        with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="canon-plan") as pool:
            try:
                while ready or running:
                    if (
                        len(ready) == 1 and not running
                    ):  # of a chain: handing it over would take longer than most lookups
                        done = [(ready[0], self._plan(ready.pop()))]
                    else:
                        running |= {pool.submit(self._plan, key): key for key in ready}
                        done = [
                            (running.pop(future), future.result())
                            for future in wait(running, return_when=FIRST_COMPLETED).done
                        ]
                        ready = []
                    for key, planned in done:
                        self._planned[key] = planned
                        if planned.hit is not None:
                            self._known.add(self._graph.stages[key], planned.hit.entry)
                            if key not in self._given:
                                whole.append((key, planned.hit, pool.submit(self._lookup.is_whole, planned.hit)))
                        for child in children[key]:
                            left[child] -= 1
                            if not left[child]:
                                ready.append(child)
                return self._planned, {key: hit for key, hit, future in whole if not future.result()}
            finally:
                pool.shutdown(cancel_futures=True)

    def _plan(self, key: str) -> Planned:
        if key in self._given:
            return self._given[key]
        stage = self._graph.stages[key]
        waits = [parent for parent in self._graph.parents[key] if self._planned[parent].hit is None]
        if waits:
            return Planned("", None, f"{waits[0]} runs")
        made = [file for file, _ in stage.param_paths if self._known.is_made(file)]
        if made:  # what lies there may be of another run
            return Planned("", None, f"the values in {made[0]} are known when its stage has run")
        run_key = stage_run_key(self._root, stage, self._known)
        reasons = reasons_without_entry(stage)
        if reasons:
            return Planned(run_key, None, reasons[0])
        broken = self._broken.get(key, ())
        hit = self._lookup.find(run_key, broken)
        why = "the remote lacks data of its result" if broken else "no result is known of these inputs"
        return Planned(run_key, hit, "" if hit else why)


def stage_run_key(root: Path, stage: Stage, known: Known) -> str:
    """The run-cache key of a stage whose parents are known. Raises CanonError."""
    return run_cache_key(build_entry(stage, known.hashes(stage), load_stage_params(root, stage)))
