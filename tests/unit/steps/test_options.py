"""`-S [file:]key=value`: read as DVC reads it, by Hydra's grammar; what is no single value of a known key is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from canon.model.errors import CanonError, UsageError
from canon.model.project import Pipeline, load_project
from canon.steps.options import settings_from_options
from canon.steps.settings import format_settings, settings_from_text
from tests.clustered import CLUSTER, COMMON, HEAD, make_clustered

STAGES = """\
stages:
  train: {cmd: sh t.sh, deps: [t.sh], params: [lr, {params/a.yaml: [a]}, {params/b.yaml: [b, lr]}], outs: [model]}
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    make_clustered(tmp_path, HEAD + STAGES, settings=COMMON + CLUSTER)
    (tmp_path / "params").mkdir()
    (tmp_path / "params.yaml").write_text("lr: 1\nonly: {deep: {er: 1}}\n")
    (tmp_path / "params/a.yaml").write_text("a: 1\n")
    (tmp_path / "params/b.yaml").write_text("b: [1]\nlr: 2\n")
    return load_project(tmp_path).pipelines[0]


@pytest.mark.parametrize(
    ("option", "file", "key", "value"),
    [
        ("a=1", "params/a.yaml", "a", 1),
        ("a=1e-3", "params/a.yaml", "a", 0.001),
        ("a=true", "params/a.yaml", "a", True),
        ("a=null", "params/a.yaml", "a", None),
        ("a=text", "params/a.yaml", "a", "text"),
        ("a='1,2: x'", "params/a.yaml", "a", "1,2: x"),
        ("a=", "params/a.yaml", "a", ""),
        ("b=[1,2.5,x]", "params/b.yaml", "b", [1, 2.5, "x"]),
        ("b={x: 1, y: [2]}", "params/b.yaml", "b", {"x": 1, "y": [2]}),
        ("only.deep.er=2", "params.yaml", "only.deep.er", 2),
        ("params/b.yaml:lr=0.1", "params/b.yaml", "lr", 0.1),
        ("params.yaml:lr=a:b", "params.yaml", "lr", "a:b"),
    ],
)
def test_a_value_of_a_key(pipeline: Pipeline, tmp_path: Path, option: str, file: str, key: str, value: Any) -> None:
    found = settings_from_options(tmp_path, pipeline, [option])
    assert found == {file: {key: value}}
    assert type(found[file][key]) is type(value)
    assert settings_from_text(format_settings(found)) == found


def test_several_keys_of_several_files(pipeline: Pipeline, tmp_path: Path) -> None:
    found = settings_from_options(tmp_path, pipeline, ["a=1", "params/b.yaml:lr=3", "b=2"])
    assert found == {"params/a.yaml": {"a": 1}, "params/b.yaml": {"lr": 3, "b": 2}}


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (
            ["lr=1"],
            CanonError,
            "params.yaml and params/b.yaml have the key `lr`; say which one is meant, as params.yaml:lr=VALUE",
        ),
        (
            ["nope=1"],
            CanonError,
            "no params file of toy has the key `nope` (known are params.yaml, params/a.yaml, params/b.yaml)",
        ),
        (["a.deep=1"], CanonError, "no params file of toy has the key `a.deep`"),
        (["a=1,2"], UsageError, "`canon sweep` runs each of them, and '[1,2]' is a list"),
        (["a=range(1,3)"], UsageError, "has several values"),
        (["a=choice(1,2)"], UsageError, "has several values"),
        (["a=interval(1,2)"], UsageError, "has several values"),
        (["a=1", "params/a.yaml:a=2"], UsageError, "`a` of params/a.yaml is given twice"),
        (["+a=1"], UsageError, "not added or removed"),
        (["++a=1"], UsageError, "not added or removed"),
        (["~a"], UsageError, "not added or removed"),
        (["a@b=1"], UsageError, "not added or removed"),
        (["a"], UsageError, "is no `[FILE:]KEY=VALUE`"),
        ([""], UsageError, "is no `[FILE:]KEY=VALUE`"),
        (["=1"], UsageError, "is no `[FILE:]KEY=VALUE`"),
        (["a=$(reboot)"], UsageError, "is no `[FILE:]KEY=VALUE`"),
        (["a=" + "[" * 5000], UsageError, "is no `[FILE:]KEY=VALUE`"),
        (["a=nan"], UsageError, "no number that a params file can have"),
        (["b=[1,inf]"], UsageError, "no number that a params file can have"),
        (["b={x: [-inf]}"], UsageError, "no number that a params file can have"),
        (["b={1: x}"], UsageError, "the key 1 is no text"),
    ],
    ids=lambda value: "" if isinstance(value, type) else str(value)[:30],
)
def test_what_is_refused(
    pipeline: Pipeline, tmp_path: Path, options: list[str], kind: type[CanonError], words: str
) -> None:
    with pytest.raises(kind) as raised:
        settings_from_options(tmp_path, pipeline, options)
    assert words in str(raised.value)
    assert len(str(raised.value)) < 700
