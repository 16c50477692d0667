"""A sweep as the tasks of one Workflow: each stage of several points that is the same runs once, then each point is delivered. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from canon.model.canonical import sha256_of
from canon.model.cluster import DELIVER
from canon.model.declaration import Declaration
from canon.model.tasks import Task, build_tasks
from canon.sweeps.variants import PointStages


@dataclass(frozen=True, slots=True)
class Node:
    """A pod of the Workflow: task of a point, ``deliver`` for the last one; it waits for the nodes ``parents``."""

    name: str
    point: int
    task: Task
    parents: tuple[str, ...]

    @property
    def is_deliver(self) -> bool:
        """Whether it makes the result of its point known."""
        return not self.task.stages


@dataclass(frozen=True, slots=True)
class Layout:
    """``tasks``: those of each point; ``owners``: for each point task → the point whose task it is; ``nodes``: parents first."""

    tasks: tuple[tuple[Task, ...], ...]
    owners: tuple[Mapping[str, int], ...]
    nodes: tuple[Node, ...]

    @property
    def runs(self) -> int:
        """How many stages there are to run, each once."""
        return sum(len(node.task.stages) for node in self.nodes)

    @property
    def stages(self) -> int:
        """How many there are in all points together."""
        return sum(len(task.stages) for tasks in self.tasks for task in tasks)

    @property
    def dag(self) -> str:
        """What names the graph: `canon step sweep` holds it against the one that the Workflow was rendered from."""
        return sha256_of(
            [[node.name, list(node.task.stages), list(node.parents), node.task.is_data] for node in self.nodes]
        )


def build_layout(declaration: Declaration, points: Sequence[PointStages]) -> Layout:
    """Lay out a sweep. The first point that has a task owns it; a chain is cut where not the same points share its stages."""
    parts = _parts(points)
    tasks = tuple(
        build_tasks(declaration, point.graph, {item[0]: parts[item] for item in point.variants.items()})
        for point in points
    )
    first: dict[tuple[str, ...], int] = {}
    owners: list[dict[str, int]] = []
    nodes: list[Node] = []
    for number, point in enumerate(points):
        own: dict[str, int] = {}
        for task in tasks[number]:
            variant = (task.name, *(point.variants[key] for key in task.stages))
            own[task.name] = first.setdefault(variant, number)
            if own[task.name] == number:
                parents = tuple(node_name(own[parent], parent) for parent in task.parents)
                nodes.append(Node(node_name(number, task.name), number, task, parents))
        owners.append(own)
        ends = tuple(node_name(own[name], name) for name in _ends(tasks[number]))
        nodes.append(Node(deliver_name(number), number, Task(DELIVER, (), (), tasks[number][0].pod), ends))
    return Layout(tasks, tuple(owners), tuple(nodes))


def _parts(points: Sequence[PointStages]) -> dict[tuple[str, str], object]:
    """What must be equal for stages to be of one chain: the points that share them. One that not the same read from in each is alone."""
    sharing: dict[tuple[str, str], list[int]] = defaultdict(list)
    readers: dict[tuple[str, str], set[tuple[str, ...]]] = defaultdict(set)
    for number, point in enumerate(points):
        children = point.graph.children()
        for item in point.variants.items():
            sharing[item].append(number)
            readers[item].add(tuple(sorted(children[item[0]])))
    return {item: (numbers, "" if len(readers[item]) == 1 else item[0]) for item, numbers in sharing.items()}


def node_name(point: int, task: str) -> str:
    """The name of a point's task in the Workflow; no `deliver-N` is one."""
    return f"p{point}-{task}"


def deliver_name(point: int) -> str:
    """The name of what makes a point's result known."""
    return f"{DELIVER}-{point}"


def block_tasks(nodes: Iterable[Node]) -> tuple[Task, ...]:
    """The nodes as tasks of a Workflow, by their names in it."""
    return tuple(replace(node.task, name=node.name, parents=node.parents) for node in nodes)


def _ends(tasks: Sequence[Task]) -> list[str]:
    """The tasks that nobody reads from: when they have ended well, all have."""
    read = {parent for task in tasks for parent in task.parents}
    return [task.name for task in tasks if task.name not in read]
