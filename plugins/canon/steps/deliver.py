"""`canon step deliver`: the last task of a workflow. Its result is put together and made known: in the remote, in Git, as an image, in MLflow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from canon.baking.trained import BakedLayer
from canon.git import clean_url
from canon.mlflow.log import find_logged, log_record
from canon.mlflow.record import Origin
from canon.mlflow.store import tracking_uri
from canon.mlflow.sweeps import join_sweep
from canon.model import cluster
from canon.model.canonical import format_canonical
from canon.model.project import load_project
from canon.remotes.opening import remote_of_environment
from canon.results.rows import record_of, tell_left_out
from canon.steps.documents import WorkflowPlan, load_plan
from canon.steps.noted import Noted, load_noted, noted_path, write_noted
from canon.steps.outcome import Outcome, build_outcome, load_hits
from canon.steps.places import Pod, write_outputs
from canon.steps.planner import delivered_path
from canon.steps.publish import publish_experiment
from canon.steps.revision import fetch_revision, git_credentials, repository_of_environment
from canon.steps.store import open_store, settle_dvc
from canon.steps.work import apply_files
from canon.sweeps.rows import sweep_record

TAG_WORKFLOW = "canon.workflow"
"""The workflow whose pods made the result, by its uid."""
Say = Callable[[str], None]


def deliver_workflow(pod: Pod, say: Say) -> None:
    """Do what `deliver` does. Raises CanonError; each step leaves as it is what is there already, so that the same again does no harm."""
    private, environ = pod.places.private, pod.environ
    settle_dvc(private)
    remote = remote_of_environment(environ)
    objects = remote.objects()
    plan = load_plan(objects, pod.workflow)
    hits = load_hits(objects, plan, pod.workflow)
    repository = repository_of_environment(environ)
    root = private / "code"
    with git_credentials(private, environ):
        fetch_revision(repository, plan.revision, root, planned=environ.get(cluster.REVISION_VARIABLE, ""))
    root = root.resolve()
    apply_files(plan, root)
    project = load_project(root)
    cache = private / "cache" / "files" / "md5"
    values = {key: hit.value for key, hit in hits.items()}
    released: tuple[str, ...] = ()
    with open_store(private, remote) as store:
        pipeline = project.pipeline(plan.pipeline)
        place = noted_path(pipeline, values)
        before = load_noted(objects, place)
        outcome = build_outcome(project, pipeline, hits, objects, store, cache, before.result if before else None)
        digest = outcome.result.digest
        say(f"the result is {digest}")
        with git_credentials(private, environ):
            name = f"{plan.pipeline}-{plan.profile}-{digest[:8]}"
            saved = publish_experiment(root, repository.url, name, result=digest, generated=outcome.written)
        say(f"experiment {saved.name} on {saved.baseline[:12]} in {clean_url(repository.url)}")
        image, baked = _bake(outcome, plan, environ.get(cluster.REGISTRY_VARIABLE), cache, before, say)
        row = _log(outcome, plan, pod, Origin(
            commit=plan.revision, url=clean_url(repository.url), tree=plan.tree, profile=plan.profile, experiment=saved.name, baseline=saved.baseline,
        ), cache, say)  # fmt: skip
        if image is not None and plan.releases:
            from canon.steps.release import release_outcome

            with git_credentials(private, environ):
                released = release_outcome(outcome, plan, pod, image, saved.commit, say)
    noted = Noted(outcome.result, baked)
    if noted != before:
        write_noted(objects, place, noted)
    note = {"revision": plan.revision, "result": digest, "experiment": saved.name, "image": image}
    objects.write(delivered_path(plan, values), format_canonical(note))
    told = {
        cluster.RESULT: digest,
        cluster.EXPERIMENT: saved.name,
        cluster.IMAGE: image or "",
        cluster.ROW: row,
        cluster.RELEASE: ", ".join(released),
    }
    write_outputs(pod.places, told)


def _bake(
    outcome: Outcome, plan: WorkflowPlan, registry: str | None, cache: Path, before: Noted | None, say: Say
) -> tuple[str | None, BakedLayer | None]:
    """Make the serving image where one is declared, and there is a registry for it, never for a point of a sweep; return its reference, and its model's layer."""
    layer = before.baked if before is not None else None
    if plan.point or not registry or outcome.pipeline.declaration.serving is None:
        return None, layer
    from canon.steps.serving import bake_outcome

    image, layer = bake_outcome(outcome, plan, registry, cache, layer)
    say(f"image {image}")
    return image, layer


def _log(outcome: Outcome, plan: WorkflowPlan, pod: Pod, origin: Origin, cache: Path, say: Say) -> str:
    """Log the result's row where it is missing; return its address, or else its id. Raises StoreUnavailableError: nothing is kept for later in a pod, which is tried again."""
    declared = pod.environ.get("MLFLOW_TRACKING_URI")
    if not declared:
        say(f"no row: the profile `{plan.profile}` declares no `mlflow`")
        return ""
    store = tracking_uri(pod.places.private, declared, {}), pod.places.private
    logged = find_logged(outcome.pipeline.name, outcome.result.digest, *store)
    if logged is None:
        outcome.bring()
        tell_left_out(outcome.pipeline, outcome.result, say)
        record = record_of(outcome.project, outcome.pipeline, outcome.result, origin, outcome.lock, cache, None)
        logged = log_record(replace(record, tags={**record.tags, TAG_WORKFLOW: pod.workflow}), *store)
    say(f"{'row' if logged.created else 'the row was there:'} {logged.url or logged.run_id}")
    if plan.point:
        swept = sweep_record(
            plan.pipeline, plan.profile, plan.point.sweep, plan.point.space,
            commit=plan.revision, tree=plan.tree, url=origin.url,
        )  # fmt: skip
        join_sweep(swept, {logged.run_id: origin.experiment}, *store)
    return logged.url or logged.run_id
