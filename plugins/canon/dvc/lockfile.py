"""dvc.lock, schema 2.0 (dvc/schema.py, dvc/stage/serialize.py), without DVC."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from canon.model.errors import CanonError
from canon.output.yaml import load_yaml

SCHEMA = "2.0"


def load_lockfile(text: str, name: str) -> dict[str, dict[str, Any]]:
    """Return stage → entry of a dvc.lock; ``name`` stands for the file in messages. A date among params is a text.

    Raises CanonError for another schema, another shape than DVC writes, and sets and bytes among params.
    """
    data = load_yaml(text, name)
    if data is None:
        return {}
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else None
        raise CanonError(
            f"{name} has the schema {found!r}, known is {SCHEMA!r}; write it anew with DVC 3 (`dvc commit`)"
        )
    stages = data.get("stages") or {}
    if not isinstance(stages, dict) or not all(is_entry(entry) for entry in stages.values()):
        raise CanonError(
            f"{name} does not have the shape that DVC writes; restore it with `git checkout {name}`, or run `dvc repro`"
        )
    return dict(stages)


def format_lockfile(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the text of a dvc.lock with these entries, by stage and in this order, as DVC writes it.

    ruamel.yaml writes it, as for DVC: its folding of long lines, its quotes and its anchors for values that are one object
    are its own, and libyaml's differ.
    """
    from ruamel.yaml import YAML

    stream = io.StringIO()
    YAML().dump({"schema": SCHEMA, "stages": dict(entries)}, stream)
    return stream.getvalue()


def is_entry(entry: object) -> bool:
    """Tell whether a value has the shape of a lock entry."""
    return (
        isinstance(entry, Mapping)
        and isinstance(entry.get("cmd"), str | list)
        and isinstance(entry.get("params") or {}, Mapping)
        and all(isinstance(values, Mapping) for values in (entry.get("params") or {}).values())
        and all(
            isinstance(entry.get(key) or [], list)
            and all(isinstance(item, Mapping) and isinstance(item.get("path"), str) for item in entry.get(key) or [])
            for key in ("deps", "outs")
        )
    )
