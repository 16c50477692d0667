"""A pipeline's dvc.lock: its entries, and the result that the stage `track` left there."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canon.dvc.lockfile import load_lockfile
from canon.dvc.objects import stored_files
from canon.dvc.render import declared_document
from canon.dvc.track_stage import result_path
from canon.model.declaration import TRACK
from canon.model.errors import CanonError
from canon.model.project import Pipeline, Project
from canon.model.result import Result
from canon.model.stage import Stage
from canon.output.files import load_text


@dataclass(frozen=True, slots=True)
class Lock:
    """A pipeline's dvc.lock: where it lies, its text, its entries."""

    path: str
    text: str
    entries: Mapping[str, Mapping[str, Any]]


def lock_path(pipeline: Pipeline) -> str:
    """Path of a pipeline's dvc.lock, relative to the root."""
    return posixpath.join(posixpath.dirname(pipeline.declaration.dvc_file), "dvc.lock")


def load_lock(root: Path, pipeline: Pipeline) -> Lock:
    """Return the dvc.lock of a checkout. Raises CanonError when there is none."""
    path = lock_path(pipeline)
    text = load_text(root / path)
    if text is None:
        raise CanonError(f"{path} does not exist: nothing has run yet; run `dvc repro`")
    return Lock(path=path, text=text, entries=load_lockfile(text, path))


def declared_stages(project: Project, pipeline: Pipeline) -> tuple[Stage, ...]:
    """The stages whose entries belong to the result: all that dvc.yaml has but `track`."""
    return declared_document(project, pipeline)[1]


def load_result_of_lock(pipeline: Pipeline, lock: Lock, cache: Path, workspace: Path | None) -> tuple[bytes, str]:
    """The bytes of the result that a dvc.lock's `track` entry names, and their md5. Raises CanonError."""
    entry = lock.entries.get(TRACK)
    own = result_path(pipeline.name)
    if entry is None:
        raise CanonError(
            f"{lock.path} holds no result of {pipeline.name}: run `dvc repro`"
            + ("" if pipeline.declaration.track else " (it is declared with `track: false`)")
        )
    for out in entry.get("outs") or ():
        if posixpath.normpath(str(out["path"])) == own or str(out["path"]).endswith(own):
            (stored,) = stored_files(out, cache, workspace / own if workspace else None)
            return stored.path.read_bytes(), stored.md5
    raise CanonError(f"{lock.path}: `{TRACK}` did not write {own}; run `canon render`, then `dvc repro`")


def check_newest(pipeline: Pipeline, lock: Lock, result: Result) -> None:
    """Raise CanonError when stages ran since `track` wrote the result."""
    newer = [name for name, entry in result.entries.items() if lock.entries.get(name) != entry]
    if newer:
        raise CanonError(
            f"{lock.path} is newer than the result of {pipeline.name} ({', '.join(newer)} ran since); run `dvc repro`"
        )
