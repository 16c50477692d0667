"""Names, the table in pyproject.toml, edits in place, and the hook's text: what needs no repository."""

from __future__ import annotations

import resource
import tomllib
from pathlib import Path

import pytest

from canon.adoption.declare import format_declaration
from canon.adoption.names import name_from_text, name_of_folder
from canon.adoption.settings import TABLE, has_settings, settings_file
from canon.adoption.view import BLOCKS, View, differences, is_same
from canon.adoption.written import write_all
from canon.model.errors import CanonError
from canon.model.project import load_settings
from canon.output.files import RenderedFile, write_files
from canon.output.yaml import load_yaml


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("co2", "co2"), ("My Project", "my-project"), ("Été à Köln", "ete-a-koln"), ("2024_model", "p-2024-model"), ("---", "pipeline"), ("日本", "pipeline"),
        ("x" * 60, "x" * 40), ("dvc", "dvc-pipeline"), ("params", "params-pipeline"), ("a.b__c", "a-b-c"),
    ],
)  # fmt: skip
def test_a_name_is_made_of_any_text(text: str, name: str) -> None:
    assert name_from_text(text) == name
    assert name_from_text(name) == name


def test_a_folder_gives_its_name_then_its_path_then_a_number() -> None:
    assert name_of_folder("a/train", "root", ()) == "train"
    assert name_of_folder("a/train", "root", {"train"}) == "a-train"
    assert name_of_folder("a/train", "root", {"train", "a-train"}) == "a-train-2"
    assert name_of_folder("", "My Root", ()) == "my-root"
    long = name_of_folder("y/" + "x" * 50, "root", {"x" * 40, "y-" + "x" * 38})
    assert len(long) == 40
    assert long.endswith("-2")


@pytest.mark.parametrize(
    "text",
    [
        "", "# only a comment", "[project]\nname = 'x' # keep\n", "[project]\nname = 'x'", "[tool.ruff]\r\nline-length = 1\r\n", "[tool]\nx = 1\n",
        "[[tool.uv.index]]\nname = 'é'\n\n\n",
    ],
)  # fmt: skip
def test_the_table_is_added_behind_what_stands_in_pyproject(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_bytes(text.encode())
    assert not has_settings(tmp_path)
    file = settings_file(tmp_path)
    assert file.text.startswith(text)
    assert ("\r\n" in text) == ("\r\n" in file.text.removeprefix(text))
    write_files(tmp_path, [file])
    assert has_settings(tmp_path)
    assert load_settings(tmp_path).default_profile == "local"
    before = tomllib.loads(text)
    after = tomllib.loads(file.text)
    assert {**after, "tool": {key: value for key, value in after["tool"].items() if key != "canon"}} == {
        "tool": {},
        **before,
    }


def test_no_pyproject_gives_one_with_the_table(tmp_path: Path) -> None:
    assert settings_file(tmp_path).text == TABLE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tool = {ruff = {}}\n", "cannot be added"),
        ("tool.ruff.x = 1\n", "cannot be added"),
        ("[a\n", "is not TOML"),
        ("\ufeff[a]\n", "is not TOML"),
    ],
)
def test_a_pyproject_that_takes_no_table_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    if words == "cannot be added" and text.startswith("tool.ruff"):  # dotted keys do take one
        assert "[tool.canon]" in settings_file(tmp_path).text
        return
    with pytest.raises(CanonError, match=words):
        settings_file(tmp_path)


def test_files_are_written_all_or_none(tmp_path: Path) -> None:
    """The third is larger than a file may be: the first, which was there, and the second, which was not, are as they were."""
    (tmp_path / "a").write_text("old\n")
    files = [RenderedFile("a", "new\n"), RenderedFile("b/c", "new\n"), RenderedFile("d", "x" * 5000)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(CanonError, match="cannot write"):
            write_all(tmp_path, files)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == {"a": "old\n"}
    assert write_all(tmp_path, files) == ("a", "b/c", "d")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1, True), (1, True, False), (1, 1.0, False), (float("nan"), float("nan"), True), ([1], [1, 2], False), ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"b": 1}, False), ("1", 1, False), ({"a": 1, "b": [None]}, {"b": [None], "a": 1}, False),
    ],
)  # fmt: skip
def test_values_are_the_same_when_their_kinds_are(one: object, other: object, *, same: bool) -> None:
    assert is_same(one, other) == same


def test_an_empty_meta_is_none() -> None:
    blocks = dict.fromkeys(BLOCKS)
    before, after = View({"a": {"cmd": "x", "meta": None}}, blocks), View({"a": {"cmd": "x"}}, blocks)
    assert list(differences(before, after)) == []
    assert [path for path, _ in differences(before, View({"a": {"meta": None}}, blocks))] == ["stages.a.cmd"]


def test_only_what_differs_is_changed_in_a_folder() -> None:
    text = "stages:\n  a: {cmd: x, wdir: 'w'} # one\n  b:\n    # two\n    cmd: y\nmetrics: [\"m.json\", /abs]\n"
    declared = format_declaration(text, load_yaml(text, "dvc.yaml"), "sub/dvc.yaml", "sub")
    assert declared.text == (
        "name: sub\ndvc_file: sub/dvc.yaml\ntrack: false  # no last stage writes and logs the result; `canon log` does, or remove this line\n"
        "stages:\n  a: {cmd: x, wdir: 'sub/w'} # one\n  b:\n    # two\n    wdir: sub\n    cmd: y\nmetrics: [\"sub/m.json\", /abs]\n"
    )


def test_a_value_that_no_declaration_holds_is_named() -> None:
    with pytest.raises(CanonError, match=r"cannot hold the value b'a'"):
        format_declaration("", {"stages": {"a": {"cmd": "x", "meta": b"a"}}}, "dvc.yaml", "a")
