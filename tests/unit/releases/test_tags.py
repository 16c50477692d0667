"""Numbers and versions by the tags that are there."""

from __future__ import annotations

import pytest

from canon.model.errors import CanonError
from canon.releases.draft import one_line
from canon.releases.tags import next_number, next_version, tag_patterns, tags_from_listing, version_of


def test_the_first_and_the_next() -> None:
    assert next_number("p", [], []) == 1
    assert next_number("p", ["p#a#1", "p#b#12", "p@v0.0.40"], []) == 13
    assert next_number("p", ["p#a#1"], [4]) == 5, "a release that was merged without its tag"
    assert next_version("p", [], []) == "v0.0.1"
    assert next_version("p", ["p@v0.0.9", "p@v0.0.10", "p@v1.2.3", "p#a#70"], ["v0.0.11"]) == "v0.0.12"


@pytest.mark.parametrize(
    "tag",
    [
        "p#a#0",
        "p#a#01",
        "p#a#1000000000",
        "p#a#-1",
        "p#a#1x",
        "p#a",
        "p##1",
        "pp#a#1",
        "p#a@b#1",
        "P#a#1",
        "p#a#\u0661",
    ],
)
def test_what_does_not_count(tag: str) -> None:
    assert next_number("p", [tag], [10**30]) == 1


def test_a_pipelines_name_is_no_pattern() -> None:
    assert next_number("p.q", ["pxq#a#5"], []) == 1
    assert tag_patterns("p") == ("refs/tags/p#*", "refs/tags/p@*")


def test_numbers_end_somewhere() -> None:
    with pytest.raises(CanonError, match="after which none is left"):
        next_number("p", ["p#a#999999999"], [])
    with pytest.raises(CanonError, match="leaves no version"):
        next_version("p", ["p@v0.0.999999999"], [])


def test_the_version_of_a_commit() -> None:
    commits = {"p@v0.0.9": "a", "p@v0.0.10": "a", "p@v0.0.11": "b", "q@v9.9.9": "a", "p@vx": "a", "p@v1.0": "a"}
    assert version_of("p", commits, "a") == "v0.0.10"
    assert version_of("p", commits, "c") is None


def test_a_listing_of_a_remote() -> None:
    listing = "11\trefs/heads/main\n22\trefs/tags/p#a#1\n33\trefs/tags/p#a#1^{}\n44\trefs/tags/light\nrubbish\n"
    assert tags_from_listing(listing) == ({"p#a#1": "22", "light": "44"}, {"p#a#1": "33", "light": "44"})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n\nCanon-Result: x\n", "a Canon-Result: x"),
        ("\x1b[31mred\x00", "[31mred"),
        ("  ", ""),
        ("x" * 5000, "x" * 2000),
        ("a\u2028b\u202ec", "a b c"),
    ],
)
def test_a_reason_is_one_line(text: str, line: str) -> None:
    assert one_line(text) == line
