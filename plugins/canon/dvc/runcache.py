"""DVC's run-cache (dvc/stage/cache.py) without DVC: an entry is found by what went into a stage.

Key: sha256 of the lock entry's sorted JSON with outs as paths. Value: the same with the outs' hashes. Neither holds size
or nfiles, at any depth. The file ``runs/<2>/<key>/<value>`` holds the entry as YAML.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from canon.model.consistency import is_url, leaves_repository
from canon.model.errors import CanonError
from canon.model.stage import Out, Stage
from canon.output.yaml import load_yaml

_LEFT_OUT = ("size", "nfiles")


def _filtered(value: Any) -> Any:  # noqa: ANN401  whatever an entry holds
    if isinstance(value, Mapping):
        return {key: _filtered(item) for key, item in value.items() if key not in _LEFT_OUT}
    if isinstance(value, list | tuple):
        return [_filtered(item) for item in value]
    return value


def _hash(entry: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(_filtered(entry), sort_keys=True).encode()).hexdigest()


def run_cache_key(entry: Mapping[str, Any]) -> str:
    """Key of an entry, 64 hex digits: what went in, and which paths come out."""
    keyed = dict(entry)
    keyed["outs"] = [out["path"] for out in entry.get("outs") or ()]
    return _hash(keyed)


def run_cache_value(entry: Mapping[str, Any]) -> str:
    """Value of an entry, 64 hex digits: what went in, and what came out."""
    return _hash(entry)


def run_cache_path(key: str, value: str = "") -> str:
    """Path of a key's folder, or of one of its values, below the cache or the remote."""
    return "/".join(part for part in ("runs", key[:2], key, value) if part)


def load_entry(text: str, name: str = "entry") -> dict[str, Any] | None:
    """Return a run-cache entry; None, a miss, for everything that is not in DVC's format."""
    from canon.dvc.lockfile import is_entry

    try:
        data = load_yaml(text, name)
    except CanonError:
        return None
    if not isinstance(data, dict) or not is_entry(data) or not set(data) <= {"cmd", "deps", "params", "outs"}:
        return None
    outs = data.get("outs") or []
    return data if all(isinstance(out.get("md5"), str) for out in outs) else None


def reasons_without_entry(stage: Stage) -> tuple[str, ...]:
    """Why DVC never makes a run-cache entry (with data) for a stage, each with its remedy; empty when it does."""
    return tuple(_reasons(stage))


def _reasons(stage: Stage) -> Iterator[str]:
    if stage.always_changed:
        yield "it is `always_changed`; remove that, and make what changes a dep or a param"
    if not stage.outs:
        yield "it has no outs; let it write a file, and list it under `outs`"
    if not stage.deps and not stage.params:
        yield "it has neither deps nor params; list its code under `deps`"
    for out in stage.outs:
        yield from _reasons_of_out(stage, out)
    for dep in stage.deps:
        if is_url(dep):
            yield f"its dep `{dep}` lies outside of the repository; declare it under `data:`"


def _reasons_of_out(stage: Stage, out: Out) -> Iterator[str]:
    if out.persist:
        yield f"its out `{out.path}` is `persist: true`, so that its content depends on earlier runs; remove that"
    if not out.cache and out.kind != "metrics":
        yield f"its out `{out.path}` is `cache: false`; let DVC cache it, or make it a metric"
    if not out.push:
        yield f"its out `{out.path}` is `push: false`; other pods could not have it"
    if is_url(out.path) or leaves_repository(stage.from_root(out.path)):
        yield f"its out `{out.path}` lies outside of the repository; write below the root"
