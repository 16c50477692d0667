"""Params that a workflow is started with (`set`): base64 of JSON, params file → key → value, as DVC's `-S file:key=value` says it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from canon.dvc.resolve import has_templating
from canon.model.errors import CanonError
from canon.model.graph import Graph
from canon.model.project import Pipeline
from canon.output.files import load_text, write_text
from canon.output.yaml import load_yaml
from canon.workspaces.overlays import overlaid
from canon.workspaces.profiles import params_files

PLAIN = re.compile(r"[A-Za-z0-9._/-]+")
"""What a text may be that `${…}` can bring into a command: DVC does not quote it for the shell."""
Values = Mapping[str, Mapping[str, Any]]


def format_settings(values: Values) -> str:
    """Params as the workflow's parameter has them; empty for none."""
    return base64.b64encode(json.dumps(values, sort_keys=True).encode()).decode() if values else ""


def settings_from_text(text: str) -> Values:
    """Params from the workflow's parameter. Raises CanonError for what is not of that form."""
    if not text:
        return {}
    try:
        values = json.loads(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error, RecursionError):
        values = None
    if not are_values(values):
        raise CanonError(
            'the parameter `set` is not base64 of JSON {"FILE": {"KEY": VALUE}}; `canon submit -S` writes it'
        )
    return values


def are_values(values: object) -> TypeGuard[Values]:
    """Tell whether something is params file → key → value."""
    return isinstance(values, dict) and all(
        isinstance(file, str) and isinstance(keys, dict) and all(isinstance(key, str) and key for key in keys)
        for file, keys in values.items()
    )


def apply_settings(root: Path, pipeline: Pipeline, graph: Graph, values: Values) -> None:
    """Write params into the files of a checkout. Raises CanonError for one that no stage tracks, that is not there, or that could be read as shell."""
    tracked = dict(_tracked(graph))
    known = set(params_files(pipeline))
    for file, keys in values.items():
        if file not in known or not file.endswith((".yaml", ".yml")):
            raise CanonError(
                f"`set`: {file!r} is no params file (YAML) of {pipeline.name}; known are {', '.join(sorted(known)) or 'none'}"
            )
        text = load_text(root / file, file) or ""
        for key, value in keys.items():
            _check(pipeline, file, key, value, tracked.get(file))
            text = overlaid(text, file, _nested(load_yaml(text, file), file, key.split("."), value)).after
        write_text(root / file, text)


def _tracked(graph: Graph) -> Iterator[tuple[str, set[str] | None]]:
    """Params file → keys that stages track; None for the whole file."""
    found: dict[str, set[str] | None] = {}
    for stage in graph.stages.values():
        for file, keys in stage.param_paths:
            before = found.get(file, set())
            found[file] = None if not keys or before is None else before | set(keys)
    yield from found.items()


def _check(pipeline: Pipeline, file: str, key: str, value: object, tracked: set[str] | None) -> None:
    vars_files = {item.partition(":")[0] for item in pipeline.raw.get("vars") or () if isinstance(item, str)}
    covered = tracked is None or any(
        key == each or key.startswith(f"{each}.") or each.startswith(f"{key}.") for each in tracked
    )
    if not covered and file not in vars_files:
        raise CanonError(f"`set`: no stage of {pipeline.name} tracks `{key}` of {file}; its result would be the same")
    if has_templating(pipeline.raw) and not all(map(_is_plain, _texts(value))):
        raise CanonError(
            f"`set`: `{key}` of {file} is {value!r}, and `${{…}}` may bring it into a command, where the shell would read it; a text may"
            " have letters, digits and `._/-`"
        )


def _is_plain(text: str) -> bool:
    return PLAIN.fullmatch(text) is not None


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _nested(document: object, file: str, parts: list[str], value: Any) -> dict[str, Any]:  # noqa: ANN401  whatever JSON holds
    """A value at its place, as an overlay; the place must be there already. Raises CanonError."""
    here = document
    for part in parts:
        if not isinstance(here, dict) or part not in here:
            raise CanonError(f"`set`: {file} has no key `{'.'.join(parts)}`")
        here = here[part]
    nested: Any = value
    for part in reversed(parts):
        nested = {part: nested}
    return dict(nested)
