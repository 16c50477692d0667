"""Applying a profile to a workspace: its pins become the top-level ones, its overlay goes into the params files."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from canon.model.errors import CanonError, Problem, ProblemsError
from canon.model.pins import apply_profile, format_pins
from canon.model.project import Pipeline, Project
from canon.output.files import load_text, write_text
from canon.output.yaml import load_yaml
from canon.workspaces.overlays import Replaced, overlaid, restored

STATE = ".dvc/tmp/canon/profile.json"
"""What a profile's overlay replaced, and a journal while files change. Not in Git: it is a fact of the workspace."""
LOCK_TIMEOUT = 10
"""Seconds to wait for another process that changes the profile."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a profile changed: paths relative to the root."""

    profile: str
    changed: tuple[str, ...]


def applied_profile(project: Project) -> str:
    """Name of the profile that a workspace has.

    The pins files say it, so that it is right too in a checkout that took an experiment, or restored its files by Git;
    without datasets, what `canon profile` last did. Raises CanonError when they disagree, and between the writes of a switch.
    """
    state = _load_state(project.root)
    if "journal" in state:
        raise CanonError(
            f"a change of profiles in {project.root} is under way or was interrupted; run `canon profile NAME`, which takes it back first"
        )
    default = project.settings.default_profile
    owners = {pipeline.pins.profile or default: pipeline for pipeline in project.pipelines if pipeline.declaration.data}
    if len(owners) > 1:
        named = ", ".join(f"{pipeline.pins_file} has those of `{name}`" for name, pipeline in sorted(owners.items()))
        raise CanonError(f"the pins are of several profiles: {named}; run `canon profile NAME` for one")
    return next(iter(owners), None) or str(state.get("profile") or default)


def _load_state(root: Path) -> dict[str, Any]:
    text = load_text(root / STATE, STATE)
    state: Any = None
    with suppress(ValueError, RecursionError):
        state = json.loads(text) if text else {}
    if not _is_state(state):
        remedy = "remove it, and restore params and pins with `git checkout`"
        raise ProblemsError([Problem(file=STATE, message="is damaged", remedy=remedy)])
    return dict(state)  # `_is_state` has looked


def _is_state(state: Any) -> bool:  # noqa: ANN401  whatever JSON holds
    if not isinstance(state, dict) or not isinstance(state.get("profile", ""), str):
        return False
    changes = [(state.get("journal") or {}, str | None), (state.get("replaced") or {}, str)]
    return all(
        isinstance(files, dict)
        and all(
            isinstance(change, dict) and all(isinstance(change.get(key), text) for key in ("before", "after"))
            for change in files.values()
        )
        for files, text in changes
    )


@contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Hold the lock of a workspace's profile. Raises CanonError when another process has it, and without DVC."""
    from filelock import FileLock, Timeout

    if not (root / ".dvc").is_dir():
        raise CanonError(f"{root} is no DVC repository; run `dvc init` there")
    path = root / Path(STATE).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=LOCK_TIMEOUT):
            yield
    except Timeout:
        raise CanonError(
            f"another process changes the profile of {root} (lock {path}); wait for it, or end it"
        ) from None


def recover(root: Path, *, write: bool = True) -> bool:
    """Take an interrupted switch of profiles back; return whether there was one. Call it before the project is loaded."""
    state = _load_state(root)
    journal = state.pop("journal", None)
    if journal is None:
        return False
    if not write:
        raise CanonError(
            f"a change of profiles in {root} was interrupted; run the command without --dry-run, which takes it back first"
        )
    for file, change in journal.items():
        if load_text(root / file, file) == change["after"]:
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
    Raises CanonError for an unknown profile, a dataset without pin, an overlay that fits no params file, and pins that came
    here without `canon profile`.
    """
    check_profile(project, profile)
    root, default = project.root, project.settings.default_profile
    state = _load_state(root)
    had = str(state.get("profile") or default)
    with_data = [pipeline for pipeline in project.pipelines if pipeline.declaration.data]
    if had == profile and all((pipeline.pins.profile or default) == profile for pipeline in with_data):
        return Applied(profile=profile, changed=())
    for pipeline in with_data:
        _check_overlay_known(pipeline, had)
    texts, replaced = _switched_params(project, profile, state)
    for pipeline in with_data:
        texts[pipeline.pins_file] = _applied_pins(pipeline, profile, default)
    changed = tuple(sorted(file for file, text in texts.items() if load_text(root / file, file) != text))
    if write:
        # Several files change: a journal takes an interrupted switch back at the next command.
        journal = {file: {"before": load_text(root / file, file), "after": texts[file]} for file in changed}
        write_text(root / STATE, json.dumps({**state, "journal": journal}, indent=1))
        for file in changed:
            write_text(root / file, texts[file])
        kept = {file: asdict(change) for file, change in replaced.items() if change.keys}
        write_text(root / STATE, json.dumps({"profile": profile, "replaced": kept}, indent=1))
    return Applied(profile=profile, changed=changed)


def params_of(project: Project, profile: str) -> dict[str, str]:
    """File → text of the params files that are others in a workspace with a profile than they are here. Raises CanonError as `apply` does."""
    if str(_load_state(project.root).get("profile") or project.settings.default_profile) == profile:
        return {}
    texts, _ = _switched_params(project, profile, _load_state(project.root))
    return {file: text for file, text in texts.items() if load_text(project.root / file, file) != text}


def _switched_params(
    project: Project, profile: str, state: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, Replaced]]:
    """File → text of the params files, and file → what the profile's overlay replaced there."""
    root = project.root
    texts: dict[str, str] = {}
    for file, change in (state.get("replaced") or {}).items():
        text = load_text(root / file, file)
        if text is not None:
            texts[file] = restored(text, file, _replaced(change))
    replaced: dict[str, Replaced] = {}
    for pipeline in project.pipelines:
        overlay = pipeline.declaration.params.get(profile)
        if overlay is not None:
            for file, values in _overlay_files(root, pipeline, overlay, texts).items():
                text = texts.get(file)
                change = overlaid(load_text(root / file, file) or "" if text is None else text, file, values)
                earlier = replaced.get(file)
                replaced[file] = (
                    Replaced(earlier.before, change.after, (*earlier.keys, *change.keys)) if earlier else change
                )
                texts[file] = change.after
    return texts, replaced


def _replaced(change: Mapping[str, Any]) -> Replaced:
    return Replaced(change["before"], change["after"], tuple(tuple(place) for place in change["keys"]))


def _check_overlay_known(pipeline: Pipeline, had: str) -> None:
    """Refuse pins that `canon profile` did not put here: what the overlay beside them replaced is not known."""
    there = pipeline.pins.profile
    if there is not None and there != had and there in pipeline.declaration.params:
        raise CanonError(
            f"{pipeline.pins_file} has the pins of `{there}`, which `canon profile` did not apply here, as after `dvc exp apply`: what "
            f"its overlay replaced is not known; `git checkout -- {' '.join((pipeline.pins_file, *params_files(pipeline)))}` first"
        )


def _applied_pins(pipeline: Pipeline, profile: str, default: str) -> str:
    for name, data in pipeline.declaration.data.items():
        if profile not in data.from_:
            raise CanonError(
                f"{pipeline.file}: data.{name} has no source for the profile `{profile}`; add `{profile}: …` to its `from`"
            )
    pins = apply_profile(pipeline.pins, profile, pipeline.pins.profile or default)
    missing = [name for name in pipeline.declaration.data if name not in pins.datasets]
    if missing:
        raise CanonError(
            f"{pipeline.pins_file} has no pin of {', '.join(missing)} for the profile `{profile}`; run `canon data pin --profile {profile}` and commit it"
        )
    return format_pins(pins.model_copy(update={"profile": None if profile == default else profile}))


def check_overlay(root: Path, pipeline: Pipeline, overlay: str) -> None:
    """Raise CanonError unless an overlay fits the params files as they stand."""
    for file, values in _overlay_files(root, pipeline, overlay, {}).items():
        overlaid(load_text(root / file, file) or "", file, values)


def _overlay_files(root: Path, pipeline: Pipeline, overlay: str, texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """To which params file each top-level key of an overlay belongs."""
    text = load_text(root / overlay, overlay)
    if text is None:
        remedy = f"write it, or take it out of `params` in {pipeline.file}"
        problem = Problem(file=pipeline.file, path="params", message=f"there is no overlay {overlay}", remedy=remedy)
        raise ProblemsError(pipeline.placed([problem]))
    values = load_yaml(text, overlay)
    if not isinstance(values, dict):
        raise CanonError(f"{overlay} is no mapping; write the keys of the params file that it changes")
    owners: dict[str, list[str]] = {}
    for file in params_files(pipeline):
        if (file_text := texts.get(file) or load_text(root / file, file)) is not None and file.endswith(
            (".yaml", ".yml")
        ):
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
        found.setdefault(files[0], {})[str(key)] = value
    return found


def params_files(pipeline: Pipeline) -> tuple[str, ...]:
    """Params files that the stages name, templates left out, but for the pins and the declaration; from the root."""
    files: dict[str, None] = {}
    for stage in pipeline.raw["stages"].values():
        definition = stage.get("do") or stage
        folder = str(definition.get("wdir") or ".")
        for item in definition.get("params") or ():
            for file in item if isinstance(item, Mapping) else ("params.yaml",):
                files[posixpath.normpath(posixpath.join(folder, file))] = None
    for item in pipeline.raw.get("vars") or ():
        if isinstance(item, str):
            files[posixpath.normpath(item.partition(":")[0])] = None
    return tuple(
        file
        for file in files
        if file not in {pipeline.pins_file, pipeline.environment_file, pipeline.file} and "${" not in file
    )
