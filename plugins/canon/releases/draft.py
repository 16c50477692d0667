"""A release before it has a number: what was decided, and by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from canon.dvc.runcache import run_cache_value
from canon.mlflow.record import flat_metrics
from canon.model.release import Origin, Release
from canon.model.result import Result

MOST_WORDS = 2000
"""Characters of the longest reason."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an image was made of, as a release says it."""

    image: str
    commit: str
    tree: str
    experiment: str
    result: str
    data_hash: str
    entries: Mapping[str, str]
    run: str | None = None
    model: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draft:
    """A release that is decided: the image's facts, why, and which release it repeats, of another environment or an earlier one of its own."""

    facts: Facts
    why: str
    promoted: Origin | None = None
    restores: int | None = None


def facts_of_result(
    result: Result, image: str, *, commit: str, tree: str, experiment: str, run: str | None, model: str | None
) -> Facts:
    """What a release says of an image of a result. ``image``: HOST/REPOSITORY@sha256:…; ``experiment``: the commit that has the result."""
    return Facts(
        image=image,
        commit=commit,
        tree=tree,
        experiment=experiment,
        result=result.digest,
        data_hash=result.data_hash,
        entries={name: run_cache_value(entry) for name, entry in result.entries.items()},
        run=run,
        model=model,
        metrics=flat_metrics(result.metrics),
    )


def facts_of(release: Release) -> Facts:
    """The facts that a release has, for another one of the same image."""
    return Facts(
        image=release.image,
        commit=release.commit,
        tree=release.tree,
        experiment=release.experiment,
        result=release.result,
        data_hash=release.data_hash,
        entries=release.entries,
        run=release.run,
        model=release.model,
        metrics=release.metrics,
    )


def build_release(
    draft: Draft, pipeline: str, environment: str, *, number: int, version: str, time: str, author: str
) -> Release:
    """The release that a draft becomes."""
    return Release(
        schema=1,
        pipeline=pipeline,
        environment=environment,
        number=number,
        version=version,
        time=time,
        author=author,
        why=one_line(draft.why) or "no reason was given",
        promoted=draft.promoted,
        restores=draft.restores,
        **asdict(draft.facts),
    )


def one_line(text: str) -> str:
    """A reason as one line of bounded length: a commit message has it, where a line of its own could look like a trailer."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:MOST_WORDS]
