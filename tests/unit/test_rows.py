"""Which files of a result MLflow is told of: by the entries alone, whoever wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from canon.mlflow.artifacts import staged
from canon.model.errors import CanonError
from canon.model.pins import Pins
from canon.model.project import Pipeline, load_declaration
from canon.model.settings import Settings
from canon.results.rows import plot_outs, recorded_outs

DECLARATION = """\
name: some
stages:
  each:
    foreach: [a, b]
    do:
      wdir: sub
      cmd: draw ${item}
      outs: ["../models/${item}"]
      plots: ["curves/${item}.csv"]
  last:
    cmd: draw all
    outs: [out/shown.csv, out/other.csv]
plots:
  - all of them: {x: x, y: {out/shown.csv: y}}
"""


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    settings = Settings.model_validate({"default_profile": "local", "profiles": {"local": {}}})
    declaration, raw = load_declaration(DECLARATION, "pipelines/some.yaml", settings)
    return Pipeline(file="pipelines/some.yaml", declaration=declaration, raw=raw, pins=Pins())


def entries(**outs: list[str]) -> dict[str, dict[str, Any]]:
    return {
        name: {"cmd": "x", "outs": [{"path": path, "md5": "0" * 32} for path in paths]} for name, paths in outs.items()
    }


def test_paths_are_those_of_the_root_also_where_a_stage_has_a_folder_of_its_own(pipeline: Pipeline) -> None:
    recorded = {**entries(last=["out/other.csv"]), "each@a": entries(x=["../models/a", "curves/a.csv"])["x"]}
    assert [path for _, path, _ in recorded_outs(pipeline, recorded)] == [
        "out/other.csv",
        "models/a",
        "sub/curves/a.csv",
    ]


def test_plots_are_what_the_stage_or_the_top_level_shows(pipeline: Pipeline) -> None:
    recorded = {
        **entries(last=["out/shown.csv", "out/other.csv"]),
        "each@b": entries(x=["../models/b", "curves/b.csv"])["x"],
    }
    assert [path for path, _ in plot_outs(pipeline, recorded)] == ["out/shown.csv", "sub/curves/b.csv"]


def test_an_entry_that_leads_out_of_the_repository_is_no_plot(pipeline: Pipeline) -> None:
    recorded = {"each@a": entries(x=["curves/../../../../etc/a.csv", "/curves/a.csv"])["x"]}
    assert list(plot_outs(pipeline, recorded)) == []


@pytest.mark.parametrize("name", ["../out.txt", "plots/../../out.txt", "/tmp/out.txt"])  # noqa: S108  it must not be written
def test_no_artifact_is_written_outside_of_its_folder(tmp_path: Path, name: str) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    with pytest.raises(CanonError, match="no name of an artifact"), staged({name: source}):
        pass
