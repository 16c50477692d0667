"""Reading and writing the weekly record, and the stages' parameters."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml

from .features import parse_date

PARAMS = Path("params/co2.yaml")
PREPARED = Path("data/prepared")
Row = tuple[dt.date, Decimal]


def load_params(stage: str, path: Path = PARAMS) -> Mapping[str, Any]:
    """The parameters of one stage."""
    values: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))[stage]
    return values


def load_record(path: Path) -> list[tuple[dt.date, Decimal | None]]:
    """Return date and CO2 in ppm (None for a week without measurement). Raises ValueError naming the line."""
    rows: list[tuple[dt.date, Decimal | None]] = []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        if next(reader, None) != ["date", "co2"]:
            raise ValueError(f"{path}: line 1: the columns must be `date,co2`")
        for line in reader:
            place = f"{path}: line {reader.line_num}"
            if len(line) != 2:  # noqa: PLR2004  columns
                raise ValueError(f"{place}: {len(line)} columns, not 2")
            try:
                day = parse_date(line[0])
                value = Decimal(line[1]) if line[1].strip() else None
            except (ValueError, InvalidOperation) as error:
                raise ValueError(
                    f"{place}: {error if isinstance(error, ValueError) else f'{line[1]!r} is no number'}"
                ) from None
            if value is not None and not (value.is_finite() and 0 < value < 2000):  # noqa: PLR2004  ppm
                raise ValueError(f"{place}: {value} ppm cannot be")
            if rows and day <= rows[-1][0]:
                raise ValueError(f"{place}: {day} does not follow {rows[-1][0]}")
            rows.append((day, value))
    return rows


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file with newline line ends, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.tmp")
    with scratch.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    scratch.replace(path)


def load_rows(path: Path) -> list[Row]:
    """A prepared file: every week has a value."""
    return [(day, value) for day, value in load_record(path) if value is not None]
