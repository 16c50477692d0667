from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sunspots.series import autoregression, load_series, mean_absolute_error
from tests.conftest import ROOT

SAMPLE = ROOT / "data" / "samples" / "sunspots.csv"
VALUES = st.lists(st.fractions(-100, 100, max_denominator=10), min_size=12, max_size=25)


@settings(max_examples=30)
@given(VALUES, st.integers(1, 5))
def test_the_line_is_the_one_of_least_squares(values: list[Fraction], lag: int) -> None:
    slope, intercept = autoregression(values, lag)
    errors = [later - slope * earlier - intercept for earlier, later in zip(values, values[lag:], strict=False)]
    # the errors of a least squares line are orthogonal to what it is made of
    assert sum(errors) == 0
    assert sum(error * earlier for error, earlier in zip(errors, values, strict=False)) == 0


@given(st.fractions(-2, 2, max_denominator=5), st.fractions(-5, 5, max_denominator=5))
def test_a_series_that_a_line_made_is_forecast_without_error(slope: Fraction, intercept: Fraction) -> None:
    values = [Fraction(1), Fraction(3)]
    for _ in range(20):
        values.append(slope * values[-1] + intercept)
    series = list(enumerate(values[1:]))
    assert mean_absolute_error(series, "ar", 1, 5) == 0


def test_the_mean_of_the_last_years_is_a_forecast_too() -> None:
    series = [(year, Fraction(value)) for year, value in enumerate([9, 9, 9, 1, 3, 10, 2])]
    assert mean_absolute_error(series, "mean", 2, 2) == (8 + 0) / Fraction(2)


@pytest.mark.parametrize(("model", "lag", "holdout"), [("ar", 0, 5), ("ar", 30, 5), ("ar", 1, 0), ("tree", 1, 5)])
def test_what_does_not_fit_is_said(model: str, lag: int, holdout: int) -> None:
    with pytest.raises(ValueError, match=r"do not fit 20 years|there is no model 'tree'"):
        mean_absolute_error([(year, Fraction(year)) for year in range(20)], model, lag, holdout)


def test_the_record_is_read_from_a_year_on(tmp_path: Path) -> None:
    assert load_series(SAMPLE)[0] == (1700, Fraction(5))
    assert load_series(SAMPLE, 1850)[0][0] == 1850
    bad = tmp_path / "bad.csv"
    bad.write_text("year,sunspots\n1700,5\n1701,many\n")
    with pytest.raises(ValueError, match=rf"{re.escape(str(bad))}: line 3: .*many"):
        load_series(bad)


def test_an_eleven_year_cycle_is_found_and_the_best_forecast_is_named(tmp_path: Path) -> None:
    for name in ("pipelines/__init__.py", "data/sunspots.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "pipelines/sunspots", tmp_path / "pipelines/sunspots")
    (tmp_path / "pipelines/__init__.py").write_text("")
    shutil.copy(SAMPLE, tmp_path / "data/sunspots.csv")

    def run(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", *arguments], cwd=tmp_path, check=True, capture_output=True)

    for lag in ("5", "11"):
        run("pipelines.sunspots.fit", "--lag", lag, "--holdout", "30", "--out", f"results/sunspots/fit/{lag}.json")
    run("pipelines.sunspots.compare", "fit")
    metrics = json.loads((tmp_path / "results/sunspots/metrics.json").read_text())
    assert metrics["forecasts"] == 2
    assert metrics["best"]["lag"] == 11
    table = (tmp_path / "results/sunspots/compare.csv").read_text().splitlines()
    assert table[0] == "model,lag,since,mae"
    assert len(table) == 3
