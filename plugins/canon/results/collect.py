"""What a result is made of: from a finished pipeline in a checkout to its params, metrics, pins, entries and artifacts."""

from __future__ import annotations

import hashlib
import json
import posixpath
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from canon.dvc.objects import StoredFile, files_below, stored_files
from canon.git import tracked_files
from canon.model.definition import Artifact
from canon.model.errors import CanonError
from canon.model.project import Pipeline, Project
from canon.model.result import Result
from canon.model.stage import Stage
from canon.output.files import load_text
from canon.output.yaml import load_yaml
from canon.results.locks import declared_stages, load_lock


def collect_result(project: Project, pipeline: Pipeline, cache: Path) -> Result:
    """Build the result of what dvc.lock and the workspace hold now.

    Raises CanonError when a stage has not run, when dvc.lock does not hold together (a stage ran on other data than its
    parent made), or when an out is not what dvc.lock says.
    """
    root = project.root
    lock = load_lock(root, pipeline)
    stages = declared_stages(project, pipeline)
    missing = [stage.name for stage in stages if stage.name not in lock.entries]
    if missing:
        raise CanonError(f"{lock.path} has no entry of {', '.join(missing)}: not every stage has run; run `dvc repro`")
    entries = {stage.name: lock.entries[stage.name] for stage in stages}
    _check_chain(stages, entries, lock.path)
    metrics: dict[str, Any] = {}
    for stage in stages:
        for out, path in zip(stage.outs, stage.out_paths, strict=True):
            if out.kind == "metrics":
                recorded = _recorded(entries[stage.name], out.path)
                (stored,) = (
                    _files_of(recorded, cache, root / path)
                    if not str(recorded["md5"]).endswith(".dir")
                    else _no_folder(path)
                )
                metrics[path] = parse_metrics(stored.path.read_bytes(), path)
    params: dict[str, dict[str, Any]] = {}
    for stage in stages:
        for file, values in (entries[stage.name].get("params") or {}).items():
            params.setdefault(_from_root(stage.folder, file), {}).update(values)
    return Result(
        pipeline=pipeline.name,
        params=params,
        metrics=metrics,
        pins=collect_pins(project, pipeline, stages),
        entries=entries,
        artifacts={
            name: {file.relpath: _sha256(file.path) for file in files}
            for name, artifact in pipeline.declaration.artifacts.items()
            if (files := artifact_files(artifact, entries, stages, cache, root)) is not None
        },
    )


def _no_folder(path: str) -> Iterator[StoredFile]:
    raise CanonError(f"the metric {path} is a folder; declare the files in it")


def _check_chain(stages: Sequence[Stage], entries: Mapping[str, Mapping[str, Any]], lock: str) -> None:
    made: dict[str, tuple[str, Any]] = {}
    for stage in stages:
        for path, out in zip(stage.out_paths, stage.outs, strict=True):
            recorded = _recorded(entries[stage.name], out.path)
            made[path] = (stage.name, recorded.get("md5"))
    for stage in stages:
        recorded_deps = {str(dep["path"]): dep.get("md5") for dep in entries[stage.name].get("deps") or ()}
        for path, dep in zip(stage.dep_paths, stage.deps, strict=True):
            if path in made and dep in recorded_deps and recorded_deps[dep] != made[path][1]:
                raise CanonError(
                    f"in {lock} `{stage.name}` ran on another {path} than `{made[path][0]}` made since; run `dvc repro`"
                )


def _recorded(entry: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    for out in entry.get("outs") or ():
        if out["path"] == path:
            return dict(out)
    raise CanonError(f"dvc.lock does not know the out {path}; run `dvc repro`")


def _files_of(out: Mapping[str, Any], cache: Path, workspace: Path | None) -> tuple[StoredFile, ...]:
    if "md5" not in out:
        raise CanonError(f"dvc.lock has no md5 of {out['path']}; it lies outside of DVC's cache")
    return tuple(stored_files(out, cache, workspace))


def _from_root(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))


def parse_metrics(content: bytes, path: str) -> Any:  # noqa: ANN401  whatever the file holds
    """The content of a metrics file: JSON, TOML or YAML, by its name as DVC does. Raises CanonError."""
    try:
        text = content.decode()
        if path.endswith(".json"):
            return json.loads(text)
        if path.endswith(".toml"):
            return tomllib.loads(text)
        return load_yaml(text, path)
    except (ValueError, tomllib.TOMLDecodeError) as error:
        raise CanonError(f"the metrics file {path} cannot be read: {error}; write JSON, YAML or TOML there") from None


def collect_pins(project: Project, pipeline: Pipeline, stages: Iterable[Stage]) -> dict[str, dict[str, Any]]:
    """Pins of everything that the stages read and no stage makes: datasets, other pipelines' too, and `.dvc` files."""
    pins: dict[str, dict[str, Any]] = {name: pin.model_dump(exclude_none=True) for name, pin in pipeline.pins.datasets.items()
                                       if name in pipeline.declaration.data}  # fmt: skip
    read = {path for stage in stages for path in stage.dep_paths}
    for other in project.pipelines:
        for name, data in other.declaration.data.items() if other.name != pipeline.name else ():
            pin = other.pins.datasets.get(name)
            if pin is not None and _touches(data.path, read):
                pins[f"{other.name}/{name}"] = pin.model_dump(exclude_none=True)
    for path, out in dvc_inputs(project.root):
        if _touches(path, read):
            pins[path] = {key: out[key] for key in ("md5", "size", "nfiles") if key in out}
    return pins


def _touches(path: str, read: Iterable[str]) -> bool:
    return any(path == dep or path.startswith(f"{dep}/") or dep.startswith(f"{path}/") for dep in read)


def dvc_inputs(root: Path, files: Iterable[str] | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield path and recorded out of every file or folder that a `.dvc` file tracks; ``files``: those of Git where not given."""
    if files is None:
        files = tracked_files(root, "*.dvc") if (root / ".git").exists() else ()
    for file in files:
        text = load_text(root / file)
        document = load_yaml(text, file) if text else None
        if isinstance(document, dict):
            folder = posixpath.normpath(posixpath.join(posixpath.dirname(file), str(document.get("wdir") or ".")))
            for out in document.get("outs") or ():
                if isinstance(out, dict) and "path" in out and "md5" in out:
                    yield _from_root(folder, str(out["path"])), out


def artifact_files(
    artifact: Artifact,
    entries: Mapping[str, Mapping[str, Any]],
    stages: Iterable[Stage],
    cache: Path,
    root: Path | None,
) -> tuple[StoredFile, ...] | None:
    """The files of an artifact: an out, or a part of one, of some stage; None for what no stage makes, as DVC allows: it is no part of a result."""
    for stage in stages:
        for path, out in zip(stage.out_paths, stage.outs, strict=True):
            if artifact.path == path or artifact.path.startswith(f"{path}/"):
                inside = artifact.path[len(path) :].strip("/")
                files = _files_of(_recorded(entries[stage.name], out.path), cache, root / path if root else None)
                return tuple(files_below(files, inside))
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
