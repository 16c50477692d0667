"""`canon step sweep` and `canon step next`: the first task of a sweep, which plans all its points, and what stands between two blocks of a large one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from canon.argo.dag import cut_blocks
from canon.model import cluster
from canon.model.errors import CanonError, listed
from canon.output.files import write_bytes
from canon.planning.lookup import Belief, Lookup
from canon.planning.pipelines import pipeline_graph, recorded_entries
from canon.planning.plan import Planned, plan_graph
from canon.remotes.objects import Objects, all_of
from canon.remotes.opening import remote_of_environment
from canon.steps.documents import (
    SweepPlan,
    SweptNode,
    SweptPoint,
    load_plan,
    load_record,
    load_sweep_plan,
    write_plan,
    write_sweep_plan,
)
from canon.steps.places import Pod
from canon.steps.planner import (
    Planning,
    Say,
    build_plan,
    check_graph,
    delivered_path,
    end_planning,
    is_delivered,
    open_planning,
    record_hits,
)
from canon.sweeps.layout import Layout, block_tasks, build_layout, deliver_name, node_name
from canon.sweeps.points import Sweep, sweep_from_text, sweep_hash
from canon.sweeps.variants import PointStages, applied_point, load_points


def plan_sweep(pod: Pod, say: Say) -> None:
    """Plan every point as a workflow of its own, of which those share tasks that are the same. Raises CanonError; again it does no harm."""
    sweep = sweep_from_text(pod.environ.get(cluster.POINTS_VARIABLE, ""))
    planning = open_planning(pod, say)
    points = load_points(planning.project, planning.pipeline, sweep.points)
    layout = build_layout(planning.pipeline.declaration, points)
    check_graph(layout.dag, pod.environ)
    runs = _plan_points(pod.workflow, planning, sweep, points, layout, say)
    write_sweep_plan(planning.objects, pod.workflow, SweepPlan(nodes=_swept_nodes(layout, runs)))
    say(f"{len(points)} points, {sum(runs.values())} of {len(runs)} pods run")
    end_planning(pod, planning, {cluster.RUNS: json.dumps(runs, sort_keys=True)}, say)


def _plan_points(
    workflow: str, planning: Planning, sweep: Sweep, points: tuple[PointStages, ...], layout: Layout, say: Say
) -> dict[str, bool]:
    """Write the plan of each point; return which pods run, by their names in the workflow."""
    objects, project, pipeline = planning.objects, planning.project, planning.pipeline
    lookup = Lookup(objects, Belief(planning.accept, planning.declared), layout.runs, recorded_entries(project))
    swept = SweptPoint(
        sweep=sweep_hash(pipeline.name, planning.profile, planning.tree, sweep.points), space=dict(sweep.space)
    )
    plain = pipeline_graph(project, pipeline)
    known: dict[tuple[str, str], Planned] = {}
    runs: dict[str, bool] = {}
    for number, point in enumerate(points):
        tasks, owners, name = layout.tasks[number], layout.owners[number], point_workflow(workflow, number)
        with applied_point(project, pipeline, plain, sweep.points[number]) as graph:
            given = {item[0]: known[item] for item in point.variants.items() if item in known}
            found = plan_graph(planning.root, graph, objects, lookup, given)
            plan = build_plan(planning, name, graph, tasks)
        known |= {item: found[item[0]] for item in point.variants.items()}
        shared = {task: point_workflow(workflow, owner) for task, owner in owners.items() if owner != number}
        plan = plan.model_copy(update={"shared": shared, "point": swept})
        write_plan(objects, name, plan)
        own = record_hits(objects, name, (task for task in tasks if owners[task.name] == number), found)
        runs |= {node_name(number, task): is_run for task, is_run in own.items()}
        all_runs = any(runs[node_name(owner, task)] for task, owner in owners.items())
        runs[deliver_name(number)] = all_runs or not is_delivered(objects, plan, found)
        say(f"point {number + 1}, {sweep.name(sweep.points[number])}: {_words(found, given)}")
    return runs


def _words(found: Mapping[str, Planned], given: Mapping[str, Planned]) -> str:
    running = [key for key, planned in found.items() if planned.hit is None and key not in given]
    return f"runs {', '.join(running)}" if running else "runs nothing of its own"


def point_workflow(workflow: str, point: int) -> str:
    """What the pods of a point know as their workflow."""
    return f"{workflow}.{point}"


def plan_next(pod: Pod, say: Say) -> None:
    """Say anew which pods run, after a block of them: none for which another was to make something, and did not.

    Raises CanonError; after the last block also for points without a result.
    """
    objects = remote_of_environment(pod.environ).objects()
    block = pod.environ.get(cluster.BLOCK_VARIABLE, "")
    if not block.isdecimal():
        raise CanonError(f"{cluster.BLOCK_VARIABLE} is no number: the Workflow is not one that `canon sweep` made")
    nodes = load_sweep_plan(objects, pod.workflow).nodes
    ended = [node for node in nodes if node.block <= int(block) and node.task]
    made = all_of(lambda node: _is_made(objects, pod.workflow, node), ended)
    lost = {node.name for node, is_made in zip(ended, made, strict=True) if not is_made}
    for node in nodes:  # parents first
        if node.block > int(block) and not lost.isdisjoint(node.parents):
            lost.add(node.name)
            say(f"{node.name}: does not run, since what it needs was not made")
    runs = {node.name: node.runs and node.name not in lost for node in nodes}
    write_bytes(
        pod.places.private / Path(cluster.OUTPUTS).name / cluster.RUNS, json.dumps(runs, sort_keys=True).encode()
    )
    if int(block) == max(node.block for node in nodes):
        _check_delivered(objects, pod.workflow, [node for node in nodes if not node.task and node.runs])


def _is_made(objects: Objects, workflow: str, node: SweptNode) -> bool:
    record = load_record(objects, point_workflow(workflow, node.point), node.task)
    return record is not None and record.stages.keys() >= set(node.stages)


def _check_delivered(objects: Objects, workflow: str, delivers: Sequence[SweptNode]) -> None:
    def is_there(node: SweptNode) -> bool:
        name = point_workflow(workflow, node.point)
        plan = load_plan(objects, name)
        records = [load_record(objects, plan.shared.get(task, name), task) for task in plan.tasks]
        values = {key: found.value for record in records if record for key, found in record.stages.items()}
        return objects.size(delivered_path(plan, values)) is not None

    found = all_of(is_there, delivers)
    lacking = [str(node.point + 1) for node, is_delivered in zip(delivers, found, strict=True) if not is_delivered]
    if lacking:
        raise CanonError(
            f"without a result: {'point' if len(lacking) == 1 else 'points'} {listed(lacking)}; the pods that failed say why, and the same"
            " sweep submitted again runs what is missing"
        )


def _swept_nodes(layout: Layout, runs: Mapping[str, bool]) -> tuple[SweptNode, ...]:
    blocks = cut_blocks(block_tasks(layout.nodes))
    numbers = {task.name: number for number, block in enumerate(blocks, 1) for task in block}
    return tuple(
        SweptNode(
            name=node.name,
            block=numbers[node.name],
            point=node.point,
            task="" if node.is_deliver else node.task.name,
            stages=node.task.stages,
            parents=node.parents,
            runs=runs[node.name],
        )
        for node in layout.nodes
    )
