"""The points of a sweep: which params each sets, drawn from a space, and the one text that a Workflow gets them by."""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canon.model.canonical import format_canonical, sha256_of
from canon.model.errors import CanonError, UsageError
from canon.model.project import Pipeline
from canon.steps.settings import Values, are_values
from canon.sweeps.overrides import Interval, Override, load_overrides

MOST_POINTS = 200
"""Points of a sweep, unless more are asked for."""
LARGEST = 96 * 1024
"""Bytes of the points as a parameter: in the pod of `plan` they are a variable. Linux takes 128 KiB there, and so does Argo of the whole template."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a sweep is asked for by: `-S` as given, how many samples of intervals are drawn and by which seed, and how many points are too many."""

    texts: Sequence[str]
    samples: int | None = None
    seed: int = 0
    most: int = MOST_POINTS


@dataclass(frozen=True, slots=True)
class Sweep:
    """``space``: param → its values as they were written; ``points``: what is set, each once."""

    space: Mapping[str, str]
    points: tuple[Values, ...]

    def name(self, point: Values) -> str:
        """A point for people: the params that the space names, and their values."""
        named = point_params(point, self.space)
        return ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in named.items())


def load_sweep(root: Path, pipeline: Pipeline, asked: Asked) -> Sweep:
    """The sweep that is asked for over a checkout. Raises UsageError, CanonError."""
    overrides = load_overrides(root, pipeline, asked.texts, asked.most)
    return build_sweep(overrides, asked.samples, asked.seed, asked.most)


def build_sweep(overrides: Sequence[Override], samples: int | None, seed: int, most: int) -> Sweep:
    """Every combination of the values, each with every sample of the intervals. Raises UsageError for none, and for more than ``most`` points."""
    drawn = [each for each in overrides if each.interval is not None]
    if not overrides:
        raise UsageError("nothing to sweep over; give -S KEY=VALUES")
    if drawn and samples is None:
        raise UsageError(f"-S {drawn[0].key}={drawn[0].text}: how many points are drawn from it? give --samples")
    if samples is not None and not drawn:
        raise UsageError("--samples draws from intervals, and no -S names one: KEY=interval(0,1)")
    grid = [each for each in overrides if each.interval is None]
    count = math.prod(len(each.values) for each in grid) * (samples or 1)
    if count > most:
        raise UsageError(f"{count} points, and at most {most} are meant; take values out, or say --max-points {count}")
    columns = [_samples(each, samples or 0, seed) for each in drawn]
    rows = [tuple(column[number] for column in columns) for number in range(samples or 1)]
    points: dict[bytes, Values] = {}
    for values, row in itertools.product(itertools.product(*(each.values for each in grid)), rows):
        point: dict[str, dict[str, Any]] = {}
        for each, value in (*zip(grid, values, strict=True), *zip(drawn, row, strict=True)):
            point.setdefault(each.file, {})[each.key] = value
        points.setdefault(format_canonical(point), point)
    return Sweep(space_of(overrides), tuple(points.values()))


def _samples(override: Override, count: int, seed: int) -> list[float]:
    """Numbers of one param: the same for the same seed, whatever else is swept; more of them begin with the fewer."""
    chance = random.Random(f"{seed}:{override.file}:{override.key}")  # noqa: S311  nobody is to be kept from guessing
    return [_draw(override.interval or Interval(0, 0), chance) for _ in range(count)]


def _draw(interval: Interval, chance: random.Random) -> float:
    start, end = interval.start, interval.end
    if interval.log:
        value = math.exp(chance.uniform(math.log(start), math.log(end)))
        value = min(max(value, start), end)
        return round(value) if interval.whole else value
    return chance.randint(int(start), int(end)) if interval.whole else chance.uniform(start, end)


def space_of(overrides: Sequence[Override]) -> dict[str, str]:
    """Param → its values as they were written, under the key alone where only one file has it."""
    counts = Counter(each.key for each in overrides)
    return {each.key if counts[each.key] == 1 else f"{each.file}:{each.key}": each.text for each in overrides}


def point_params(point: Values, space: Mapping[str, str]) -> dict[str, Any]:
    """Param, as the space calls it → its value at a point."""
    return {
        name: value
        for file, keys in point.items()
        for key, value in keys.items()
        for name in (key if key in space else f"{file}:{key}",)
    }


def sweep_hash(pipeline: str, profile: str, tree: str, points: Sequence[Values]) -> str:
    """What names a sweep: a sha256 of pipeline, profile, source tree and the points, in whatever order they were given."""
    return sha256_of([pipeline, profile, tree, sorted(format_canonical(point).decode() for point in points)])


def format_sweep(sweep: Sweep) -> str:
    """A sweep as a Workflow's parameter has it. Raises CanonError for one that no variable can hold."""
    document = {"space": sweep.space, "points": sweep.points}
    text = base64.b64encode(json.dumps(document, sort_keys=True).encode()).decode()
    if len(text) > LARGEST:
        raise CanonError(
            f"the {len(sweep.points)} points have {len(text):,} bytes as a workflow's parameter, which may have {LARGEST:,}: sweep in several parts"
        )
    return text


def sweep_from_text(text: str) -> Sweep:
    """The sweep that `format_sweep` wrote. Raises CanonError for anything else."""
    try:
        document = json.loads(base64.b64decode(text, validate=True))
        space, points = document["space"], document["points"]
    except (ValueError, binascii.Error, RecursionError, TypeError, KeyError):
        space, points = None, None
    is_space = isinstance(space, dict) and all(isinstance(value, str) for value in space.values())
    if not is_space or not isinstance(points, list) or not points or not all(map(are_values, points)):
        raise CanonError(
            'the parameter `points` is not base64 of JSON {"space": …, "points": …}; `canon sweep` writes it'
        )
    return Sweep(space, tuple(points))
