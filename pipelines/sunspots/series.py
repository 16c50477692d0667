"""The yearly record, and two forecasts of it, in exact arithmetic: their last bits are the same everywhere."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

Series = list[tuple[int, Fraction]]


def load_series(path: Path, since: int = 0) -> Series:
    """Return year and sunspot number from ``since`` on. Raises ValueError naming the line."""
    series: Series = []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            try:
                year, value = int(row["year"]), Fraction(Decimal(row["sunspots"]))
            except (KeyError, TypeError, ValueError, ArithmeticError):
                raise ValueError(
                    f"{path}: line {reader.line_num}: {row} is no year with a number of sunspots"
                ) from None
            if year >= since:
                series.append((year, value))
    return series


def autoregression(values: Sequence[Fraction], lag: int) -> tuple[Fraction, Fraction]:
    """Slope and intercept of the least squares line from a value to the one ``lag`` years later."""
    pairs = list(zip(values[:-lag], values[lag:], strict=True))
    count = len(pairs)
    mean_x = sum((x for x, _ in pairs), Fraction(0)) / count
    mean_y = sum((y for _, y in pairs), Fraction(0)) / count
    spread = sum(((x - mean_x) ** 2 for x, _ in pairs), Fraction(0))
    slope = sum(((x - mean_x) * (y - mean_y) for x, y in pairs), Fraction(0)) / spread if spread else Fraction(0)
    return slope, mean_y - slope * mean_x


def mean_absolute_error(series: Series, model: str, lag: int, holdout: int) -> Fraction:
    """Error of one forecast over the last ``holdout`` years, each made from the years before. Raises ValueError."""
    values = [value for _, value in series]
    train = values[:-holdout]
    if not 0 < lag < len(train) - 1 or holdout < 1:
        raise ValueError(f"lag {lag} and holdout {holdout} do not fit {len(values)} years")
    if model == "ar":
        slope, intercept = autoregression(train, lag)
    elif model == "mean":
        slope, intercept = Fraction(0), sum(train[-lag:], Fraction(0)) / lag
    else:
        raise ValueError(f"there is no model {model!r}; there are `ar` and `mean`")
    errors = [abs(slope * values[index - lag] + intercept - values[index]) for index in range(len(train), len(values))]
    return sum(errors, Fraction(0)) / len(errors)
