"""What MLflow is told of a result: its plots and models, found by the entries of dvc.lock, without a checkout."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from canon.dvc.objects import StoredFile, files_below, stored_files
from canon.mlflow.record import ModelRecord, Origin, RunRecord, build_record
from canon.model.declaration import TRACK
from canon.model.definition import Artifact
from canon.model.errors import CanonError
from canon.model.paths import leaves_repository
from canon.model.project import Pipeline, Project
from canon.model.result import Result
from canon.results.locks import Lock

Entries = Mapping[str, Mapping[str, Any]]


def recorded_outs(pipeline: Pipeline, entries: Entries) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield stage, path from the root and recorded out of every out that lies in the repository.

    Entries have paths relative to their stage's `wdir`, which only the declaration says; one that is a template counts as
    the root, since no commit but the present one can be resolved.
    """
    for name, entry in entries.items():
        if name == TRACK:
            continue
        wdir = str(_declared(pipeline, name).get("wdir") or ".")
        for out in entry.get("outs") or ():
            path = posixpath.normpath(posixpath.join("." if "${" in wdir else wdir, str(out["path"])))
            if not leaves_repository(path):
                yield name, path, out


def _declared(pipeline: Pipeline, stage: str) -> Mapping[str, Any]:
    """The definition that a resolved stage comes from."""
    declared: Mapping[str, Any] = pipeline.raw["stages"].get(stage.partition("@")[0]) or {}
    return declared.get("do") or declared


def plot_outs(pipeline: Pipeline, entries: Entries) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield path and recorded out of every plot: what a stage lists under `plots`, and outs that a top-level plot shows.

    Declared paths may be templates; they are matched against the recorded ones, so that no resolver is needed.
    """
    shown = [_pattern(path) for item in pipeline.raw.get("plots") or () for path in _shown_paths(item)]
    for stage, path, out in recorded_outs(pipeline, entries):
        own = [_pattern(each) for item in _declared(pipeline, stage).get("plots") or () for each in _paths(item)]
        if any(one.fullmatch(str(out["path"])) for one in own) or any(one.fullmatch(path) for one in shown):
            yield path, out


def _shown_paths(item: Any) -> Iterator[str]:  # noqa: ANN401  DVC's plots are texts and mappings
    yield from _paths(item)
    for plot in item.values() if isinstance(item, Mapping) else ():
        for axis in ("x", "y"):
            source = (plot or {}).get(axis)
            yield from source if isinstance(source, Mapping) else ()


def _paths(item: Any) -> Iterable[str]:  # noqa: ANN401  DVC's plots are texts and mappings
    return [item] if isinstance(item, str) else list(item)


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(".+".join(re.escape(part) for part in re.split(r"\$\{[^}]*\}", path)))


def repro_arguments(pipeline: Pipeline) -> tuple[str, ...]:
    """What `dvc repro` is told for a pipeline: its dvc.yaml, where that is not the one at the root."""
    file = pipeline.declaration.dvc_file
    return () if file == "dvc.yaml" else (file,)


def rerun_command(pipeline: Pipeline, profile: str = "") -> str:
    """The command that makes a pipeline's result again; for another profile in a workspace of its own."""
    again = " ".join(("dvc repro", *repro_arguments(pipeline)))
    return (
        f"canon profile {profile} --into ../{pipeline.name}-{profile} && cd ../{pipeline.name}-{profile} && {again}"
        if profile
        else again
    )


def record_of(
    project: Project, pipeline: Pipeline, result: Result, origin: Origin, lock: Lock, cache: Path, root: Path | None
) -> RunRecord:
    """All that MLflow is told of a result; files are named where they lie (``root``: the workspace may serve, too)."""
    files: dict[str, Path] = {}
    for path, out in plot_outs(pipeline, result.entries):
        for stored in stored_files(out, cache, root / path if root else None):
            files[posixpath.join("plots", path, stored.relpath).rstrip("/")] = stored.path
    models = [
        ModelRecord(
            name=name,
            files={
                file.relpath or posixpath.basename(artifact.path): file.path
                for file in recorded_artifact(artifact, pipeline, result.entries, cache, root)
            },
            register=project.settings.tracking.register_models,
        )
        for name, artifact in pipeline.declaration.artifacts.items()
        if artifact.type == "model" and name in result.artifacts
    ]
    return build_record(
        result,
        origin,
        description=pipeline.declaration.description or "",
        again=rerun_command(pipeline, origin.profile if origin.profile != project.settings.default_profile else ""),
        sources={name: source.uri for name, source in pipeline.pins.sources.items()},
        lock=lock.text,
        files=files,
        models=models,
    )


def tell_left_out(pipeline: Pipeline, result: Result, say: Callable[[str], None]) -> None:
    """Say what is declared as an artifact and is no part of the result, since no stage makes it."""
    for name, artifact in pipeline.declaration.artifacts.items():
        if name not in result.artifacts:
            say(
                f"canon: the artifact `{name}` ({artifact.path}) is left out of the result and its row: no stage makes it; "
                "one that does has to list it among its outs, without a template"
            )


def recorded_artifact(
    artifact: Artifact, pipeline: Pipeline, entries: Entries, cache: Path, root: Path | None
) -> tuple[StoredFile, ...]:
    """The files of an artifact by what dvc.lock recorded. Raises CanonError when no stage makes it, DataMissingError when they are not here."""
    for _, path, out in recorded_outs(pipeline, entries):
        if artifact.path == path or artifact.path.startswith(f"{path}/"):
            files = stored_files(out, cache, root / path if root else None)
            return tuple(files_below(files, artifact.path[len(path) :].strip("/")))
    raise CanonError(
        f"no stage makes the artifact {artifact.path}; list it among the outs of the stage that does, without a template"
    )
