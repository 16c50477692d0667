"""`-S [file:]key=values` in Hydra's words, as `dvc exp run -S` takes them: one value, several, or an interval. Hydra's own parser reads it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canon.model.errors import UsageError
from canon.model.project import Pipeline
from canon.steps.options import find_params_file, split_option

GRAMMAR = "write [FILE:]KEY=VALUE, KEY=0.1,0.01, KEY=choice(a,b), KEY=range(1,10,2) or KEY=interval(0,1)"


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers to draw from: between two, evenly or (``log``) evenly by their logarithm; ``whole`` numbers, both ends among them, or any."""

    start: float
    end: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Override:
    """What is set: a key of a params file to values, or to what is drawn. ``text``: the values as they were written."""

    file: str
    key: str
    text: str
    values: tuple[Any, ...] = ()
    interval: Interval | None = None


def load_overrides(root: Path, pipeline: Pipeline, texts: Iterable[str], most: int) -> tuple[Override, ...]:
    """Read all of `-S`. Without a file a key is that of the only YAML params file of the pipeline that has it.

    Raises UsageError for what is not of that form, or says more than ``most`` values, CanonError for a key that is in no file, or in several.
    """
    found: dict[tuple[str, str], Override] = {}
    for text in texts:
        override = _load_override(root, pipeline, text, most)
        for file, key in found:
            one, other = f"{key}.", f"{override.key}."
            if file == override.file and (one.startswith(other) or other.startswith(one)):
                raise UsageError(f"-S sets `{override.key}` of {file} twice; give all its values at once")
        found[override.file, override.key] = override
    return tuple(found.values())


def _load_override(root: Path, pipeline: Pipeline, given: str, most: int) -> Override:
    file, text = split_option(given)
    key, equals, rest = text.partition("=")
    if not equals or file == "":
        raise UsageError(f"-S {given}: is no setting; {GRAMMAR}")
    values, interval = _parse(given, text, key, most)
    return Override(file or find_params_file(root, pipeline, key), key, rest, values, interval)


def _parse(given: str, text: str, key: str, most: int) -> tuple[tuple[Any, ...], Interval | None]:
    from hydra.core.override_parser import types
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(text)
    except (HydraException, RecursionError, ValueError, TypeError, ArithmeticError) as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"-S {given}: Hydra cannot read it ({words}); {GRAMMAR}") from None
    if parsed.type is not types.OverrideType.CHANGE or parsed.package is not None or parsed.key_or_group != key:
        raise UsageError(f"-S {given}: `{key}` is no key of a params file that can be set; {GRAMMAR}")
    value = parsed._value  # noqa: SLF001  `value()` leaves sweeps within a list as they are
    if isinstance(value, types.IntervalSweep):
        return (), _interval(given, value.start, value.end, value.tags)
    if isinstance(value, types.Glob) or getattr(value, "shuffle", False) or getattr(value, "tags", None):
        raise UsageError(f"-S {given}: neither `glob` nor `shuffle` nor a tag has a meaning here; {GRAMMAR}")
    if isinstance(value, types.RangeSweep):
        return _range(given, value, most), None
    items = value.list if isinstance(value, types.ChoiceSweep) else [value]
    values = tuple(_plain(given, item) for item in _at_most(given, items, most))
    if not values:
        raise UsageError(f"-S {given}: says no value")
    return values, None


def _interval(given: str, start: float | None, end: float | None, tags: Iterable[str]) -> Interval:
    if start is None or end is None or not (math.isfinite(start) and math.isfinite(end)) or start > end:
        raise UsageError(f"-S {given}: an interval goes from a number to a larger one")
    log = set(tags) == {"log"}
    if set(tags) - {"log"}:
        raise UsageError(f"-S {given}: of tags only `log` is known")
    if log and start <= 0:
        raise UsageError(f"-S {given}: the logarithm needs numbers above 0")
    return Interval(start, end, log, whole=isinstance(start, int) and isinstance(end, int))


def _range(given: str, value: Any, most: int) -> tuple[Any, ...]:  # noqa: ANN401  Hydra's own type
    ends = (value.start, value.stop, value.step)
    if any(each is None or not math.isfinite(each) for each in ends) or not value.step:
        raise UsageError(f"-S {given}: a range goes from a number to another, by steps that are not 0")
    values = tuple(_at_most(given, value.range(), most))
    if not values:
        raise UsageError(f"-S {given}: says no value")
    return values


def _at_most(given: str, items: Iterable[Any], most: int) -> Iterator[Any]:
    found = list(itertools.islice(items, most + 1))
    if len(found) > most:
        raise UsageError(f"-S {given}: says more than {most} {'values' if most > 1 else 'value'}")
    yield from found


def _plain(given: str, value: Any) -> Any:  # noqa: ANN401  whatever Hydra reads
    """A value as a params file has it."""
    from hydra.core.override_parser.types import Glob, QuotedString, Sweep

    if isinstance(value, Sweep | Glob):
        raise UsageError(f"-S {given}: a sweep within a list of values; write its values out")
    if isinstance(value, QuotedString):
        value = value.text
    if isinstance(value, str) and "${" in value:
        raise UsageError(f"-S {given}: `${{…}}` is not filled in here; write the value itself")
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"-S {given}: {value} is no number that JSON has")
    if isinstance(value, list):
        return [_plain(given, item) for item in value]
    if isinstance(value, dict):
        return {str(_plain(given, key)): _plain(given, item) for key, item in value.items()}
    return value
