"""Patterns of branches."""

from __future__ import annotations

import pytest

from canon.model.branches import matches_branch, regex_from_branch


@pytest.mark.parametrize(
    ("name", "pattern", "matches"),
    [
        ("main", "main", True),
        ("main2", "main", False),
        ("exp/a", "exp/*", True),
        ("exp/a/b", "exp/*", False),
        ("exp/a/b", "exp/**", True),
        ("exp/", "exp/*", False),
        ("my/exp/a", "exp/*", False),
        ("release-1.2", "release-1.*", True),
        ("release-1x2", "release-1.2", False),
        ("a", "*", True),
        ("a/b", "*/b", True),
    ],
)
def test_a_pattern_stands_for_whole_names(name: str, pattern: str, matches: bool) -> None:  # noqa: FBT001  a parameter of the test
    assert matches_branch(name, pattern) is matches


def test_it_needs_no_backslash_in_a_text_within_a_text() -> None:
    assert regex_from_branch("exp/a.b+c/*") == "exp/a[.]b[+]c/[^/]+"
