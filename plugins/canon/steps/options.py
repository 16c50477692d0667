"""Params as a command line has them, `-S [file:]key=value`: DVC's own option, read by Hydra's grammar as DVC reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

from canon.model.errors import CanonError, UsageError
from canon.model.project import Pipeline
from canon.output.files import load_text
from canon.output.yaml import load_yaml
from canon.steps.settings import Values
from canon.workspaces.profiles import params_files

MOST_SHOWN = 100
"""Characters of an option that a message repeats."""


def settings_from_options(root: Path, pipeline: Pipeline, options: Sequence[str]) -> Values:
    """Params of a checkout by file and key. Raises UsageError for what is no `[file:]key=value`, CanonError for a key of no file, or of several."""
    found: dict[str, dict[str, Any]] = {}
    for option in options:
        file, text = split_option(option)
        key, value = _parsed(option, text)
        place = file or find_params_file(root, pipeline, key)
        keys = found.setdefault(place, {})
        if key in keys:
            raise UsageError(
                f"-S: `{key}` of {place} is given twice; give it once, or call `canon sweep` for several values"
            )
        keys[key] = value
    return found


def split_option(option: str) -> tuple[str | None, str]:
    """The file, if one is named, and the rest, as DVC splits it (dvc/utils/cli_parse.py)."""
    if ":" not in option.partition("=")[0]:
        return None, option
    file, _, rest = option.partition(":")
    return file, rest


def find_params_file(root: Path, pipeline: Pipeline, key: str) -> str:
    """The one params file of a pipeline that has a key. Raises CanonError where none has it, or several have."""
    files = [file for file in params_files(pipeline) if file.endswith((".yaml", ".yml"))]
    found = [file for file in files if _has(root, file, key.split("."))]
    if len(found) == 1:
        return found[0]
    if not found:
        raise CanonError(
            f"-S: no params file of {pipeline.name} has the key `{key}` (known are {', '.join(files) or 'none'})"
        )
    raise CanonError(
        f"-S: {' and '.join(found)} have the key `{key}`; say which one is meant, as {found[0]}:{key}=VALUE"
    )


def _has(root: Path, file: str, parts: Sequence[str]) -> bool:
    text = load_text(root / file, file)
    here: object = load_yaml(text, file) if text else None
    for part in parts:
        if not isinstance(here, dict) or part not in here:
            return False
        here = here[part]
    return True


def _parsed(option: str, text: str) -> tuple[str, Any]:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import OverrideType
    from hydra.errors import HydraException

    shown = shorten(option, MOST_SHOWN, placeholder="…")
    try:
        override = OverridesParser.create().parse_override(text)
        if override.is_sweep_override():
            raise UsageError(f"-S {shown}: has several values; `canon sweep` runs each of them, and '[1,2]' is a list")
        value = override.value()
    except (HydraException, ValueError, RecursionError) as error:
        why = shorten(str(error).splitlines()[0], MOST_SHOWN, placeholder="…")
        raise UsageError(f"-S {shown}: is no `[FILE:]KEY=VALUE` ({why})") from None
    if not override.key_or_group:
        raise UsageError(f"-S {shown}: is no `[FILE:]KEY=VALUE`: the key is missing")
    if override.type is not OverrideType.CHANGE or override.package is not None:
        raise UsageError(f"-S {shown}: keys are changed, not added or removed; write `[FILE:]KEY=VALUE`")
    check_value(shown, value)
    return override.key_or_group, value


def check_value(option: str, value: object) -> None:
    """Raise UsageError for a value that JSON does not have: `nan`, infinity, keys that are no text."""
    if isinstance(value, float) and (value != value or value in {float("inf"), float("-inf")}):  # noqa: PLR0124  nan
        raise UsageError(f"-S {option}: is no number that a params file can have; quote it if text is meant")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise UsageError(f"-S {option}: the key {key!r} is no text; quote it")
            check_value(option, item)
    elif isinstance(value, list):
        for item in value:
            check_value(option, item)
