"""DVC's run-cache (dvc/stage/cache.py) without DVC: an entry is found by what went into a stage.

Key: sha256 of the lock entry's sorted JSON with outs as paths. Value: the same with the outs' hashes. Neither holds size
or nfiles, at any depth. The file ``runs/<2>/<key>/<value>`` holds the entry as YAML.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from canon.dvc.hashes import is_md5
from canon.dvc.lockfile import is_entry
from canon.model.errors import CanonError
from canon.model.paths import is_url, leaves_repository
from canon.model.stage import Out, Stage
from canon.output.yaml import load_yaml

_LEFT_OUT = ("size", "nfiles")
_ITEM_KEYS = {"path", "hash", "md5", "size", "nfiles", "isexec"}


def _filtered(value: Any) -> Any:  # noqa: ANN401  whatever an entry holds
    if isinstance(value, Mapping):
        return {key: _filtered(item) for key, item in value.items() if key not in _LEFT_OUT}
    if isinstance(value, list):  # a tuple, which only a Python params file can hold, DVC takes as it is
        return [_filtered(item) for item in value]
    return value


def _hash(entry: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(_filtered(entry), sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise CanonError(
            f"the stage with the command {entry.get('cmd')!r} has a param that JSON cannot hold ({error}), which DVC refuses too; "
            "write dates and sets as texts and lists"
        ) from None
    return hashlib.sha256(text.encode()).hexdigest()


def run_cache_key(entry: Mapping[str, Any]) -> str:
    """Key of an entry, 64 hex digits: what went in, and which paths come out."""
    keyed = dict(entry)
    keyed["outs"] = [out["path"] for out in entry.get("outs") or ()]
    return _hash(keyed)


def run_cache_value(entry: Mapping[str, Any]) -> str:
    """Value of an entry, 64 hex digits: what went in, and what came out."""
    return _hash(entry)


def without_sizes(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as the run-cache has it: sizes and numbers of files are not what its key and value are made of."""
    kept: dict[str, Any] = _filtered(entry)
    return kept


def run_cache_path(key: str, value: str = "") -> str:
    """Path of a key's folder, or of one of its values, below the cache or the remote."""
    return "/".join(part for part in ("runs", key[:2], key, value) if part)


def load_entry(text: str, name: str = "entry", *, key: str = "", value: str = "") -> dict[str, Any] | None:
    """Return a run-cache entry; None, a miss, for everything that is not in DVC's format.

    ``key`` and ``value``: under which it was found; it is a miss as well where its content gives others.
    """
    try:
        data = load_yaml(text, name)
        if not isinstance(data, dict) or not is_entry(data) or not set(data) <= {"cmd", "deps", "params", "outs"}:
            return None
        if not all(_is_item(item) for item in (*(data.get("deps") or ()), *(data.get("outs") or ()))):
            return None
        agrees = (not key or run_cache_key(data) == key) and (not value or run_cache_value(data) == value)
    except CanonError:
        return None
    return data if agrees else None


def _is_item(item: Mapping[str, Any]) -> bool:
    """Tell whether a dep or out is as DVC 3 writes it. Those of DVC 2 have no ``hash``: their objects lie elsewhere."""
    return set(item) <= _ITEM_KEYS and item.get("hash") == "md5" and is_md5(item.get("md5"))


def reasons_without_entry(stage: Stage, entry: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Why DVC never makes a run-cache entry (with data) that others can use for a stage, each with its remedy; empty when it does.

    With the stage's lock entry also what depends on the content of its params files.
    """
    return (*_reasons(stage), *(_reasons_of_params(entry) if entry else ()))


def _reasons(stage: Stage) -> Iterator[str]:
    if stage.always_changed:
        yield "it is `always_changed`; remove that, and make what changes a dep or a param"
    if not stage.outs:
        yield "it has no outs; let it write a file, and list it under `outs`"
    if not stage.deps and not stage.params:
        yield "it has neither deps nor params; list its code under `deps`"
    for out in stage.outs:
        yield from _reasons_of_out(stage, out)
    for dep in (*stage.deps, *(file for file, _ in stage.params)):
        if is_url(dep) or leaves_repository(stage.from_root(dep)):
            yield f"its dep `{dep}` lies outside of the repository; declare it under `data:`"


def _reasons_of_params(entry: Mapping[str, Any]) -> Iterator[str]:
    for file, values in (entry.get("params") or {}).items():
        if not values:
            yield f"its params file `{file}` is empty; write a param, or remove the file from `params`"


def _reasons_of_out(stage: Stage, out: Out) -> Iterator[str]:
    if out.persist:
        yield f"its out `{out.path}` is `persist: true`, so that its content depends on earlier runs; remove that"
    if not out.cache and out.kind == "outs":
        yield f"its out `{out.path}` is `cache: false`; let DVC cache it, or make it a metric or a plot"
    if not out.push:
        yield f"its out `{out.path}` is `push: false`; other pods could not have it"
    if is_url(out.path) or leaves_repository(stage.from_root(out.path)):
        yield f"its out `{out.path}` lies outside of the repository; write below the root"
