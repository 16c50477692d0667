"""Datasets of a project: pinned, brought, and known by name."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from canon.data.get import fetch_source, has_content
from canon.data.pin import pin_source
from canon.data.progress import Progress
from canon.model.declaration import Dataset
from canon.model.errors import CanonError
from canon.model.pins import Pin, Pins, Source, format_pins, load_pins, with_pin
from canon.model.project import Pipeline, Project
from canon.output.files import load_text, write_text
from canon.workspaces.profiles import applied_profile


@dataclass(frozen=True, slots=True)
class Pinned:
    """What became of one dataset's pin."""

    pipeline: str
    dataset: str
    profile: str
    pin: Pin
    source: Source
    changed: bool


def chosen_datasets(project: Project, names: Sequence[str]) -> Iterator[tuple[Pipeline, str, Dataset]]:
    """Yield the datasets that ``DATASET`` or ``PIPELINE/DATASET`` name; all without a name. Raises CanonError."""
    known = [
        (pipeline, dataset, data)
        for pipeline in project.pipelines
        for dataset, data in pipeline.declaration.data.items()
    ]
    if not names:
        yield from known
        return
    for name in names:
        pipeline_name, slash, dataset_name = name.rpartition("/")
        found = [item for item in known if item[1] == dataset_name and (not slash or item[0].name == pipeline_name)]
        listed = ", ".join(f"{pipeline.name}/{dataset}" for pipeline, dataset, _ in known) or "none"
        if not found:
            raise CanonError(f"there is no dataset `{name}`; declared: {listed}")
        if len(found) > 1:
            raise CanonError(
                f"several pipelines have a dataset `{name}`; give one of: {', '.join(f'{item[0].name}/{item[1]}' for item in found)}"
            )
        yield found[0]


def _endpoint(project: Project, profile: str) -> str | None:
    declared = project.settings.profiles[profile].endpoint if profile in project.settings.profiles else None
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or declared


def pin_datasets(
    project: Project,
    names: Sequence[str],
    profile: str | None,
    *,
    jobs: int,
    write: bool,
    progress: Callable[[str], Progress],
) -> tuple[Pinned, ...]:
    """Pin the sources that a profile declares; each pins file is written once, when all its sources are read."""
    current = applied_profile(project)
    wanted = profile or current
    if wanted not in project.settings.profiles:
        raise CanonError(
            f"there is no profile `{wanted}`; pyproject.toml declares: {', '.join(project.settings.profiles)}"
        )
    done: list[Pinned] = []
    pipelines: dict[str, Pipeline] = {}
    for pipeline, dataset, data in chosen_datasets(project, names):
        uri = data.from_.get(wanted)
        if uri is None:
            if names:
                raise CanonError(
                    f"{pipeline.file}: data.{dataset} has no source for the profile `{wanted}`; add `{wanted}: …` to `from`"
                )
            continue
        latest = pipelines.get(pipeline.name, pipeline)
        pin, source = pin_source(
            uri,
            root=project.root,
            endpoint=_endpoint(project, wanted),
            progress=progress(f"{pipeline.name}/{dataset}"),
            jobs=jobs,
        )
        pins = with_pin(latest.pins, dataset, pin, source, wanted, current)
        done.append(Pinned(pipeline.name, dataset, wanted, pin, source, changed=pins != latest.pins))
        pipelines[pipeline.name] = replace(latest, pins=pins)
    if write:
        for pipeline in pipelines.values():
            _write_pins(project, pipeline, [item for item in done if item.pipeline == pipeline.name], current)
    return tuple(done)


def _write_pins(project: Project, pipeline: Pipeline, pinned: Iterable[Pinned], current: str) -> None:
    """Write new pins beside those that stand in the file now: another process may have pinned other datasets meanwhile."""
    file = project.root / pipeline.pins_file
    with _locked(file.parent):
        text = load_text(file, pipeline.pins_file)
        pins = Pins() if text is None else load_pins(text, pipeline.pins_file)
        for item in pinned:
            pins = with_pin(pins, item.dataset, item.pin, item.source, item.profile, current)
        write_text(file, format_pins(pins))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change files of a folder; the kernel lets go of the lock when it ends in whatever way."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def get_datasets(
    project: Project, names: Sequence[str], *, jobs: int, write: bool, progress: Callable[[str], Progress]
) -> Iterable[tuple[str, str, bool]]:
    """Bring the pinned content of datasets to their paths; yield name, path and whether anything was moved, or would be."""
    profile = applied_profile(project)
    brought: list[tuple[str, str, bool]] = []
    for pipeline, dataset, data in chosen_datasets(project, names):
        if not data.materialize and not names:
            continue
        pin, source = pipeline.pins.datasets.get(dataset), pipeline.pins.sources.get(dataset)
        if pin is None or source is None:
            raise CanonError(
                f"{pipeline.pins_file} has no pin of {dataset}; run `canon data pin {pipeline.name}/{dataset}` and commit it"
            )
        target = project.root / data.path
        moved = (
            fetch_source(
                source,
                pin,
                target,
                root=project.root,
                endpoint=_endpoint(project, profile),
                progress=progress(f"{pipeline.name}/{dataset}"),
                jobs=jobs,
            )
            if write
            else not has_content(target, pin, jobs=jobs)
        )
        brought.append((f"{pipeline.name}/{dataset}", data.path, moved))
    return brought
