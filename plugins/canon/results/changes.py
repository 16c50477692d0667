"""What changed in a workspace since a result was made there: the code and params at hand, against dvc.lock."""

from __future__ import annotations

import json
import posixpath
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from canon.dvc.hashes import hash_file
from canon.model.errors import CanonError
from canon.model.stage import Stage
from canon.output.files import load_text
from canon.output.yaml import load_yaml


def changed_inputs(root: Path, stages: Iterable[Stage], entries: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Paths of deps and params files that are not what the stages ran with, sorted.

    Files that are not here, as data may be in a fresh clone, and folders are not looked at.
    """
    found: set[str] = set()
    for stage in stages:
        entry = entries.get(stage.name) or {}
        found.update(_changed_deps(root, stage, entry))
        for file, values in (entry.get("params") or {}).items():
            path = posixpath.normpath(posixpath.join(stage.folder, file))
            if _params_changed(root / path, values):
                found.add(path)
    return tuple(sorted(found))


def _changed_deps(root: Path, stage: Stage, entry: Mapping[str, Any]) -> Iterator[str]:
    for dep in entry.get("deps") or ():
        path = posixpath.normpath(posixpath.join(stage.folder, str(dep["path"])))
        if "md5" in dep and (root / path).is_file() and hash_file(root / path) != dep["md5"]:
            yield path


def _params_changed(path: Path, values: Mapping[str, Any]) -> bool:
    text = load_text(path)
    if text is None or path.suffix == ".py":
        return False
    try:
        content = _parse(text, path)
    except (CanonError, ValueError):
        return True
    return any(_value(content, key) != value for key, value in values.items())


def _parse(text: str, path: Path) -> Any:  # noqa: ANN401  whatever the file holds
    if path.suffix == ".json":
        return json.loads(text)
    return tomllib.loads(text) if path.suffix == ".toml" else load_yaml(text, path.name)


def _value(content: Any, key: str) -> Any:  # noqa: ANN401  whatever the file holds
    if isinstance(content, Mapping) and key in content:
        return content[key]
    for part in key.split("."):
        if not isinstance(content, Mapping) or part not in content:
            return None
        content = content[part]
    return content
