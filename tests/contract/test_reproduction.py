"""dvc.lock as DVC writes it, in the order in which DVC writes it, for random entries and orders; and a graph that DVC runs, too."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import modify_yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from canon.dvc.reproduction.lockfile import LockFile
from tests.conftest import Run
from tests.e2e import graphs

NAMES = [f"s{number}" for number in range(6)]
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")), min_size=1, max_size=60)
"""Of \\x85 DVC makes a blank."""
FLOATS = st.floats().map(lambda value: float(f"{value:.9g}"))
"""Of those with 16 digits and an exponent DVC's reader and writer change the last digit, each time that DVC writes another entry."""
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | TEXT | st.sampled_from(["on", "1e3", "a: b", "- x", "# c", "x " * 60, "a\nb\n", "2020-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc ", min_size=1, max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
ENTRIES = st.fixed_dictionaries({"cmd": TEXT | st.lists(TEXT, min_size=1, max_size=2), "params": st.dictionaries(st.just("p.yaml"), st.dictionaries(st.text("xyz.", min_size=1, max_size=4), VALUES, max_size=3), max_size=1)})  # fmt: skip


def dvc_writes(path: Path, entries: dict[str, Any]) -> None:
    """As dvc/dvcfile.py, ``dump_stages``, one stage after the other."""
    for name, entry in entries.items():
        with modify_yaml(str(path)) as data:
            if not data:
                data.update({"schema": "2.0"})
            data["stages"] = data.get("stages", {})
            data["stages"].update({name: OrderedDict(entry)})


@settings(max_examples=25)
@given(
    before=st.dictionaries(st.sampled_from([*NAMES, "gone"]), ENTRIES, max_size=3),
    entries=st.dictionaries(st.sampled_from(NAMES), ENTRIES, min_size=1),
    order=st.permutations(NAMES),
)
def test_entries_that_come_in_any_order_are_written_as_dvc_does(
    before: dict[str, Any], entries: dict[str, Any], order: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        wanted, path = Path(name, "dvc.lock"), Path(name, "ours/dvc.lock")
        path.parent.mkdir()
        dvc_writes(wanted, before)
        if before:
            path.write_bytes(wanted.read_bytes())
        dvc_writes(wanted, {each: entries[each] for each in NAMES if each in entries})
        file, final = LockFile(path, NAMES, Path(name, "scratch")), set(NAMES) - set(entries)
        for each in order:
            if each in entries:
                file.put(each, OrderedDict(entries[each]))
                final.add(each)
                file.flush(final.__contains__)
        assert not file.waits
        assert path.read_bytes() == wanted.read_bytes()


def test_an_entry_waits_for_those_before_it(tmp_path: Path) -> None:
    file = LockFile(tmp_path / "dvc.lock", ["a", "b", "c"], tmp_path)
    file.put("b", {"cmd": "b"})
    assert file.flush({"b"}.__contains__) == ()
    assert file.flush({"a", "b"}.__contains__) == ("b",)
    file.put("a", {"cmd": "a"})
    file.put("b", {"cmd": "another"})
    assert file.flush({"b"}.__contains__) == ("b", "a"), "one that is there has its place"
    assert (tmp_path / "dvc.lock").read_text() == "schema: '2.0'\nstages:\n  b:\n    cmd: another\n  a:\n    cmd: a\n"


def test_what_another_process_wrote_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    file = LockFile(path, ["a", "b"], tmp_path)
    file.put("a", {"cmd": "a"})
    file.flush(lambda _: True)
    dvc_writes(path, {"other": {"cmd": "x"}})
    file.put("b", {"cmd": "b"})
    file.flush(lambda _: True)
    assert path.read_text() == "schema: '2.0'\nstages:\n  a:\n    cmd: a\n  other:\n    cmd: x\n  b:\n    cmd: b\n"


@pytest.mark.parametrize(
    "text",
    [
        "schema: '2.0'\nstages: {}\n", "schema: '2.0'\nstages: {a: {cmd: x}}\n", "schema: '2.0'\n", "",
        "schema: '2.0'\nstages:\n  a: &x\n    cmd: x\n  z: *x\n",
        "# top\nstages:\n  # of a\n  a:\n    cmd: |\n      one\n      two\n\n  # of z\n  z:\n    cmd: y # why\n# end\nschema: '2.0'\ndatasets: []\n",
    ],
)  # fmt: skip
def test_a_file_of_any_shape(tmp_path: Path, text: str) -> None:
    wanted, path = tmp_path / "wanted", tmp_path / "dvc.lock"
    wanted.write_text(text)
    path.write_text(text)
    dvc_writes(wanted, {"a": {"cmd": "new"}, "b": {"cmd": "b"}})
    file = LockFile(path, ["a", "b"], tmp_path)
    file.put("a", {"cmd": "new"})
    file.put("b", {"cmd": "b"})
    file.flush(lambda _: True)
    assert path.read_text() == wanted.read_text()


def test_a_write_that_fails_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    file = LockFile(path, ["a", "b"], tmp_path)
    file.put("a", {"cmd": "a"})
    file.flush(lambda _: True)
    before = path.read_bytes()
    (tmp_path / "dvc.lock.new").mkdir()
    file.put("b", {"cmd": "b"})
    with pytest.raises(OSError, match=r"dvc\.lock\.new"):
        file.flush(lambda _: True)
    assert path.read_bytes() == before


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("seed", [7])
def test_a_graph_side_by_side(run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """What tests/e2e/test_run_equality.py does at length, for each DVC that is supported."""
    root = graphs.make_project(tmp_path_factory, tmp_path / "a", graphs.random_pipeline(seed, 8))
    other = tmp_path / "b"
    run(tmp_path, "cp", "-a", "a", "b")
    code = graphs.repro(other)
    assert (run(root, "canon", "run", "-k", "-j", "4", code=None).returncode == 0) == (code == 0)
    assert graphs.state(root) == graphs.state(other)
