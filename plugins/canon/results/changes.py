"""What changed in a workspace since a result was made there: the code and params at hand, against dvc.lock."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from canon.dvc.hashes import hash_path
from canon.dvc.params import load_params, tracked_values
from canon.model.errors import CanonError
from canon.model.stage import Stage


def changed_inputs(
    root: Path, stages: Iterable[Stage], entries: Mapping[str, Mapping[str, Any]], *, folders: bool = False
) -> tuple[str, ...]:
    """Paths of deps and params files that are not what the stages ran with, sorted.

    Files that are not here, as data may be in a fresh clone, are not looked at, and folders where ``folders`` says so.
    """
    found: set[str] = set()
    for stage in stages:
        entry = entries.get(stage.name) or {}
        found.update(_changed_deps(root, stage, entry, folders=folders))
        for file, values in (entry.get("params") or {}).items():
            path = posixpath.normpath(posixpath.join(stage.folder, file))
            if _params_changed(root / path, values):
                found.add(path)
    return tuple(sorted(found))


def _changed_deps(root: Path, stage: Stage, entry: Mapping[str, Any], *, folders: bool) -> Iterator[str]:
    for dep in entry.get("deps") or ():
        path = posixpath.normpath(posixpath.join(stage.folder, str(dep["path"])))
        here = (root / path).is_file() or (folders and (root / path).is_dir())
        if "md5" in dep and here and hash_path(root, path).md5 != dep["md5"]:
            yield path


def _params_changed(path: Path, values: Mapping[str, Any]) -> bool:
    if not path.is_file():
        return False
    try:
        return _plain(tracked_values(load_params(path), tuple(values), path.name)) != _plain(values)
    except CanonError:
        return True


def _plain(values: Mapping[str, Any]) -> str:
    """As text: a date is one in a params file, and a text in dvc.lock."""
    return json.dumps(values, default=str, sort_keys=True)
