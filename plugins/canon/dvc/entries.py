"""Lock entries (dvc/stage/serialize.py, ``to_single_stage_lockfile``) without DVC: what dvc.lock and the run-cache say of a stage.

`build_entry` makes an entry of hashes that are given, so no data has to be at hand; `hash_deps`, `hash_outs` and
`load_stage_params` find out what is in a checkout.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from canon.dvc.hashes import Hash, hash_path
from canon.dvc.ignore import IgnoreRules
from canon.dvc.params import load_params, tracked_values
from canon.model.errors import CanonError
from canon.model.paths import is_url, leaves_repository
from canon.model.stage import DEFAULT_PARAMS_FILE, Stage

Hashes = Mapping[str, Hash]
"""Path from the repository's root → its hash."""
Params = Mapping[str, Mapping[str, Any]]
"""Params file, as the stage writes it → key → value. One file may be written in two ways, with other keys."""


def build_entry(stage: Stage, deps: Hashes, params: Params, outs: Hashes | None = None) -> dict[str, Any]:
    """Return a stage's lock entry, keys in DVC's order. Without ``outs`` they have paths only, enough for a run-cache key.

    Raises CanonError for a dep, a params file or an out of which nothing is given.
    """
    entry: dict[str, Any] = {"cmd": list(stage.cmd) if isinstance(stage.cmd, tuple) else stage.cmd}
    if stage.deps:
        entry["deps"] = [_item(stage, path, deps, "dep") for path in sorted(stage.deps)]
    if stage.params:
        entry["params"] = _params(stage, params)
    if stage.outs:
        paths = sorted(out.path for out in stage.outs)
        entry["outs"] = [{"path": path} if outs is None else _item(stage, path, outs, "out") for path in paths]
    return entry


def load_entry_here(root: Path, stage: Stage, rules: IgnoreRules | None = None) -> dict[str, Any]:
    """Return the lock entry of a stage by what lies in a checkout now.

    Raises CanonError as the functions below do, and for a stage in a file that DVC does not see.
    """
    rules = rules or IgnoreRules(root)
    if rules.is_ignored(stage.file):
        raise CanonError(
            f"{stage.file} is ignored by .dvcignore, so that DVC does not see its stages; remove the pattern"
        )
    stage = from_absolute(root, stage)
    return build_entry(
        stage, hash_deps(root, stage, rules), load_stage_params(root, stage), hash_outs(root, stage, rules)
    )


def from_absolute(root: Path, stage: Stage) -> Stage:
    """Return the stage with absolute paths into the repository made relative, as DVC does when it reads a stage."""

    def relative(path: str) -> str:
        inside = Path(path).is_absolute() and Path(os.path.normpath(path)).is_relative_to(root) and Path(path) != root
        return os.path.relpath(path, root / stage.folder) if inside else path

    return replace(
        stage,
        deps=tuple(relative(dep) for dep in stage.deps),
        params=tuple((relative(file), keys) for file, keys in stage.params),
        outs=tuple(replace(out, path=relative(out.path)) for out in stage.outs),
    )


def hash_deps(root: Path, stage: Stage, rules: IgnoreRules | None = None) -> dict[str, Hash]:
    """Return the hashes of a stage's deps as they lie in a checkout. Raises CanonError for one that cannot be hashed."""
    return _hash_all(root, stage, "dep", stage.dep_paths, rules or IgnoreRules(root))


def hash_outs(root: Path, stage: Stage, rules: IgnoreRules | None = None) -> dict[str, Hash]:
    """Return the hashes of a stage's outs as they lie in a checkout.

    Raises CanonError for one that cannot be hashed, or that `.dvcignore` leaves out, which DVC refuses.
    """
    rules = rules or IgnoreRules(root)
    for path in stage.out_paths:
        if (
            not is_url(path)
            and not leaves_repository(path)
            and rules.is_ignored(path, is_folder=(root / path).is_dir())
        ):
            raise CanonError(f"out `{path}` of stage `{stage.name}` is ignored by .dvcignore; remove the pattern")
    return _hash_all(root, stage, "out", stage.out_paths, rules)


def load_stage_params(root: Path, stage: Stage) -> dict[str, dict[str, Any]]:
    """Return the values of a stage's params as they stand in a checkout. Raises CanonError for a file or key that is missing."""
    values: dict[str, dict[str, Any]] = {}
    for (file, keys), (place, _) in zip(stage.params, stage.param_paths, strict=True):
        if is_url(file):
            raise CanonError(f"stage `{stage.name}`: the params file {file} is not in the repository; copy it there")
        values[file] = tracked_values(load_params(root / place), keys, place)
    return values


def hashes_of_entry(stage: Stage, entry: Mapping[str, Any]) -> dict[str, Hash]:
    """Return the hashes of the outs that a stage's entry records: what the deps of its children are."""
    return {
        stage.from_root(str(out["path"])): Hash(
            str(out["md5"]), out.get("size"), out.get("nfiles"), bool(out.get("isexec"))
        )
        for out in entry.get("outs") or ()
    }


def _hash_all(root: Path, stage: Stage, kind: str, paths: Iterable[str], rules: IgnoreRules) -> dict[str, Hash]:
    hashes: dict[str, Hash] = {}
    for path in paths:
        if is_url(path):
            raise CanonError(
                f"{kind} `{path}` of stage `{stage.name}` is not on this machine; declare it under `data:`"
            )
        try:
            hashes[path] = hash_path(root, path, rules)
        except FileNotFoundError as error:
            raise CanonError(
                f"{kind} `{path}` of stage `{stage.name}` is not there ({error.filename}); run `dvc repro`, or `dvc pull`"
            ) from None
    return hashes


def _item(stage: Stage, path: str, hashes: Hashes, kind: str) -> dict[str, Any]:
    known = hashes.get(stage.from_root(path))
    if known is None:
        raise CanonError(
            f"the hash of {kind} `{path}` of stage `{stage.name}` is not known; give it, or run the stage that makes it"
        )
    item: dict[str, Any] = {"path": path, "hash": "md5", "md5": known.md5}
    if known.size is not None:
        item["size"] = known.size
    if known.nfiles is not None:
        item["nfiles"] = known.nfiles
    if known.isexec:
        item["isexec"] = True
    return item


def _params(stage: Stage, params: Params) -> dict[str, dict[str, Any]]:
    """Values by file, ``params.yaml`` first, then the files by path, keys sorted."""
    values: dict[str, dict[str, Any]] = {}
    for file, keys in sorted(stage.params, key=lambda item: item[0]):
        given = params.get(file)
        if given is None or not set(keys) <= set(given):
            raise CanonError(f"the values of `{file}` for stage `{stage.name}` are not known; give all its keys")
        # DVC sorts the files as they are written, and names them from the working folder
        place = stage.from_root(file)
        path = file if leaves_repository(place) else posixpath.relpath(place, stage.folder)
        values[path] = {key: given[key] for key in sorted(keys or given)}
    if DEFAULT_PARAMS_FILE in values:
        values = {DEFAULT_PARAMS_FILE: values.pop(DEFAULT_PARAMS_FILE), **values}
    return values
