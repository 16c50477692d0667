"""From stages to the tasks of a Workflow: each stage one, or with `group: chain` each linear chain of equal pods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from canon.model.declaration import Declaration, data_stage
from canon.model.definition import ForeachDefinition
from canon.model.graph import Graph
from canon.model.names import dns_name_from_stage
from canon.model.pod import Pod

DEFAULT_POD = Pod()


@dataclass(frozen=True, slots=True)
class Task:
    """A pod: its name in the cluster, that of its first stage; keys of its stages, in the order in which they run; names of the tasks that it reads from.

    ``is_data``: its stage brings a dataset, by the tools image and with the data's credentials.
    """

    name: str
    stages: tuple[str, ...]
    parents: tuple[str, ...]
    pod: Pod
    is_data: bool = False


def build_tasks(declaration: Declaration, graph: Graph, parts: Mapping[str, object] | None = None) -> tuple[Task, ...]:
    """The tasks of a pipeline, parents first; independent of the order of declaration.

    ``parts``: by the key of a stage what must be equal for two to be of one chain.
    """
    brings = {data_stage(name) for name in declaration.data}
    pods = {key: _pod(declaration, stage.name) for key, stage in graph.stages.items()}
    data = {key for key, stage in graph.stages.items() if stage.name in brings}
    chains = (
        _chains(graph, pods, data, parts or {})
        if declaration.workflow.group == "chain"
        else [(key,) for key in graph.order()]
    )
    owners = {key: chain for chain in chains for key in chain}
    names = {chain: dns_name_from_stage(graph.stages[chain[0]].name) for chain in chains}
    return tuple(
        Task(
            name=names[chain],
            stages=chain,
            parents=tuple(
                sorted({names[owners[parent]] for key in chain for parent in graph.parents[key]} - {names[chain]})
            ),
            pod=pods[chain[0]],
            is_data=chain[0] in data,
        )
        for chain in chains
    )


def _chains(
    graph: Graph, pods: Mapping[str, Pod], data: Iterable[str], parts: Mapping[str, object]
) -> list[tuple[str, ...]]:
    """A stage joins the one before it where that is all that it waits for, nobody else waits for that, and both have the same pod.

    Who reads from `a` and from `b`, which reads from `a`, waits for `b` alone.
    """
    alone = set(data)
    waits = _nearest(graph)
    followers: dict[str, int] = dict.fromkeys(graph.stages, 0)
    for parents in waits.values():
        for parent in parents:
            followers[parent] += 1
    chains: dict[str, list[str]] = {}
    first: dict[str, str] = {}
    for key in graph.order():
        parents = waits[key]
        joins = len(parents) == 1 and followers[parents[0]] == 1 and pods[parents[0]] == pods[key]
        if joins and not {parents[0], key} & alone and parts.get(parents[0]) == parts.get(key):
            first[key] = first[parents[0]]
        else:
            first[key] = key
        chains.setdefault(first[key], []).append(key)
    return [tuple(chain) for chain in chains.values()]


def _nearest(graph: Graph) -> dict[str, tuple[str, ...]]:
    """The parents of each stage that are no parents of its other parents, however far (transitive reduction); sets of stages are the bits of a number."""
    bit = {key: 1 << number for number, key in enumerate(graph.order())}
    above: dict[str, int] = {}
    found: dict[str, tuple[str, ...]] = {}
    for key in graph.order():
        parents = graph.parents[key]
        further = 0
        for parent in parents:
            further |= above[parent]
        found[key] = tuple(parent for parent in parents if not further & bit[parent])
        above[key] = further | sum(bit[parent] for parent in found[key])
    return found


def _pod(declaration: Declaration, stage: str) -> Pod:
    definition = declaration.stages.get(stage.partition("@")[0])
    if isinstance(definition, ForeachDefinition):
        definition = definition.do
    return (definition.pod if definition is not None else None) or DEFAULT_POD
