"""Resolved stages: templates filled in by DVC's own resolver, which is loaded only where there are any."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from canon.model.errors import CanonError
from canon.model.stage import Stage, stage_from_definition
from canon.output.yaml import load_yaml


def has_templating(document: Mapping[str, Any]) -> bool:
    """Tell whether a dvc.yaml has anything to resolve: ``${…}``, ``foreach`` or ``matrix``."""
    return any(
        "foreach" in stage or "matrix" in stage or _has_template(stage)
        for stage in (document.get("stages") or {}).values()
    )


def _has_template(value: object) -> bool:
    if isinstance(value, str):
        return "${" in value
    if isinstance(value, Mapping):
        return any(_has_template(key) or _has_template(item) for key, item in value.items())
    return isinstance(value, list | tuple) and any(_has_template(item) for item in value)


def resolve_stages(root: Path, file: str, text: str) -> tuple[Stage, ...]:
    """Return the stages of a dvc.yaml with this text at ``file``, in declaration order; the file need not exist.

    Raises CanonError with DVC's own words where a template cannot be filled in.
    """
    document = load_yaml(text, file)
    if not has_templating(document):
        return tuple(stage_from_definition(name, definition, file) for name, definition in document["stages"].items())
    from dvc.exceptions import DvcException
    from dvc.parsing import DataResolver
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            resolver = DataResolver(repo, os.fspath((root / file).parent), document)
            stages: list[Stage] = []
            for name in resolver.get_keys():
                for resolved, definition in resolver.resolve_one(name).items():
                    stages.append(stage_from_definition(resolved, definition, file))
            return tuple(stages)
    except DvcException as error:
        raise CanonError(f"{file}: {' '.join(str(error).split())}") from None
