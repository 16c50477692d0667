"""The features, the model and the records of co2, as functions."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.co2.evaluate import root_mean_square, seasonal_naive
from pipelines.co2.features import FIRST, LAST, SCALE, bump, decades, features, parse_date, phase, season
from pipelines.co2.model import Model, fit, format_model, load_model
from pipelines.co2.prepare import fill_gaps
from pipelines.co2.record import load_record, load_rows
from pipelines.co2.train import locked_requirements
from tests.conftest import ROOT

DAYS = st.dates(FIRST, LAST)


# --- Features ---------------------------------------------------------------------------------------------------------


@given(DAYS, st.integers(4, 52))
def test_the_splines_of_a_day_add_up_to_one(day: dt.date, knots: int) -> None:
    splines = season(day, knots)
    assert len(splines) == knots
    assert sum(splines) == 1
    assert all(0 <= value <= Fraction(2, 3) for value in splines)
    assert 3 <= sum(1 for value in splines if value) <= 4


@given(st.fractions(-1, 5))
def test_the_spline_is_the_convolution_of_four_boxes(x: Fraction) -> None:
    # de Boor's recursion, the textbook definition
    def cardinal(order: int, x: Fraction) -> Fraction:
        if order == 1:
            return Fraction(int(0 <= x < 1))
        return (x * cardinal(order - 1, x) + (order - x) * cardinal(order - 1, x - 1)) / (order - 1)

    assert bump(x) == cardinal(4, x)


def test_the_season_is_a_circle() -> None:
    for year in (1999, 2000):  # a common year and a leap year
        days = [dt.date(year, 1, 1) + dt.timedelta(days=number) for number in range(367)]
        phases = [phase(day) for day in days if day.year == year]
        assert phases[0] == 0
        assert phases == sorted(set(phases))
        assert phases[-1] == 1 - Fraction(1, len(phases))
    before, after = season(dt.date(2001, 12, 31), 12), season(dt.date(2002, 1, 1), 12)
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) < Fraction(1, 30)


@settings(max_examples=40)
@given(DAYS, st.integers(1, 5), st.integers(4, 20))
def test_features_are_whole_multiples_of_their_exact_values(day: dt.date, degree: int, knots: int) -> None:
    row = features(day, degree, knots)
    time = Fraction((day - dt.date(1980, 1, 1)).days * 10, 36525)
    assert time == decades(day)
    exact = [time**power for power in range(1, degree + 1)] + season(day, knots)
    assert all(isinstance(value, int) for value in row)
    assert all(abs(value - each * SCALE) <= Fraction(1, 2) for value, each in zip(row, exact, strict=True))


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2020-13-01", "2020-02-30", "1899-12-31", "2200-01-01", "20/01/2020", "nan"]
)
def test_what_is_no_date_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text[:4] or "''")):
        parse_date(text)


def test_a_date_may_carry_a_time() -> None:
    assert parse_date(" 2020-02-29T12:00:00Z") == dt.date(2020, 2, 29)
    assert parse_date("2020-02-29 00:00:00") == dt.date(2020, 2, 29)


# --- Model ------------------------------------------------------------------------------------------------------------

MODELS = st.integers(1, 3).flatmap(
    lambda degree: st.integers(4, 8).flatmap(
        lambda knots: st.lists(
            st.decimals(-1000, 1000, places=6), min_size=degree + knots, max_size=degree + knots
        ).map(lambda weights: Model(degree, knots, tuple(map(str, weights))))
    )
)


@settings(max_examples=40)
@given(MODELS, DAYS)
def test_a_prediction_is_the_exact_sum_rounded_once(model: Model, day: dt.date) -> None:
    row = features(day, model.degree, model.knots)
    terms = [
        Fraction(Decimal(weight)) * Fraction(value, SCALE)
        for weight, value in zip(model.coefficients, row, strict=True)
    ]
    total = Fraction(0)
    for term in sorted(terms):  # another order
        total += term
    assert model.predict(day) == total.numerator / total.denominator


@given(MODELS)
@settings(max_examples=20)
def test_a_model_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, model: Model) -> None:
    path = tmp_path_factory.mktemp("model") / "coefficients.json"
    path.write_text(format_model(model))
    loaded = load_model(path)
    assert loaded == model
    assert format_model(loaded) == format_model(model)


def weeks(count: int, start: dt.date = dt.date(2000, 1, 1)) -> list[dt.date]:
    return [start + dt.timedelta(days=7 * number) for number in range(count)]


def test_data_that_a_model_made_give_the_model_back() -> None:
    days = weeks(300)
    truth = Model(1, 6, ("18.5", "340", "342", "341", "338", "337", "339"))
    values = [Decimal(str(truth.predict(day))) for day in days]
    found = fit(days, values, degree=1, knots=6, alpha=0)
    assert found.coefficients == pytest.approx([float(weight) for weight in truth.coefficients], abs=0) or all(
        abs(Fraction(a) - Fraction(b)) < Fraction(1, 10**6) for a, b in zip(found.coefficients, truth.coefficients, strict=True)
    )  # fmt: skip


def test_the_fit_is_the_least_squares_solution_that_numpy_finds() -> None:
    import numpy as np

    days = weeks(200)
    values = [Decimal(str(round(350 + 3 * float(phase(day)) + number % 7 * 0.1, 2))) for number, day in enumerate(days)]
    degree, knots, alpha = 2, 5, 1e-3
    found = fit(days, values, degree=degree, knots=knots, alpha=alpha)
    rows = np.array([features(day, degree, knots) for day in days], dtype=float) / SCALE
    center = float(sum(values) / len(values))
    prior = np.array([0.0] * degree + [center] * knots)
    penalty = np.diag([0.0] + [alpha * len(days)] * (degree + knots - 1))
    solution = np.linalg.solve(
        rows.T @ rows + penalty, rows.T @ np.array([float(value) for value in values]) + penalty @ prior
    )
    assert [float(weight) for weight in found.coefficients] == pytest.approx(solution.tolist(), rel=1e-6)


def test_the_order_of_the_rows_does_not_change_the_fit() -> None:
    days = weeks(120)
    values = [Decimal(350 + number % 11) for number in range(120)]
    pairs = list(zip(days, values, strict=True))
    turned = pairs[::-1]
    assert fit(days, values, degree=1, knots=6, alpha=1e-6) == fit([day for day, _ in turned], [value for _, value in turned], degree=1, knots=6, alpha=1e-6)  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"degree": 0}, "degree 0"), ({"degree": 6}, "degree 6"), ({"knots": 3}, "knots 3"), ({"knots": 53}, "knots 53"), ({"alpha": -1.0}, "alpha -1.0")],
)  # fmt: skip
def test_parameters_that_no_model_has_are_said(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fit(weeks(120), [Decimal(1)] * 120, **{"degree": 1, "knots": 6, "alpha": 0.0, **changed})


def test_data_that_do_not_determine_the_model_are_said() -> None:
    with pytest.raises(ValueError, match="lower knots"):
        fit(weeks(3), [Decimal(1)] * 3, degree=1, knots=12, alpha=0)
    with pytest.raises(ValueError, match="no rows to fit"):
        fit([], [], degree=1, knots=12, alpha=1)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "{}", '{"degree": 1, "knots": 4, "coefficients": ["a"]}', '{"degree": 1, "knots": 4, "coefficients": ["1"]}', '{"degree": "x", "knots": 4, "coefficients": []}', '{"degree": 1, "knots": 4, "coefficients": 3}', '{"degree": 1, "knots": 4, "coefficients": ["1", "1", "1", "1", "nan"]}'],
)  # fmt: skip
def test_a_file_that_holds_no_model_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "coefficients.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        load_model(path)


# --- Record and gaps --------------------------------------------------------------------------------------------------


def record(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "raw.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: the columns must be `date,co2`"),
        ("day,co2\n", "line 1: the columns must be `date,co2`"),
        ("date,co2\n2000-01-01,350\n2000-01-08\n", "line 3: 1 columns, not 2"),
        ("date,co2\n2000-01-01,350,1\n", "line 2: 3 columns, not 2"),
        ("date,co2\n2000-01-32,350\n", "line 2: '2000-01-32' is no date"),
        ("date,co2\n2000-01-01,a\n", "line 2: 'a' is no number"),
        ("date,co2\n2000-01-01,nan\n", "line 2: "),
        ("date,co2\n2000-01-01,inf\n", "line 2: "),
        ("date,co2\n2000-01-01,-1\n", "line 2: -1 ppm cannot be"),
        ("date,co2\n2000-01-01,3500\n", "line 2: 3500 ppm cannot be"),
        ("date,co2\n2000-01-08,350\n2000-01-01,350\n", "line 3: 2000-01-01 does not follow 2000-01-08"),
        ("date,co2\n2000-01-01,350\n2000-01-01,350\n", "line 3: 2000-01-01 does not follow 2000-01-01"),
        ("date,co2\n2000-01-01,350\n\n", "line 3: 0 columns, not 2"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = record(tmp_path, text)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {said}")):
        load_record(path)


def test_a_week_without_measurement_is_kept_as_one(tmp_path: Path) -> None:
    path = record(tmp_path, "date,co2\n2000-01-01,350.5\n2000-01-08,\n2000-01-15, \n")
    assert load_record(path) == [
        (dt.date(2000, 1, 1), Decimal("350.5")),
        (dt.date(2000, 1, 8), None),
        (dt.date(2000, 1, 15), None),
    ]
    assert load_rows(path) == [(dt.date(2000, 1, 1), Decimal("350.5"))]


@pytest.mark.parametrize(
    ("values", "most", "filled"),
    [
        ([1, None, 2], 1, [1, "1.50", 2]),
        ([1, None, None, 2], 2, [1, "1.33", "1.67", 2]),
        ([1, None, None, 2], 1, [1, 2]),
        ([None, 1, 2, None], 3, [1, 2]),
        ([1, None, 2, None, None, 5], 1, [1, "1.50", 2, 5]),
        ([1, None, 2], 0, [1, 2]),
        ([None], 1, []),
        ([], 1, []),
    ],
)  # fmt: skip
def test_short_gaps_are_filled_on_a_straight_line(values: list[int | None], most: int, filled: list[Any]) -> None:
    rows = [
        (day, None if value is None else Decimal(value)) for day, value in zip(weeks(len(values)), values, strict=True)
    ]
    assert [value for _, value in fill_gaps(rows, most)] == [Decimal(value) for value in filled]
    assert {day for day, _ in fill_gaps(rows, most)} <= {day for day, _ in rows}


# --- The forecast to beat ---------------------------------------------------------------------------------------------


def test_the_seasonal_naive_forecast_is_last_years_value_of_the_season() -> None:
    days = weeks(110, dt.date(2000, 1, 1))
    train = [(day, Decimal(number)) for number, day in enumerate(days)]
    last = train[-1][0]
    for ahead in (7, 100, 364, 371, 700):
        day = last + dt.timedelta(days=ahead)
        value = seasonal_naive(train, day)
        source = days[int(value)]
        assert (last - source).days < 365
        apart = abs(source.timetuple().tm_yday - day.timetuple().tm_yday)
        assert min(apart, 366 - apart) <= 4


def test_the_root_mean_square_is_that_of_the_definition() -> None:
    assert root_mean_square([3.0, -4.0]) == pytest.approx(12.5**0.5)
    assert root_mean_square([1e16, 1.0, -1e16]) == root_mean_square([1.0, -1e16, 1e16])


# --- The requirements of the model -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("versions", "expected"), [("numpy==2.0.0 ; python_full_version < '3.11'\nnumpy==2.2.0 ; python_full_version >= '3.11'\npandas==3.0.1 \\\n", ["mlflow-skinny", "numpy==2.2.0", "pandas==3.0.1"]), ("", ["mlflow-skinny", "numpy", "pandas"])])  # fmt: skip
def test_the_models_requirements_are_those_of_the_lock(tmp_path: Path, versions: str, expected: list[str]) -> None:
    (tmp_path / "requirements.lock").write_text(versions)
    assert locked_requirements(tmp_path / "requirements.lock") == expected
    assert all("==" in line for line in locked_requirements(ROOT / "requirements.lock"))
