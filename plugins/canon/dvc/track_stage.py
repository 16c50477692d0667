"""The generated last stage, `track`: all that a result holds is a dep or a param of it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from canon.dvc.resolve import has_templating
from canon.model.canonical import sha256_of
from canon.model.project import Pipeline
from canon.model.stage import DEFAULT_PARAMS_FILE, Stage

CANON_KEYS = ("pod", "environment")
"""Keys of a declared stage that DVC does not know."""


def definition_hash(pipeline: Pipeline) -> str:
    """Twelve hex digits of the sha256 of the declared stages and vars, without what never changes DVC's hash.

    It stands in the command of `track`: a changed command, matrix or variable thus makes the result anew even when
    every out stays the same.
    """
    raw = pipeline.raw
    stages = {name: _without_canon_keys(stage) for name, stage in raw["stages"].items()}
    return sha256_of({"stages": stages, "vars": raw.get("vars") or [], "artifacts": raw.get("artifacts", {})})[:12]


def result_path(name: str) -> str:
    """Where `track` writes the result of a pipeline, relative to the root."""
    return f"results/{name}.json"


def _without_canon_keys(stage: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in stage.items() if key not in CANON_KEYS}
    if "do" in kept:
        kept["do"] = _without_canon_keys(kept["do"])
    return kept


def build_track_stage(root: Path, pipeline: Pipeline, stages: Sequence[Stage]) -> dict[str, Any]:
    """All that the result holds is a dep or a param: with outs alone, a changed comment in the code would be missed."""
    deps: dict[str, None] = {}
    params: dict[str, set[str] | None] = {}
    for stage in stages:
        for path in (*stage.dep_paths, *stage.out_paths):
            deps[path] = None
        for file, keys in stage.param_paths:
            if not keys or params.get(file, set()) is None:
                params[file] = None
            else:
                params[file] = {*(params.get(file) or ()), *keys}
    for file in _vars_files(root, pipeline, stages):
        params[file] = None
    for artifact in pipeline.declaration.artifacts.values():
        deps[artifact.path] = None
    own = result_path(pipeline.name)
    listed: list[Any] = [
        {_literal(file): sorted(map(_literal, keys)) if keys else None} for file, keys in sorted(params.items())
    ]
    stage_definition: dict[str, Any] = {
        "cmd": f"canon track {pipeline.name} --definition {definition_hash(pipeline)}",
        "deps": [_literal(path) for path in _outermost(path for path in deps if path != own)],
        "params": listed,
        "outs": [own],
    }
    return {key: value for key, value in stage_definition.items() if value}


def _vars_files(root: Path, pipeline: Pipeline, stages: Sequence[Stage]) -> Iterator[str]:
    """Files whose values DVC fills into the stages: a new value may change a command and no out."""
    used: list[tuple[str, Any]] = [("", item) for item in pipeline.raw.get("vars") or ()]
    for stage in stages:
        declared = pipeline.raw["stages"].get(stage.name.partition("@")[0], {})
        used += [(stage.folder, item) for item in declared.get("do", declared).get("vars") or ()]
    for folder, item in used:
        if isinstance(item, str):
            yield posixpath.normpath(posixpath.join(folder, item.partition(":")[0]))
    default = posixpath.join(posixpath.dirname(pipeline.declaration.dvc_file), DEFAULT_PARAMS_FILE)
    if has_templating(pipeline.raw) and (root / default).is_file():
        yield default


def _literal(text: str) -> str:
    """A resolved text as it must stand in dvc.yaml: DVC fills in templates once more."""
    return text.replace("${", "\\${")


def _outermost(paths: Iterable[str]) -> list[str]:
    """Sorted paths without those that lie in another one of them."""
    kept: list[str] = []
    known = set(paths)
    for path in sorted(known):
        parent = posixpath.dirname(path)
        while parent and parent not in known:
            above = posixpath.dirname(parent)
            parent = "" if above == parent else above
        if not parent:
            kept.append(path)
    return kept
