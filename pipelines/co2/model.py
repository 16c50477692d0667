"""The model: ridge regression on trend and season, fitted and applied in exact rational arithmetic.

Floating point sums depend on their order, and a BLAS chooses it by processor: the last bits of coefficients would
differ between a laptop and a cluster, and with them the model's hash. Whole numbers have no last bits.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from .features import SCALE, features

MODEL = Path("models/co2")
COEFFICIENTS = "artifacts/coefficients.json"
DIGITS = 15
"""Decimal places of a coefficient; ppm, or ppm by powers of a decade."""


@dataclass(frozen=True)
class Model:
    """Coefficients of `features`, as decimal texts."""

    degree: int
    knots: int
    coefficients: tuple[str, ...]

    def predict(self, day: dt.date) -> float:
        """CO2 on a day, in ppm; rounded once, from the exact sum."""
        row = features(day, self.degree, self.knots)
        exact = sum(
            (Fraction(weight) * value for weight, value in zip(self.coefficients, row, strict=True)), Fraction(0)
        )
        return float(exact / SCALE)


def fit(days: Sequence[dt.date], values: Sequence[Decimal], *, degree: int, knots: int, alpha: float) -> Model:
    """Fit by least squares with ridge penalty ``alpha`` (per row) on all but the first power of the time.

    Raises ValueError for parameters that no model has, and for data that does not determine one.
    """
    if not (1 <= degree <= 5 and 4 <= knots <= 52 and alpha >= 0):  # noqa: PLR2004  what the features are made for
        raise ValueError(f"degree {degree} must be 1 to 5, knots {knots} 4 to 52, alpha {alpha} at least 0")
    if not days:
        raise ValueError("there are no rows to fit a model to")
    rows = [features(day, degree, knots) for day in days]
    targets = [Fraction(value) * SCALE for value in values]
    size = degree + knots
    penalty = Fraction(Decimal(repr(alpha))) * len(rows) * SCALE**2
    center = sum(targets, Fraction(0)) / len(targets)
    left: list[list[Fraction]] = []
    right: list[Fraction] = []
    for i in range(size):
        left.append([Fraction(sum(row[i] * row[j] for row in rows)) for j in range(size)])
        right.append(sum((row[i] * target for row, target in zip(rows, targets, strict=True)), Fraction(0)))
        if i:
            left[i][i] += penalty
            if i >= degree:  # splines are drawn towards the mean, not towards nothing
                right[i] += penalty * center / SCALE
    return Model(degree, knots, tuple(_decimal(weight) for weight in _solve(left, right)))


def _solve(left: list[list[Fraction]], right: list[Fraction]) -> list[Fraction]:
    """Solve a symmetric positive system by elimination, exactly. Raises ValueError for a singular one."""
    size = len(right)
    table = [[*row, value] for row, value in zip(left, right, strict=True)]
    for column in range(size):
        pivot = next((row for row in range(column, size) if table[row][column]), None)
        if pivot is None:
            raise ValueError(
                "the data do not determine the model: too few rows for so many knots; raise alpha, or lower knots"
            )
        table[column], table[pivot] = table[pivot], table[column]
        for row in range(column + 1, size):
            factor = table[row][column] / table[column][column]
            if factor:
                table[row] = [below - factor * above for below, above in zip(table[row], table[column], strict=True)]
    solution = [Fraction(0)] * size
    for row in range(size - 1, -1, -1):
        known = sum((table[row][column] * solution[column] for column in range(row + 1, size)), Fraction(0))
        solution[row] = (table[row][size] - known) / table[row][row]
    return solution


def _decimal(value: Fraction) -> str:
    scaled = round(value * 10**DIGITS)
    return str(Decimal(scaled).scaleb(-DIGITS))


def format_model(model: Model) -> str:
    """A model as JSON text."""
    return (
        json.dumps({"degree": model.degree, "knots": model.knots, "coefficients": model.coefficients}, indent=1) + "\n"
    )


def load_model(path: Path) -> Model:
    """Return the model that a file holds. Raises ValueError when it holds none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        model = Model(
            int(data["degree"]), int(data["knots"]), tuple(str(Decimal(weight)) for weight in data["coefficients"])
        )
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise ValueError(f"{path} holds no model of co2: {error}") from None
    if len(model.coefficients) != model.degree + model.knots:
        raise ValueError(
            f"{path} holds {len(model.coefficients)} coefficients, {model.degree + model.knots} belong to the model"
        )
    if not all(Decimal(weight).is_finite() for weight in model.coefficients):
        raise ValueError(f"{path} holds a coefficient that is no number")
    return model
