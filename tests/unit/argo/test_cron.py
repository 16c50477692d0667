"""Cron strings: what robfig/cron, the controller's reader, takes."""

from __future__ import annotations

import pytest

from canon.argo.cron import cron_finding


@pytest.mark.parametrize(
    "text",
    ["0 3 * * 1", "*/15 * * * *", "5/20 0-6 1,15 * *", "30 3 * * mon-fri", "0 0 29 feb *", "0 0 ? JAN,mar SUN", "0 0 31 2 1", "59 23 31 12 6"],
)  # fmt: skip
def test_a_good_one_is_taken(text: str) -> None:
    assert cron_finding(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("61 3 * * *", "minute `61` lies outside of 0 to 59"),
        ("0 25 * * *", "hour `25` lies outside of 0 to 23"),
        ("0 0 0 * *", "day of the month `0` lies outside of 1 to 31"),
        ("0 0 * 13 *", "month `13` lies outside of 1 to 12"),
        ("0 0 * * 7", "day of the week `7` lies outside of 0 to 6"),
        ("0 0 * * fry", "names none of sun, mon"),
        ("0 mon * * *", "hour `mon` is no number"),
        ("0 5-3 * * *", "hour `5-3` ends before it begins"),
        ("*/0 * * * *", "minute `*/0` has a step of 0"),
        ("0 *-3 * * *", "hour `*-3` is no range"),
        ("0 1,,2 * * *", "hour `` is no number, range, list or step"),
        ("0 -1 * * *", "hour `-1` is no number, range"),
        ("CRON_TZ=UTC 0 3 * * 1", "has 6 fields, not five"),
        ("0 0 31 2,4 *", "never comes: no such month has a day 31"),
    ],
)
def test_a_bad_one_is_refused_with_its_field(text: str, said: str) -> None:
    assert said in str(cron_finding(text))
