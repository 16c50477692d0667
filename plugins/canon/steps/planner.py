"""`canon step plan`: the first task of a workflow. It fetches the code, makes sure of the base image, and finds out what has to run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from canon.baking.base import make_base, open_code
from canon.baking.places import image_below
from canon.dvc.runcache import reasons_without_entry
from canon.git import commit_source_tree, run_git
from canon.image.opening import open_store
from canon.image.references import parse_reference
from canon.model import cluster
from canon.model.canonical import sha256_of
from canon.model.dag import dag_hash
from canon.model.errors import CanonError, listed
from canon.model.forges import commit_page
from canon.model.graph import Graph
from canon.model.pins import data_hash
from canon.model.project import Pipeline, Project, load_project
from canon.model.result import data_inputs
from canon.model.tasks import Task, build_tasks
from canon.output.files import load_text
from canon.planning.lookup import Belief, Lookup
from canon.planning.pipelines import pipeline_graph, recorded_entries
from canon.planning.plan import Planned, plan_graph
from canon.remotes.objects import Objects
from canon.remotes.opening import remote_of_environment
from canon.results.collect import collect_pins
from canon.steps.documents import (
    PlannedTask,
    Recorded,
    TaskRecord,
    WorkflowPlan,
    remove_old,
    stage_document,
    write_plan,
    write_record,
)
from canon.steps.pins import pin_anew
from canon.steps.places import Pod, write_outputs
from canon.steps.revision import fetch_revision, git_credentials, repository_of_environment
from canon.steps.settings import apply_settings, settings_from_text
from canon.steps.store import settle_dvc
from canon.workspaces.profiles import apply, check_profile

DELIVERED = "canon/delivered"
"""Folder of the remote where `deliver` notes what it has delivered."""
PLATFORM = "linux/amd64"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Planning:
    """What is planned: a revision's checkout with a profile applied, the image of its code, and the remote."""

    objects: Objects
    project: Project
    pipeline: Pipeline
    profile: str
    commit: str
    tree: str
    image: str
    accept: Literal["pods", "any"]

    @property
    def root(self) -> Path:
        """The checkout."""
        return self.project.root

    @property
    def declared(self) -> str:
        """The image that the pipeline was declared on."""
        environment = self.pipeline.declaration.environment
        return (environment.image if environment else None) or ""


def plan_workflow(pod: Pod, say: Say) -> None:
    """Do what `plan` does, and write its output parameters. Raises CanonError; the same again does no harm."""
    environ = pod.environ
    fresh = is_fresh(environ)
    planning = open_planning(pod, say)
    project, pipeline, objects = planning.project, planning.pipeline, planning.objects
    graph = pipeline_graph(project, pipeline)
    tasks = build_tasks(pipeline.declaration, graph)
    check_graph(dag_hash(tasks), environ)
    plan = build_plan(planning, pod.workflow, graph, tasks).model_copy(
        update={"fresh": fresh, "releases": may_release(environ)}
    )
    belief = Belief(planning.accept, planning.declared, pod.workflow if fresh else "")
    lookup = Lookup(objects, belief, len(graph.stages), recorded_entries(project))
    found = plan_graph(planning.root, graph, objects, lookup)
    write_plan(objects, pod.workflow, plan)
    runs = record_hits(objects, pod.workflow, tasks, found)
    for key, planned in found.items():
        say(f"{key}: {'hit' if planned.hit else f'run ({planned.why})'}")
    delivers = any(runs.values()) or not is_delivered(objects, plan, found)
    outputs = {cluster.RUNS: json.dumps(runs, sort_keys=True), cluster.DELIVERS: str(delivers).lower()}
    end_planning(pod, planning, outputs, say)


def is_fresh(environ: Mapping[str, str]) -> bool:
    """Tell whether a workflow takes no result of others. Raises CanonError for what says neither: an answer that is taken for no would go unseen."""
    asked = environ.get(cluster.FRESH_VARIABLE) or "false"
    if asked not in {"true", "false"}:
        raise CanonError(f"the parameter `fresh` is {asked[:80]!r}; say true or false")
    return asked == "true"


def may_release(environ: Mapping[str, str]) -> bool:
    """Tell whether what a workflow makes may be released: it is what its commit says, or the clock pinned anew and that is declared."""
    if environ.get(cluster.SET_VARIABLE):
        return False
    return environ.get(cluster.PIN_VARIABLE) != "true" or environ.get(cluster.RELEASES_SCHEDULED_VARIABLE) == "true"


def open_planning(pod: Pod, say: Say) -> Planning:
    """Fetch the revision, make sure of its image, and apply the profile, and what else the workflow was started with. Raises CanonError."""
    environ = pod.environ
    settle_dvc(pod.places.private)
    objects = remote_of_environment(environ).objects()
    with git_credentials(pod.places.private, environ):
        commit = fetch_revision(
            repository_of_environment(environ), environ.get(cluster.REVISION_VARIABLE, ""), pod.places.private / "code"
        )
    root = (pod.places.private / "code").resolve()
    say(f"planning {commit[:12]}")
    project, pipeline, profile = _declared(root, environ)
    image = _base_image(project, pipeline, environ, say)
    tree = commit_source_tree(root, commit)
    if environ.get(cluster.PIN_VARIABLE) == "true":
        pin_anew(project, pipeline, profile, environ, say)
        project = load_project(root)
    _apply(project, pipeline, profile, environ)
    project = load_project(root)
    # What the revision itself says of it is not asked: it may be of a branch that nobody has looked at.
    accept: Literal["pods", "any"] = "any" if environ.get(cluster.ACCEPT_VARIABLE) == "any" else "pods"
    return Planning(objects, project, project.pipeline(pipeline.name), profile, commit, tree, image, accept)


def build_plan(planning: Planning, workflow: str, graph: Graph, tasks: Sequence[Task]) -> WorkflowPlan:
    """What the pods of a workflow are told. Raises CanonError for a stage that cannot run as one."""
    for key, stage in graph.stages.items():
        if reasons := reasons_without_entry(stage):
            raise CanonError(f"stage `{key}` cannot run in a cluster: {reasons[0]}")
    return WorkflowPlan(
        pipeline=planning.pipeline.name,
        profile=planning.profile,
        revision=planning.commit,
        tree=planning.tree,
        image=planning.image,
        declared=planning.declared,
        accept=planning.accept,
        applied=_applied_files(planning.root),
        tags=_tags(planning.project, planning.pipeline, planning.commit, workflow),
        stages={key: stage_document(stage) for key, stage in graph.stages.items()},
        tasks={task.name: PlannedTask(stages=task.stages, parents=task.parents) for task in tasks},
    )


def end_planning(pod: Pod, planning: Planning, outputs: Mapping[str, str], say: Say) -> None:
    """Write the output parameters, and remove what is old."""
    if removed := remove_old(planning.objects, time.time()):
        say(f"removed {removed} objects of workflows of more than 30 days ago")
    url = pod.environ.get(cluster.GIT_URL_VARIABLE, "")
    commit = commit_page(url, planning.commit) or planning.commit
    told = {cluster.IMAGE: planning.image, cluster.REVISION: planning.commit, cluster.COMMIT: commit}
    write_outputs(pod.places, {**told, **outputs})


def delivered_path(plan: WorkflowPlan, values: Mapping[str, str]) -> str:
    """Where it is noted that these results (stage → value of its entry) were delivered of this source tree and profile, and released where that is declared."""
    swept = [plan.point.sweep] if plan.point else []  # a sweep's rows are below its own, and it makes no image
    released = ["releases"] if plan.releases else []
    return f"{DELIVERED}/{plan.pipeline}/{sha256_of([plan.tree, plan.profile, dict(values), *swept, *released])}"


def _declared(root: Path, environ: Mapping[str, str]) -> tuple[Project, Pipeline, str]:
    project = load_project(root)
    pipeline = project.pipeline(environ.get(cluster.PIPELINE_VARIABLE, ""))
    profile = environ.get(cluster.PROFILE_VARIABLE, "")
    check_profile(project, profile)
    return project, pipeline, profile


def _base_image(project: Project, pipeline: Pipeline, environ: Mapping[str, str], say: Say) -> str:
    """The image of this commit's code and environment, which the stages run in; made and pushed where the registry does not have it."""
    registry = environ.get(cluster.REGISTRY_VARIABLE)
    if not registry:
        raise CanonError(
            f"{cluster.REGISTRY_VARIABLE} is not set: the profile has no `registry`, where the image with the code is pushed that the stages run in"
        )
    target = open_store(parse_reference(f"{registry.rstrip('/')}/{pipeline.name}"))
    source, below = image_below(pipeline, None, PLATFORM)
    with open_code(project.root) as code:
        made = make_base(project, pipeline, code, source, below, target)
    reference = f"{target.name}@{made.image.digest}"
    say(f"stages run in {reference}")
    return reference


def _apply(project: Project, pipeline: Pipeline, profile: str, environ: Mapping[str, str]) -> None:
    """Give the checkout the profile, and the params that the workflow was started with. Raises CanonError."""
    apply(project, profile)
    values = settings_from_text(environ.get(cluster.SET_VARIABLE, ""))
    if values:
        applied = load_project(project.root)
        own = applied.pipeline(pipeline.name)
        apply_settings(project.root, own, pipeline_graph(applied, own), values)


def check_graph(dag: str, environ: Mapping[str, str]) -> None:
    """The template in the cluster has the tasks of some commit; they must be those of this one. Raises CanonError."""
    expected = environ.get(cluster.DAG_VARIABLE)
    if expected and expected != dag:
        raise CanonError(
            "this commit declares other stages than the template in the cluster has: wait until the template of its branch is synced, or"
            " start it by `canon submit`, which renders its own"
        )


def _applied_files(root: Path) -> dict[str, str]:
    """The tracked files that are not the commit's any more: params and pins. Raises CanonError for any other that changed."""
    changed = run_git(root, "diff", "--name-only", "-z", "HEAD").decode("utf-8", "surrogateescape").split("\0")
    files = {path: load_text(root / path, path) for path in filter(None, changed)}
    gone = sorted(path for path, text in files.items() if text is None)
    if gone:
        raise CanonError(f"applying the profile removed {listed(gone)}")
    return {path: text for path, text in files.items() if text is not None}


def _tags(project: Project, pipeline: Pipeline, commit: str, workflow: str) -> dict[str, str]:
    """What users' own MLflow runs in the stages are told."""
    pins = collect_pins(project, pipeline, list(pipeline_graph(project, pipeline).stages.values()))
    return {
        "canon.pipeline": pipeline.name,
        "canon.data_hash": data_hash(data_inputs(pins)),
        "canon.session": workflow,
        "mlflow.source.git.commit": commit,
    }


def record_hits(
    objects: Objects, workflow: str, tasks: Iterable[Task], found: Mapping[str, Planned]
) -> dict[str, bool]:
    """Record the entries of tasks of which nothing has to run, for those that read from them; return which tasks run."""
    runs: dict[str, bool] = {}
    for task in tasks:
        hits = {key: hit for key in task.stages if (hit := found[key].hit) is not None}
        runs[task.name] = len(hits) < len(task.stages)
        if not runs[task.name]:
            record = TaskRecord(stages={key: Recorded(key=hit.key, value=hit.value) for key, hit in hits.items()})
            write_record(objects, workflow, task.name, record)
    return runs


def is_delivered(objects: Objects, plan: WorkflowPlan, found: Mapping[str, Planned]) -> bool:
    """Tell whether what has no stage to run was delivered before. Raises CanonError."""
    values = {key: planned.hit.value for key, planned in found.items() if planned.hit is not None}
    return objects.size(delivered_path(plan, values)) is not None
