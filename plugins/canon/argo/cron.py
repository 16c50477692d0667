"""Cron strings as Argo's controller reads them (robfig/cron v3, five fields): it only logs a wrong one, and never starts a run."""

from __future__ import annotations

import re
from collections.abc import Iterable

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of the week", 0, 6, DAYS),
)
_TERM = re.compile(r"(?P<first>\*|\?|[0-9]+|[A-Za-z]+)(?:-(?P<last>[0-9]+|[A-Za-z]+))?(?:/(?P<step>[0-9]+))?")


def cron_finding(text: str) -> str | None:
    """What is wrong with a cron string, in words; None for a good one."""
    fields = text.split()
    if len(fields) != len(FIELDS):
        return f"`{text}` has {len(fields)} fields, not five: minute, hour, day of the month, month, day of the week"
    values: list[frozenset[int]] = []
    for field, (name, low, high, names) in zip(fields, FIELDS, strict=True):
        found: set[int] = set()
        for term in field.split(","):
            numbers = _numbers(term, low, high, names)
            if isinstance(numbers, str):
                return f"`{text}`: {name} `{term}` {numbers}"
            found.update(numbers)
        values.append(frozenset(found))
    days, months, any_weekday = values[2], values[3], fields[4][0] in "*?"
    if any_weekday and all(min(days) > LONGEST[month - 1] for month in months):
        return f"`{text}` never comes: no such month has a day {min(days)}"
    return None


def _numbers(term: str, low: int, high: int, names: tuple[str, ...]) -> Iterable[int] | str:
    match = _TERM.fullmatch(term)
    if match is None:
        return "is no number, range, list or step"
    whole = match["first"] in {"*", "?"}
    if whole and match["last"]:
        return "is no range"
    first = low if whole else _number(match["first"], low, names)
    # `5/15` goes on to the end, as `5-59/15` does
    last = _number(match["last"], low, names) if match["last"] else high if whole or match["step"] else first
    if first is None or last is None:
        return f"names none of {', '.join(names)}" if names else "is no number"
    if not low <= first <= high or not low <= last <= high:
        return f"lies outside of {low} to {high}"
    if first > last:
        return "ends before it begins"
    step = int(match["step"] or 1)
    return range(first, last + 1, step) if step else "has a step of 0"


def _number(text: str, low: int, names: tuple[str, ...]) -> int | None:
    if text.isdigit():
        return int(text)
    return names.index(text.lower()) + low if text.lower() in names else None
