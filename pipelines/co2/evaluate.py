"""Stage evaluate: forecast the held-out years, against the truth and the seasonal naive forecast."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from .model import COEFFICIENTS, MODEL, load_model
from .record import PREPARED, Row, load_params, load_rows, write_rows

RESULTS = Path("results/co2")


def seasonal_naive(train: Sequence[Row], day: dt.date) -> float:
    """The value of the nearest day of the year in the last year that was seen."""
    last = [row for row in train if (train[-1][0] - row[0]).days < 365]  # noqa: PLR2004  days
    year = day.timetuple().tm_yday

    def distance(row: Row) -> tuple[int, dt.date]:
        apart = abs(row[0].timetuple().tm_yday - year)
        return min(apart, 366 - apart), row[0]

    return float(min(last, key=distance)[1])


def root_mean_square(errors: Sequence[float]) -> float:
    """Exactly rounded sum, so that its order does not matter."""
    return math.sqrt(math.fsum(error * error for error in errors) / len(errors))


def main() -> None:
    """Write metrics.json, forecast.csv and residuals.csv."""
    digits = int(load_params("evaluate")["digits"])
    model = load_model(MODEL / COEFFICIENTS)
    train, test = load_rows(PREPARED / "train.csv"), load_rows(PREPARED / "test.csv")
    rows: list[tuple[str, Decimal, float, float]] = [
        (day.isoformat(), truth, model.predict(day), seasonal_naive(train, day)) for day, truth in test
    ]
    errors = [forecast - float(truth) for _, truth, forecast, _ in rows]
    naive = [guess - float(truth) for _, truth, _, guess in rows]
    metrics = {
        "mae": round(math.fsum(map(abs, errors)) / len(errors), digits),
        "rmse": round(root_mean_square(errors), digits),
        "skill": round(1 - root_mean_square(errors) / root_mean_square(naive), digits),
        "n": len(rows),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_rows(RESULTS / "forecast.csv", ("date", "truth", "forecast", "naive"),
               ((day, truth, f"{forecast:.{digits}f}", f"{guess:.{digits}f}") for day, truth, forecast, guess in rows))  # fmt: skip
    write_rows(RESULTS / "residuals.csv", ("date", "residual"),
               ((row[0], f"{error:.{digits}f}") for row, error in zip(rows, errors, strict=True)))  # fmt: skip
    (RESULTS / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    print("  ".join(f"{key} {value}" for key, value in metrics.items()))


if __name__ == "__main__":
    main()
