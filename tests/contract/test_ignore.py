"""`.dvcignore` is read as DVC reads it, held against DVC's own filter on random trees."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from dvc.fs import localfs
from dvc.ignore import DvcIgnoreFilter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canon.dvc.ignore import IgnoreRules
from canon.model.errors import CanonError
from tests.contract.generated import NAMES, PATTERNS

FOLDERS = ("", "a", "b", "a/b", "a/b/a", "é")


@given(
    files=st.dictionaries(st.sampled_from(FOLDERS), PATTERNS.map("\n".join), max_size=4),
    # All folders that are there have to be among them: DVC looks for other projects only in the names that it is given.
    names=st.lists(st.one_of(NAMES, st.sampled_from([".git", ".dvc", "file.a", "#", "!a"])), max_size=3).map(
        lambda names: ["a", "b", "é", *names]
    ),
    projects=st.lists(st.sampled_from(["b", "a/b"]), max_size=1),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_same_paths_are_ignored_as_by_dvc(files: dict[str, str], names: list[str], projects: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        for folder in FOLDERS:
            (root / folder).mkdir(exist_ok=True)
        for folder in projects:
            (root / folder / ".dvc").mkdir()
        for folder, text in files.items():
            (root / folder / ".dvcignore").write_text(text)
        check_decisions(root, names)


def check_decisions(root: Path, names: list[str]) -> None:
    rules = IgnoreRules(root)
    try:
        theirs = DvcIgnoreFilter(localfs, str(root))
        expected = {folder: theirs(str(root / folder), [*names], [*names]) for folder in FOLDERS}
    except ValueError:  # a pattern that is none
        with pytest.raises(CanonError):
            [rules.kept(folder, names, names) for folder in FOLDERS]
        return
    for folder, (folders, files) in expected.items():
        assert rules.kept(folder, names, names) == (folders, files), folder
        for name in names:
            path = f"{folder}/{name}" if folder else name
            assert rules.is_ignored(path) == theirs.is_ignored_file(str(root / path)), path
            assert rules.is_ignored(path, is_folder=True) == theirs.is_ignored_dir(str(root / path)), path


@pytest.mark.parametrize("separator", ["\r\n", "\r", "\n\n", "\x0b\n", " \n"])
def test_lines_end_where_dvc_ends_them(tmp_path: Path, separator: str) -> None:
    (tmp_path / ".dvcignore").write_bytes(separator.join(["a", "b\u2028c", "d\x0ce", "#f"]).encode())
    check_decisions_of(tmp_path, ["a", "b", "c", "d", "e", "#f", "b\u2028c", "d\x0ce", "a\x0b"])


def check_decisions_of(root: Path, names: list[str]) -> None:
    theirs = DvcIgnoreFilter(localfs, str(root))
    assert IgnoreRules(root).kept("", names, names) == theirs(str(root), [*names], [*names])


def test_a_pattern_that_dvc_cannot_read_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/.dvcignore").write_text("b\n!\n")
    with pytest.raises(CanonError, match=r"^a/\.dvcignore: '!' is no pattern"):
        IgnoreRules(tmp_path).is_ignored("a/b")
