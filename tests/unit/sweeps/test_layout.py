"""What the points of a sweep share, and the tasks that they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from canon.model.errors import CanonError, ProblemsError
from canon.model.project import load_project
from canon.sweeps.layout import Layout, build_layout
from canon.sweeps.variants import load_points
from tests.conftest import git

CHAIN = """\
name: p
stages:
  prepare: {cmd: x, deps: [x.py], params: [{p.yaml: [prepare]}], outs: [prepared]}
  fit: {cmd: x, deps: [x.py, prepared], params: [{p.yaml: [fit]}], outs: [fitted]}
  see: {cmd: x, deps: [x.py, fitted], outs: [seen]}
"""
PARAMS = "prepare: {scale: 1}\nfit: {rate: 1, other: 1}\nnames: [a, b]\n"


def point(**keys: Any) -> Mapping[str, Mapping[str, Any]]:
    return {"p.yaml": {key.replace("_", "."): value for key, value in keys.items()}}


def layout_of(root: Path, declaration: str, points: Sequence[Mapping[str, Mapping[str, Any]]]) -> Layout:
    git(root, "init", "-q")
    (root / ".dvc").mkdir()
    (root / ".dvc/config").touch()
    (root / "pipelines").mkdir()
    (root / "pyproject.toml").write_text('[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n')
    (root / "pipelines/p.yaml").write_text(declaration)
    (root / "p.yaml").write_text(PARAMS)
    (root / "x.py").touch()
    project = load_project(root)
    pipeline = project.pipeline("p")
    layout = build_layout(pipeline.declaration, load_points(project, pipeline, points))
    assert (root / "p.yaml").read_text() == PARAMS
    return layout


def nodes(layout: Layout) -> dict[str, tuple[str, ...]]:
    return {node.name: node.parents for node in layout.nodes}


GRID = [point(prepare_scale=scale, fit_rate=rate) for scale in (1, 2) for rate in (1, 2)]


def test_stages_that_are_the_same_run_once_at_the_first_point_that_has_them(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, CHAIN, GRID)
    assert nodes(layout) == {
        "p0-prepare": (), "p0-fit": ("p0-prepare",), "p0-see": ("p0-fit",), "deliver-0": ("p0-see",),
        "p1-fit": ("p0-prepare",), "p1-see": ("p1-fit",), "deliver-1": ("p1-see",),
        "p2-prepare": (), "p2-fit": ("p2-prepare",), "p2-see": ("p2-fit",), "deliver-2": ("p2-see",),
        "p3-fit": ("p2-prepare",), "p3-see": ("p3-fit",), "deliver-3": ("p3-see",),
    }  # fmt: skip
    assert layout.owners[3] == {"prepare": 2, "fit": 3, "see": 3}
    assert (layout.runs, layout.stages) == (10, 12)


def test_a_chain_is_cut_where_points_part(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, CHAIN + "workflow: {group: chain}\n", GRID)
    assert {node.name: node.task.stages for node in layout.nodes if not node.is_deliver} == {
        "p0-prepare": ("prepare",), "p0-fit": ("fit", "see"), "p1-fit": ("fit", "see"),
        "p2-prepare": ("prepare",), "p2-fit": ("fit", "see"), "p3-fit": ("fit", "see"),
    }  # fmt: skip


def test_points_without_a_difference_in_any_stage_share_all(tmp_path: Path) -> None:
    declaration = CHAIN.replace("fit]", "fit.rate, fit.other]")
    layout = layout_of(tmp_path, declaration, [point(fit_rate=1, fit_other=1), point(fit_rate=1)])
    assert nodes(layout)["deliver-1"] == ("p0-see",)
    assert layout.runs == 3


@pytest.mark.parametrize(
    ("declaration", "runs"),
    [
        (CHAIN, 3 + 2),
        (CHAIN.replace("x, deps: [x.py], params", "'x ${fit.rate}', deps: [x.py], params").replace("name: p\n", "name: p\nvars: [p.yaml]\n"), 6),
        (CHAIN.replace("deps: [x.py], params", "deps: [x.py, p.yaml], params"), 6),
        (CHAIN.replace("fitted], outs", "fitted], always_changed: true, outs"), 3 + 2),
        (CHAIN.replace("deps: [x.py], params", "always_changed: true, deps: [x.py], params"), 6),
        (CHAIN + "  alone: {cmd: x, deps: [x.py], outs: [alone]}\n", 4 + 2),
    ],
    ids=["plain", "a template brings it into a command", "the whole file is a dep", "below", "never known", "beside"],
)  # fmt: skip
def test_what_a_stage_is_decides_not_the_names_of_its_params(tmp_path: Path, declaration: str, runs: int) -> None:
    assert layout_of(tmp_path, declaration, [point(fit_rate=1), point(fit_rate=2)]).runs == runs


def test_points_may_have_other_stages(tmp_path: Path) -> None:
    declaration = """\
name: p
vars: [p.yaml]
workflow: {group: chain}
stages:
  prepare: {cmd: x, deps: [x.py], outs: [prepared]}
  fit:
    foreach: ${names}
    do: {cmd: 'x ${item}', deps: [x.py, prepared], outs: ['fitted/${item}']}
"""
    layout = layout_of(tmp_path, declaration, [point(names=["a"]), point(names=["a", "b"])])
    assert nodes(layout) == {
        "p0-prepare": (), "p0-fit--40a": ("p0-prepare",), "deliver-0": ("p0-fit--40a",),
        "p1-fit--40b": ("p0-prepare",), "deliver-1": ("p0-fit--40a", "p1-fit--40b"),
    }  # fmt: skip


def test_a_value_that_a_stage_must_not_have_is_refused_at_its_point(tmp_path: Path) -> None:
    templated = CHAIN.replace("cmd: x, deps: [x.py], params", "cmd: 'x ${fit.rate}', deps: [x.py], params").replace("name: p\n", "name: p\nvars: [p.yaml]\n")  # fmt: skip
    with pytest.raises(CanonError, match="the shell would read it"):
        layout_of(tmp_path, templated, [point(fit_rate=1), point(fit_rate="1; rm -rf ~")])
    assert (tmp_path / "p.yaml").read_text() == PARAMS
    project = load_project(tmp_path)
    pipeline = project.pipeline("p")
    for values, says in (
        ({"other.yaml": {"a": 1}}, "is no params file"),
        (point(fit_nothing=1), "has no key `fit.nothing`"),
    ):
        with pytest.raises(CanonError, match=says):
            load_points(project, pipeline, [values])
    with pytest.raises(ProblemsError):  # the template cannot be filled in without it
        load_points(project, pipeline, [point(fit=7)])
    assert (tmp_path / "p.yaml").read_text() == PARAMS
