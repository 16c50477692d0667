"""Stage prepare: fill short gaps, and hold the last years out for the test."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from .record import PREPARED, Row, load_params, load_record, write_rows

RAW = Path("data/raw.csv")


def fill_gaps(rows: Sequence[tuple[dt.date, Decimal | None]], max_gap: int) -> list[Row]:
    """Fill runs of at most ``max_gap`` missing weeks on a straight line, to 0.01 ppm; drop longer ones."""
    filled: list[Row] = []
    missing: list[dt.date] = []
    for day, value in rows:
        if value is None:
            missing.append(day)
            continue
        if filled and missing and len(missing) <= max_gap:
            before, level = filled[-1]
            for gap in missing:
                share = Decimal((gap - before).days) / Decimal((day - before).days)
                filled.append((gap, (level + (value - level) * share).quantize(Decimal("0.01"))))
        missing = []
        filled.append((day, value))
    return filled


def main() -> None:
    """Read data/raw.csv, write train.csv and test.csv."""
    params = load_params("prepare")
    try:
        rows = fill_gaps(load_record(RAW), int(params["max_gap"]))
    except ValueError as error:
        raise SystemExit(str(error)) from None
    if not rows:
        raise SystemExit(f"{RAW} has no measurement")
    start = rows[-1][0].year - int(params["holdout_years"]) + 1
    train = [row for row in rows if row[0].year < start and row[0].year >= int(params["since"])]
    test = [row for row in rows if row[0].year >= start]
    if len(train) < 104:  # noqa: PLR2004  two years of weeks
        raise SystemExit(
            f"{len(train)} weeks before {start} are too few to train on; lower prepare.holdout_years or prepare.since"
        )
    for name, part in (("train", train), ("test", test)):
        write_rows(PREPARED / f"{name}.csv", ("date", "co2"), part)
    print(f"{len(train)} weeks to train on, {len(test)} held out from {start}")


if __name__ == "__main__":
    main()
