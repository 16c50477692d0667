"""What `-S` says, and the points that it means."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from canon.model.errors import CanonError, UsageError
from canon.model.project import Pipeline, load_project
from canon.sweeps.overrides import load_overrides
from canon.sweeps.points import Sweep, build_sweep, format_sweep, point_params, space_of, sweep_from_text, sweep_hash

DECLARATION = """\
name: p
stages:
  fit: {cmd: x, deps: [x], outs: [y], params: [{a.yaml: [fit, both]}, {b.yaml: [both, names]}, {c.json: [key]}]}
"""
FILE = "a.yaml"


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    (tmp_path / "pyproject.toml").write_text('[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n')
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/p.yaml").write_text(DECLARATION)
    (tmp_path / "a.yaml").write_text("fit: {lr: 0.1, depth: 3, name: a}\nboth: 1\n")
    (tmp_path / "b.yaml").write_text("both: 2\nnames: [x, y]\n")
    (tmp_path / "c.json").write_text('{"key": 1}')
    return load_project(tmp_path).pipeline("p")


class Space:
    """Reads `-S` in the project."""

    def __init__(self, root: Path, pipeline: Pipeline) -> None:
        self.root, self.pipeline = root, pipeline

    def sweep(self, *texts: str, samples: int | None = None, seed: int = 0, most: int = 200) -> Sweep:
        return build_sweep(load_overrides(self.root, self.pipeline, texts, most), samples, seed, most)

    def values(self, text: str, key: str, file: str = FILE, **more: Any) -> list[Any]:
        return [point[file][key] for point in self.sweep(text, **more).points]


@pytest.fixture
def space(tmp_path: Path, pipeline: Pipeline) -> Space:
    return Space(tmp_path, pipeline)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.1,0.01", [0.1, 0.01]),
        ("1e-3", [0.001]),
        ("choice(a,b)", ["a", "b"]),
        ("range(1,10,2)", [1, 3, 5, 7, 9]),
        ("range(1,3)", [1, 2]),
        ("range(0,1,0.25)", [0.0, 0.25, 0.5, 0.75]),
        ("range(3,0,-1)", [3, 2, 1]),
        ("sort(3,1,2)", [1, 2, 3]),
        ("true,null,''", [True, None, ""]),
        ("[1,2],[3]", [[1, 2], [3]]),
        ("{a:1,b:[x]}", [{"a": 1, "b": ["x"]}]),
        ("'x,y',\"it's\"", ["x,y", "it's"]),
        ("1,1.0,1", [1, 1.0]),
        ("'$(rm -rf /)',';'", ["$(rm -rf /)", ";"]),
    ],
)
def test_values_are_what_hydra_reads(space: Space, text: str, values: list[Any]) -> None:
    assert json.dumps(space.values(f"fit.lr={text}", "fit.lr")) == json.dumps(values)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fit.lr", "is no setting"),
        (":fit.lr=1", "is no setting"),
        ("fit.lr=[", "Hydra cannot read it"),
        ("fit.lr=" + "[" * 5000, "Hydra cannot read it"),
        ("+fit.lr=1", "that can be set"),
        ("a.yaml:~fit.lr=1", "that can be set"),
        ("a.yaml:+fit.lr=1", "that can be set"),
        ("a.yaml:fit@lr=1", "that can be set"),
        ("fit.lr=range(1,1000000000)", "says more than 200 values"),
        ("fit.lr=range(0,1,1e-12)", "says more than 200 values"),
        ("fit.lr=range(1,2,0)", "by steps that are not 0"),
        ("fit.lr=range(2,1)", "says no value"),
        ("fit.lr=range(1,inf)", "goes from a number"),
        ("fit.lr=1,range(1,3)", "a sweep within a list"),
        ("fit.lr=shuffle(1,2)", "neither `glob` nor `shuffle`"),
        ("fit.lr=glob(*)", "neither `glob` nor `shuffle`"),
        ("fit.lr=tag(x,choice(1,2))", "neither `glob` nor `shuffle`"),
        ("fit.lr=tag(x,interval(1,2))", "only `log` is known"),
        ("fit.lr=tag(log,interval(0,2))", "numbers above 0"),
        ("fit.lr=interval(2,1)", "to a larger one"),
        ("fit.lr=nan,1", "no number that JSON has"),
        ("fit.lr=[1,[inf]]", "no number that JSON has"),
        ("fit.lr=${fit.depth}", "is not filled in here"),
        ("nothing=1", "no params file of p has the key `nothing`"),
        ("key=1", "no params file of p has the key `key`"),
        ("both=1,2", "a.yaml and b.yaml have the key `both`; say which one is meant, as a.yaml:both="),
    ],
)  # fmt: skip
def test_what_is_no_space_is_refused_with_what_helps(space: Space, text: str, says: str) -> None:
    with pytest.raises(CanonError) as refused:
        space.sweep(text, samples=2 if "interval" in text else None)
    assert says in str(refused.value)
    assert refused.value.exit_code == (1 if text in {"nothing=1", "key=1", "both=1,2"} else 2)


def test_every_combination_once_and_no_more_than_is_meant(space: Space) -> None:
    swept = space.sweep("fit.lr=0.1,0.01", "b.yaml:both=1,2", "a.yaml:both=7")
    assert swept.points == (
        {"a.yaml": {"fit.lr": 0.1, "both": 7}, "b.yaml": {"both": 1}},
        {"a.yaml": {"fit.lr": 0.1, "both": 7}, "b.yaml": {"both": 2}},
        {"a.yaml": {"fit.lr": 0.01, "both": 7}, "b.yaml": {"both": 1}},
        {"a.yaml": {"fit.lr": 0.01, "both": 7}, "b.yaml": {"both": 2}},
    )
    assert swept.space == {"fit.lr": "0.1,0.01", "b.yaml:both": "1,2", "a.yaml:both": "7"}
    assert swept.name(swept.points[1]) == "fit.lr=0.1, a.yaml:both=7, b.yaml:both=2"
    assert point_params(swept.points[1], swept.space) == {"fit.lr": 0.1, "a.yaml:both": 7, "b.yaml:both": 2}
    grid = ("fit.lr=range(0,20)", "fit.depth=range(0,20)", "fit.name=a,b")
    with pytest.raises(UsageError, match=r"800 points, and at most 200 are meant; .* --max-points 800"):
        space.sweep(*grid)
    assert len(space.sweep(*grid, most=800).points) == 800


@pytest.mark.parametrize(
    "texts", [("fit.lr=1", "fit.lr=2"), ("fit={lr: 1}", "fit.lr=2"), ("fit.lr=1", "a.yaml:fit={}")]
)
def test_one_param_is_set_once(space: Space, texts: Sequence[str]) -> None:
    with pytest.raises(UsageError, match="twice"):
        space.sweep(*texts)
    assert len(space.sweep("fit.lr=1", "fit.depth=2").points) == 1


def test_samples_are_the_same_for_a_seed_and_begin_with_the_fewer(space: Space) -> None:
    text = "fit.lr=tag(log, interval(0.001,1))"
    few, many = space.values(text, "fit.lr", samples=5), space.values(text, "fit.lr", samples=50)
    assert few == many[:5] == space.values(text, "fit.lr", samples=5)
    assert len(set(many)) == 50
    assert all(0.001 <= value <= 1 for value in many)
    assert 10 < sum(value < math.sqrt(0.001) for value in many) < 40  # evenly by the logarithm
    assert few != space.values(text, "fit.lr", samples=5, seed=1)
    both = space.sweep(text, "fit.depth=int(interval(1,3))", samples=5)
    assert [point["a.yaml"]["fit.lr"] for point in both.points] == few
    assert {
        point["a.yaml"]["fit.depth"] for point in space.sweep("fit.depth=int(interval(1,3))", samples=50).points
    } == {1, 2, 3}
    assert len(space.sweep(text, "fit.name=a,b", samples=5).points) == 10


def test_samples_and_intervals_belong_together(space: Space) -> None:
    with pytest.raises(UsageError, match="give --samples"):
        space.sweep("fit.lr=interval(0,1)")
    with pytest.raises(UsageError, match="no -S names one"):
        space.sweep("fit.lr=1", samples=3)
    with pytest.raises(UsageError, match="nothing to sweep over"):
        space.sweep()


def test_a_sweep_comes_back_from_its_text(space: Space) -> None:
    swept = space.sweep("fit.lr=0.1,0.01", "fit.name='ä, \"x\"'")
    assert sweep_from_text(format_sweep(swept)) == swept
    with pytest.raises(CanonError, match="sweep in several parts"):
        format_sweep(Sweep({}, tuple({"a.yaml": {"fit.name": "x" * 1000 + str(number)}} for number in range(100))))
    documents = [[], {"space": {}, "points": []}, {"space": [], "points": [{}]}, {"space": {}, "points": [{"a": 1}]}]
    for bad in ("", "!", base64.b64encode(b"x").decode(), *(base64.b64encode(json.dumps(each).encode()).decode() for each in documents)):  # fmt: skip
        with pytest.raises(CanonError, match="`points` is not base64 of JSON"):
            sweep_from_text(bad)


def test_the_name_of_a_sweep_is_that_of_its_points_in_any_order(space: Space) -> None:
    one, other = space.sweep("fit.lr=1,2").points, space.sweep("fit.lr=2,1").points
    assert sweep_hash("p", "local", "t", one) == sweep_hash("p", "local", "t", other)
    names = {sweep_hash("p", "local", "t", one), sweep_hash("q", "local", "t", one), sweep_hash("p", "x", "t", one), sweep_hash("p", "local", "u", one), sweep_hash("p", "local", "t", one[:1])}  # fmt: skip
    assert len(names) == 5
    assert space_of([]) == {}
