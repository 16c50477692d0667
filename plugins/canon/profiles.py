"""Applying a profile to a workspace: its pins become the top-level ones, its overlay goes into the params files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canon.model.errors import CanonError
from canon.model.pins import apply_profile, format_pins
from canon.model.project import Pipeline, Project
from canon.output.files import load_text, write_text
from canon.output.yaml import load_yaml

STATE = ".dvc/tmp/canon/profile.json"
"""Which profile a workspace has, and what its overlay replaced. Not in Git: it is a fact of the workspace."""
_ABSENT = {"absent": True}


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a profile changed: paths relative to the root."""

    profile: str
    changed: tuple[str, ...]


def applied_profile(root: Path, default: str) -> str:
    """Name of the profile that a workspace has."""
    state = _load_state(root)
    return str(state.get("profile") or default)


def _load_state(root: Path) -> dict[str, Any]:
    text = load_text(root / STATE)
    try:
        state = json.loads(text) if text else {}
    except ValueError:
        raise CanonError(
            f"{root / STATE} is damaged; remove it, and restore params and pins with `git checkout`"
        ) from None
    return state if isinstance(state, dict) else {}


def recover(root: Path) -> bool:
    """Take an interrupted switch of profiles back; return whether there was one. Call it before the project is loaded."""
    state = _load_state(root)
    journal = state.pop("journal", None)
    if journal is None:
        return False
    for file, change in journal.items():
        if change["before"] is not None and load_text(root / file) == change["after"]:
            write_text(root / file, change["before"])
    write_text(root / STATE, json.dumps(state, indent=1))
    return True


def check_profile(project: Project, profile: str) -> None:
    """Raise CanonError unless the settings declare the profile."""
    if profile not in project.settings.profiles:
        raise CanonError(
            f"there is no profile `{profile}`; pyproject.toml declares: {', '.join(project.settings.profiles)}"
        )


def apply(project: Project, profile: str, *, write: bool = True) -> Applied:
    """Give the workspace at the project's root another profile; everything else stays as it is.

    The overlay of the profile that the workspace had is taken out first: a params file that was not edited since gets its
    old text back, else only what the overlay had set is set back.
    Raises CanonError for an unknown profile, a dataset without pin, and an overlay that fits no params file.
    """
    check_profile(project, profile)
    root = project.root
    current = applied_profile(root, project.settings.default_profile)
    if profile == current:
        return Applied(profile=profile, changed=())
    texts = {file: _restored(root, file, change) for file, change in (_load_state(root).get("replaced") or {}).items()}
    replaced: dict[str, dict[str, Any]] = {}
    for pipeline in project.pipelines:
        overlay = pipeline.declaration.params.get(profile)
        if overlay is not None:
            for file, values in _overlay_files(root, pipeline, overlay, texts).items():
                before = texts.get(file) or load_text(root / file) or ""
                texts[file], keys = _overlaid(before, file, values)
                known = replaced.setdefault(file, {"before": before, "keys": []})
                known["keys"] += keys
                known["after"] = texts[file]
        pins = _applied_pins(pipeline, profile, current)
        if pins is not None:
            texts[pipeline.pins_file] = pins
    changed = tuple(sorted(file for file, text in texts.items() if load_text(root / file) != text))
    if write:
        # Several files change: a journal takes an interrupted switch back at the next command.
        journal = {file: {"before": load_text(root / file), "after": texts[file]} for file in changed}
        write_text(root / STATE, json.dumps({**_load_state(root), "journal": journal}, indent=1))
        for file in changed:
            write_text(root / file, texts[file])
        write_text(root / STATE, json.dumps({"profile": profile, "replaced": replaced}, indent=1))
    return Applied(profile=profile, changed=changed)


def _applied_pins(pipeline: Pipeline, profile: str, current: str) -> str | None:
    if not pipeline.declaration.data:
        return None
    for name, data in pipeline.declaration.data.items():
        if profile not in data.from_:
            raise CanonError(
                f"{pipeline.file}: data.{name} has no source for the profile `{profile}`; add `{profile}: …` to its `from`"
            )
    pins = apply_profile(pipeline.pins, profile, current)
    missing = [name for name in pipeline.declaration.data if name not in pins.datasets]
    if missing:
        raise CanonError(
            f"{pipeline.pins_file} has no pin of {', '.join(missing)} for the profile `{profile}`; run `canon data pin --profile {profile}` and commit it"
        )
    return format_pins(pins)


def _overlay_files(
    root: Path, pipeline: Pipeline, overlay: str, texts: Mapping[str, str]
) -> dict[str, Mapping[str, Any]]:
    """To which params file each top-level key of an overlay belongs."""
    text = load_text(root / overlay)
    if text is None:
        raise CanonError(f"{pipeline.file}: params: there is no overlay {overlay}")
    values = load_yaml(text, overlay)
    if not isinstance(values, dict):
        raise CanonError(f"{overlay} is no mapping; write the keys of the params file that it changes")
    owners: dict[str, list[str]] = {}
    for file in params_files(pipeline):
        if (file_text := texts.get(file) or load_text(root / file)) is not None and file.endswith((".yaml", ".yml")):
            loaded = load_yaml(file_text, file)
            for key in loaded if isinstance(loaded, dict) else ():
                owners.setdefault(str(key), []).append(file)
    found: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        files = owners.get(str(key), [])
        if len(files) != 1:
            where = (
                f"in {' and '.join(files)}: which one is meant is unknown"
                if files
                else f"in no YAML params file of the pipeline ({', '.join(params_files(pipeline)) or 'there is none'})"
            )
            raise CanonError(
                f"{overlay}: the key `{key}` stands {where}; an overlay changes keys that stand in exactly one"
            )
        found.setdefault(files[0], {})[key] = value
    return found  # type: ignore[return-value]  # values of a dict are Any


def params_files(pipeline: Pipeline) -> tuple[str, ...]:
    """Params files that the stages name, templates left out, but for the pins and the declaration."""
    files: dict[str, None] = {}
    for stage in pipeline.raw["stages"].values():
        definition = stage.get("do") or stage
        for item in definition.get("params") or ():
            for file in item if isinstance(item, Mapping) else ("params.yaml",):
                files[file] = None
    for item in pipeline.raw.get("vars") or ():
        if isinstance(item, str):
            files[item.partition(":")[0]] = None
    return tuple(
        file
        for file in files
        if file not in {pipeline.pins_file, pipeline.environment_file, pipeline.file} and "${" not in file
    )


def _leaves(values: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*prefix, str(key)))
        else:
            yield (*prefix, str(key)), value


def _edited(text: str, file: str) -> tuple[Any, Any]:
    """A params file for editing: ruamel.yaml keeps comments and order, and is what DVC itself changes params with."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4096
    try:
        return editor, editor.load(text)
    except YAMLError as error:
        raise CanonError(f"{file} is not YAML: {str(error).splitlines()[0]}") from None


def _dumped(editor: Any, data: Any) -> str:  # noqa: ANN401  ruamel.yaml's own types
    stream = io.StringIO()
    editor.dump(data, stream)
    return stream.getvalue()


def _overlaid(text: str, file: str, values: Mapping[str, Any]) -> tuple[str, list[list[Any]]]:
    editor, data = _edited(text, file)
    before: list[list[Any]] = []
    for place, value in _leaves(values):
        here = data
        for step in place[:-1]:
            if not isinstance(here.get(step), dict):
                raise CanonError(f"{file} has no mapping `{'.'.join(place[:-1])}`, which the overlay changes")
            here = here[step]
        old = here.get(place[-1], _ABSENT)
        if old != value or type(old) is not type(value):
            before.append([list(place), _plain(old), _plain(value)])
            here[place[-1]] = value
    return (_dumped(editor, data) if before else text), before


def _restored(root: Path, file: str, change: Mapping[str, Any]) -> str:
    text = load_text(root / file) or ""
    if text == change["after"]:
        return str(change["before"])
    editor, data = _edited(text, file)
    for place, old, new in change["keys"]:
        *folders, last = place
        here = data
        for step in folders:
            here = here.get(step) if isinstance(here, dict) else None
        if isinstance(here, dict) and _plain(here.get(last, _ABSENT)) == new:
            if old == _ABSENT:
                del here[last]
            else:
                here[last] = old
    return _dumped(editor, data)


def _plain(value: Any) -> Any:  # noqa: ANN401  ruamel.yaml's own types
    return json.loads(json.dumps(value, default=str))
