"""What a workflow has made, put together without its data: the entries of its stages as dvc.lock has them, the result, and the entry of `track`."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canon.dvc.entries import build_entry, hashes_of_entry, load_stage_params
from canon.dvc.gitignore import ignore_outs
from canon.dvc.hashes import Hash
from canon.dvc.lockfile import format_lockfile, load_lockfile
from canon.dvc.render import resolve_pipeline
from canon.dvc.runcache import run_cache_key, run_cache_path, run_cache_value, without_sizes
from canon.model.canonical import sha256_of
from canon.model.declaration import TRACK
from canon.model.errors import CanonError
from canon.model.graph import Graph, stage_key
from canon.model.project import Pipeline, Project
from canon.model.result import Result, format_result
from canon.model.stage import Stage
from canon.output.files import load_text, write_text
from canon.output.yaml import format_yaml
from canon.planning.known import Known, remote_path
from canon.planning.lookup import Belief, Hit, Lookup
from canon.planning.pipelines import pipeline_graph
from canon.remotes.objects import Objects, all_of
from canon.results.collect import collect_pins, collect_result
from canon.results.locks import Lock, declared_stages, load_lock, lock_path
from canon.results.rows import plot_outs
from canon.steps.documents import WorkflowPlan
from canon.steps.sizes import Sizes
from canon.steps.store import Store
from canon.steps.work import recorded_hits

Entries = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished workflow. ``entries`` by the keys of its stages; ``written``: generated files of the checkout, paths from the root."""

    project: Project
    pipeline: Pipeline
    entries: Entries
    result: Result
    lock: Lock
    written: tuple[str, ...]
    bring: Callable[[], None]
    """Fetches the files of models, metrics and plots, unless they are here."""


def load_hits(objects: Objects, plan: WorkflowPlan, workflow: str) -> dict[str, Hit]:
    """The entry of every stage, by its key, as the tasks recorded them. Raises CanonError where one is missing, or not what it is called."""
    lookup = Lookup(objects, Belief())
    found = all_of(lambda task: recorded_hits(objects, lookup, plan, workflow, task), plan.tasks)
    return {key: hit for hits in found for key, hit in hits.items()}


def build_outcome(
    project: Project,
    pipeline: Pipeline,
    hits: Mapping[str, Hit],
    objects: Objects,
    store: Store,
    cache: Path,
    noted: Result | None = None,
) -> Outcome:
    """Write dvc.lock and what else a run leaves in Git into the checkout, and send the result. ``project``: as the stages ran with it.

    ``cache``: the folder of objects that ``store`` fetches into; only what the result needs is brought. ``noted``: the result as it was computed
    before; where it is of these entries, nothing is brought for it. Raises CanonError for entries that are not of this checkout, and for data that
    is missing or damaged.
    """
    root = project.root
    graph = pipeline_graph(project, pipeline)
    if graph.stages.keys() != hits.keys():
        raise CanonError(
            f"the plan of this workflow has other stages than {pipeline.file} declares; run the workflow anew"
        )
    known = Known(root, {path for stage in graph.stages.values() for path in stage.out_paths}, objects)
    sizes = Sizes(root, objects, known)
    entries = _entries(root, graph, hits, known, sizes)
    written = [*write_locks(project, pipeline, entries)]
    wanted = dict(_wanted(pipeline, graph, entries))
    bring = functools.cache(functools.partial(store.fetch, [made.md5 for made in wanted.values()]))
    of_commit = [path for stage in graph.stages.values() for path in _of_commit(stage)]
    if noted is not None and not _fits(noted, project, pipeline, entries):
        noted = None
    if noted is None:
        bring()
    else:
        store.fetch(wanted[path].md5 for path in of_commit)
    for path in of_commit:
        store.put(wanted[path], root, path)
        written += _files(root, path)
    result = noted or collect_result(project, pipeline, cache)
    kept = [path for key in graph.order() for path in _kept(graph.stages[key])]
    if pipeline.declaration.track:
        track = resolve_pipeline(project, pipeline)[1][-1]
        entry = send_track(root, track, format_result(result), sizes, objects)
        written += write_locks(project, pipeline, {**entries, _track_key(pipeline): entry})
        kept += track.out_paths
    written += ignore_outs(root, kept)
    lock = load_lock(root, pipeline)
    return Outcome(project, pipeline, entries, result, lock, tuple(dict.fromkeys(written)), bring)


def _of_commit(stage: Stage) -> Iterator[str]:
    """The outs of a stage that are files of the commit."""
    return (path for out, path in zip(stage.outs, stage.out_paths, strict=True) if not out.cache)


def _fits(noted: Result, project: Project, pipeline: Pipeline, entries: Entries) -> bool:
    """Tell whether a result is of these entries and pins: metrics and artifacts follow from them and the declaration."""
    stages = declared_stages(project, pipeline)
    own = {stage.name: entries[stage_key(stage)] for stage in stages}
    ours = [pipeline.name, own, collect_pins(project, pipeline, stages)]
    return sha256_of([noted.pipeline, noted.entries, noted.pins]) == sha256_of(ours)


def _entries(
    root: Path, graph: Graph, hits: Mapping[str, Hit], known: Known, sizes: Sizes
) -> dict[str, dict[str, Any]]:
    """The entries with sizes, each computed anew from the checkout: what a remote says is believed where it follows from the code."""
    entries: dict[str, dict[str, Any]] = {}
    sizes.look(hit.entry for hit in hits.values())
    for key in graph.order():
        stage, hit = graph.stages[key], hits[key]
        entry = build_entry(stage, sizes.deps(stage), load_stage_params(root, stage), sizes.outs(stage, hit.entry))
        if (run_cache_key(entry), run_cache_value(entry)) != (hit.key, hit.value):
            raise CanonError(
                f"the entry {hit.value[:12]} of `{key}` was made from other code, params or data than this workflow's; run the workflow anew"
            )
        known.add(stage, entry)
        entries[key] = entry
    return entries


def write_locks(project: Project, pipeline: Pipeline, entries: Entries) -> tuple[str, ...]:
    """Write the dvc.lock of a pipeline, and into those of others the entries of stages that it reads from; return their paths."""
    written: list[str] = []
    for each in project.pipelines:
        keys = {stage_key(stage): stage.name for stage in declared_stages(project, each)}
        keys[_track_key(each)] = TRACK
        # copied one by one: what two entries have in common would become an anchor
        found = {name: copy.deepcopy(entries[key]) for key, name in keys.items() if key in entries}
        if found:
            path = lock_path(each)
            before = load_text(project.root / path, path) if each.name != pipeline.name else None
            write_text(project.root / path, format_lockfile({**load_lockfile(before or "", path), **found}))
            written.append(path)
    return tuple(written)


def _track_key(pipeline: Pipeline) -> str:
    return stage_key(Stage(TRACK, "", pipeline.declaration.dvc_file))


def _wanted(pipeline: Pipeline, graph: Graph, entries: Entries) -> Iterator[tuple[str, Hash]]:
    """Path and hash of the outs whose content the result, its row, or the experiment's commit has."""
    own: dict[str, Mapping[str, Any]] = {}
    artifacts = [artifact.path for artifact in pipeline.declaration.artifacts.values()]
    for key, stage in graph.stages.items():
        mine = stage.file == pipeline.declaration.dvc_file
        if mine:
            own[stage.name] = entries[key]
        recorded = hashes_of_entry(stage, entries[key])
        for out, path in zip(stage.outs, stage.out_paths, strict=True):
            is_artifact = any(each == path or each.startswith(f"{path}/") for each in artifacts)
            if not out.cache or (mine and (out.kind == "metrics" or is_artifact)):
                yield path, recorded[path]
    for path, plot in plot_outs(pipeline, own):
        yield path, Hash(str(plot["md5"]), isexec=bool(plot.get("isexec")))


def _files(root: Path, path: str) -> list[str]:
    """A file, or the files of a folder, by paths from the root."""
    place = root / path
    return (
        [each.relative_to(root).as_posix() for each in sorted(place.rglob("*")) if each.is_file()]
        if place.is_dir()
        else [path]
    )


def _kept(stage: Stage) -> Iterator[str]:
    return (path for out, path in zip(stage.outs, stage.out_paths, strict=True) if out.cache)


def send_track(root: Path, track: Stage, content: bytes, sizes: Sizes, objects: Objects) -> dict[str, Any]:
    """Send the result, then the run-cache entry of the stage that writes it, as if it had run; return its lock entry. Raises CanonError."""
    (path,) = track.out_paths
    out = Hash(hashlib.md5(content, usedforsecurity=False).hexdigest(), len(content))
    entry = build_entry(track, sizes.deps(track), load_stage_params(root, track), {path: out})
    if objects.size(remote_path(out.md5)) != len(content):
        objects.write(remote_path(out.md5), content)
    place = run_cache_path(run_cache_key(entry), run_cache_value(entry))
    if objects.size(place) is None:
        objects.write(place, format_yaml(without_sizes(entry)).encode())
    return entry
