"""What tables that are drawn while something runs have in common: where they stand, which rows they have room for, and how a time reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TypeVar

Row = TypeVar("Row")


def shows_tables() -> bool:
    """Tell whether stderr is a terminal that a table can stand on."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def shows_colours() -> bool:
    """Tell whether stderr is a terminal with colours (https://no-color.org)."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def chosen_rows(rows: Sequence[Row], ranks: Sequence[tuple[int, float]], room: int) -> tuple[list[Row], list[int]]:
    """The rows that there is room for, those of the lowest rank, in their own order; and the numbers of those that are left out."""
    if len(rows) <= room:
        return list(rows), []
    kept = set(sorted(range(len(rows)), key=ranks.__getitem__)[:room])
    return [row for number, row in enumerate(rows) if number in kept], [
        number for number in range(len(rows)) if number not in kept
    ]


def format_elapsed(seconds: float) -> str:
    """A time as a clock shows it: 0:05, 1:02:03."""
    minutes, left = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
