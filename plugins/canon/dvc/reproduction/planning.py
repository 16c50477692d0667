"""Which stages DVC would look at for some targets, and in which order (dvc/repo/reproduce.py)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from canon.dvc.words import dvc_words
from canon.model.errors import CanonError


@dataclass(frozen=True, slots=True)
class DeclaredPaths:
    """The absolute paths on this machine that a stage declares."""

    deps: tuple[str, ...]
    outs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """DVC's stages by address, in the order in which it would reproduce them; ``above`` and ``below``: addresses of those next to each.

    ``barriers``: what reads files without being below the stages that write them, frozen stages. Such a one runs in its place of the order.
    """

    stages: Mapping[str, Any]
    above: Mapping[str, tuple[str, ...]]
    below: Mapping[str, tuple[str, ...]]
    barriers: frozenset[str]
    others: frozenset[str]
    """Addresses of the stages that are not looked at."""


def plan_targets(repo: Any, targets: Sequence[str]) -> Planned:  # noqa: ANN401  DVC's own
    """Plan some targets, as `dvc repro TARGET…` does. Raises CanonError with DVC's own words for what it does not find, or cannot read."""
    from dvc.exceptions import DvcException
    from dvc.repo.reproduce import collect_stages, get_active_graph

    try:
        graph = get_active_graph(repo.index.graph)
        whole = {os.path.join(repo.root_dir, each) for each in targets}  # noqa: PTH118  as DVC's own paths
        stages = [each for each in repo.index.stages if each.path in whole]
        if {each.path for each in stages} != whole:  # not files alone; DVC would read a file once more
            stages = collect_stages(repo, targets)
    except DvcException as error:
        raise CanonError(f"DVC cannot plan {', '.join(targets)}: {dvc_words(error)}") from None
    order = _order(graph, stages)
    names = {stage: str(stage.addressing) for stage in order}
    return Planned(
        stages={name: stage for stage, name in names.items()},
        above={name: tuple(names[each] for each in graph.successors(stage)) for stage, name in names.items()},
        below={
            name: tuple(names[each] for each in graph.predecessors(stage) if each in names)
            for stage, name in names.items()
        },
        barriers=frozenset(name for stage, name in names.items() if stage.frozen and stage.deps),
        others=frozenset(str(stage.addressing) for stage in graph if stage not in names),
    )


def _order(graph: Any, stages: Iterable[Any]) -> list[Any]:  # noqa: ANN401
    """DVC's own order, ``plan_repro``, but for one thing: where less than half of the graph is meant, DVC's follows from PYTHONHASHSEED."""
    import networkx as nx

    wanted: set[Any] = set()
    for stage in stages:
        if stage not in wanted:
            wanted |= {stage, *nx.descendants(graph, stage)}
    part = nx.DiGraph()
    part.add_nodes_from(each for each in graph if each in wanted)
    part.add_edges_from((one, other) for one in part for other in graph.adj[one])
    return list(nx.dfs_postorder_nodes(part))
