from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canon.data.sources.names import Names
from canon.model.errors import CanonError


@pytest.mark.parametrize(
    "relpath",
    [
        "",
        "..",
        "../x",
        "a/../../x",
        "a/..",
        "/etc/passwd",
        "//x",
        "a//x",
        "./x",
        "a/./x",
        "a/",
        "\\x",
        "a\\..\\x",
        "a\0",
        "\udcff",
    ],
)
def test_names_that_leave_their_folder_are_refused(relpath: str) -> None:
    with pytest.raises(CanonError, match=r"s3://bucket/x/ holds a file named"):
        Names("s3://bucket/x/").add(relpath)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("a.csv", "A.csv", "one name"),
        ("d/x", "D/y", "one name"),
        ("d/x", "D", "one name"),
        ("stra\u00dfe", "STRASSE", "one name"),
        ("\u00e9", "e\u0301", "one name"),
        ("a", "a/b", "both as a file and as a folder"),
        ("a/b", "a", "both as a file and as a folder"),
        ("a/b/c", "a/b", "both as a file and as a folder"),
        ("a", "a", "twice"),
    ],
)
def test_names_that_cannot_lie_side_by_side_are_refused(first: str, second: str, said: str) -> None:
    names = Names("s3://bucket/x/")
    names.add(first)
    with pytest.raises(CanonError, match=said):
        names.add(second)


SAFE = st.lists(
    st.text("abc.-_ \n", min_size=1, max_size=3).filter(lambda part: part not in {".", ".."}), min_size=1, max_size=3
)


@given(st.lists(SAFE.map("/".join), unique=True, max_size=8))
def test_whatever_is_accepted_can_be_written(tmp_path_factory: pytest.TempPathFactory, paths: list[str]) -> None:
    names, accepted = Names("source"), []
    for path in paths:
        try:
            names.add(path)
        except CanonError:
            continue
        accepted.append(path)
    top = tmp_path_factory.mktemp("folder")
    for folder in names.folders:
        (top / folder).mkdir()
    for path in accepted:
        (top / path).write_text("x")
    assert {p.relative_to(top).as_posix() for p in top.rglob("*") if p.is_file()} == set(accepted)
