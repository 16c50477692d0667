"""The features that training, evaluation and serving share.

Trend: powers of the time since 1980 in decades. Season: a periodic cubic B-spline over the calendar year, piecewise
polynomial, so that no sine of the C library, which differs between processors in its last bits, takes part. Everything
is computed exactly and rounded once, to whole multiples of 1 / SCALE.
"""

from __future__ import annotations

import datetime as dt
from fractions import Fraction

EPOCH = dt.date(1980, 1, 1)
DAYS_A_DECADE = Fraction(36525, 10)
SCALE = 10**9
FIRST, LAST = dt.date(1900, 1, 1), dt.date(2199, 12, 31)


def parse_date(text: str) -> dt.date:
    """The day that an ISO date names. Raises ValueError for no date, and for one that no forecast is made for."""
    try:
        day = dt.date.fromisoformat(text.strip()[:10])
    except (ValueError, AttributeError):
        raise ValueError(f"{text!r} is no date; write YYYY-MM-DD") from None
    if not FIRST <= day <= LAST:
        raise ValueError(f"{day} lies outside of {FIRST} to {LAST}")
    return day


def decades(day: dt.date) -> Fraction:
    """Time since the epoch, in decades."""
    return (day - EPOCH).days / DAYS_A_DECADE


def phase(day: dt.date) -> Fraction:
    """Which part of its calendar year has gone: 0 on 1 January, below 1 on 31 December, leap year or not."""
    start = dt.date(day.year, 1, 1)
    return Fraction((day - start).days, (dt.date(day.year + 1, 1, 1) - start).days)


def bump(x: Fraction) -> Fraction:
    """The cardinal cubic B-spline on 0 to 4; all its shifts by whole numbers add up to 1."""
    if not 0 <= x < 4:  # noqa: PLR2004  its support
        return Fraction(0)
    piece = int(x)
    if piece == 0:
        return x**3 / 6
    if piece == 1:
        return (-3 * x**3 + 12 * x**2 - 12 * x + 4) / 6
    if piece == 2:  # noqa: PLR2004
        return (3 * x**3 - 24 * x**2 + 60 * x - 44) / 6
    return (4 - x) ** 3 / 6


def season(day: dt.date, knots: int) -> list[Fraction]:
    """The periodic B-splines of the year; they add up to 1, so that they hold the constant, too."""
    position = phase(day) * knots
    return [bump((position - knot) % knots) for knot in range(knots)]


def features(day: dt.date, degree: int, knots: int) -> list[int]:
    """Features of a day: ``degree`` powers of the time, then ``knots`` splines; whole multiples of 1 / SCALE."""
    time = decades(day)
    return [round(value * SCALE) for value in (*(time**power for power in range(1, degree + 1)), *season(day, knots))]
