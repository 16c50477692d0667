"""Gates: what they say, and whether they hold."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from canon.model.errors import CanonError
from canon.model.gates import Gate, evaluate_gate, gate_from_text

HERE = {"rmse": 0.5, "acc/top.1": 0.9, "zero": 0.0}
THERE: Mapping[str, Mapping[str, float]] = {
    "production": {"rmse": 0.4, "nan": math.nan, "a.b/c": 2.0},
    "canary-2": {"rmse": 1},
}


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("rmse <= 0.5", Gate("rmse <= 0.5", None, "rmse", "<=", 0.5)),
        ("rmse<=production.rmse", Gate("rmse<=production.rmse", None, "rmse", "<=", 1.0, "production", "rmse")),
        (" rmse  <  1.1*production.a.b/c ", Gate("rmse < 1.1*production.a.b/c", None, "rmse", "<", 1.1, "production", "a.b/c")),
        ("acc/top.1 >= -1.5e-3 * canary-2.x", Gate("acc/top.1 >= -1.5e-3 * canary-2.x", None, "acc/top.1", ">=", -0.0015, "canary-2", "x")),
        ("n == +3", Gate("n == +3", None, "n", "==", 3.0)),
        ("healthy 24h", Gate("healthy 24h", 86400.0)),
        ("healthy  1.5m", Gate("healthy 1.5m", 90.0)),
        ("healthy >= 1", Gate("healthy >= 1", None, "healthy", ">=", 1.0)),
    ],
)  # fmt: skip
def test_a_gate_is_read(text: str, gate: Gate) -> None:
    assert gate_from_text(text) == gate


@pytest.mark.parametrize(
    "text",
    ["", "rmse", "rmse <= ", "rmse = 1", "rmse <= 1 production.rmse", "rmse <= 1 *", "rmse <= a", "1 < rmse", "healthy", "healthy 24", "rmse <= 1.0 * 2", "rmse <= x; y"],
)  # fmt: skip
def test_what_is_no_gate_is_refused(text: str) -> None:
    with pytest.raises(CanonError, match="is no gate; write"):
        gate_from_text(text)


@pytest.mark.parametrize(
    ("text", "holds", "says"),
    [
        ("rmse <= 0.5", True, "rmse is 0.5"),
        ("rmse < 0.5", False, "rmse is 0.5"),
        ("zero >= 0", True, "zero is 0"),
        ("rmse <= production.rmse", False, "rmse is 0.5, production has 0.4"),
        ("rmse <= 1.25 * production.rmse", True, "rmse is 0.5, production has 0.4"),
        ("rmse > -2 * production.rmse", True, "rmse is 0.5, production has 0.4"),
        ("rmse <= production.nan", False, "rmse is 0.5, production has nan"),
        ("rmse >= production.nan", False, "rmse is 0.5, production has nan"),
        ("rmse <= nowhere.rmse", True, "nowhere has no release to compare with"),
        ("rmse <= production.loss", False, "what is in production has no metric loss (it has: a.b/c, nan, rmse)"),
        ("loss <= 1", False, "the release has no metric loss (it has: acc/top.1, rmse, zero)"),
        ("loss <= nowhere.loss", False, "the release has no metric loss (it has: acc/top.1, rmse, zero)"),
        ("healthy 1h", False, "nobody here can tell the health of a service"),
    ],
)
def test_a_gate_holds_or_says_why(text: str, *, holds: bool, says: str) -> None:
    verdict = evaluate_gate(gate_from_text(text), HERE, THERE.get, None)
    assert (verdict.holds, verdict.says) == (holds, says)


def test_no_metrics_at_all_and_infinite_ones() -> None:
    assert "(it has: none)" in evaluate_gate(gate_from_text("a < 1"), {}, THERE.get, None).says
    assert not evaluate_gate(gate_from_text("a < 1"), {"a": math.inf}, THERE.get, None).holds


def test_health_is_asked_for_the_seconds() -> None:
    asked: list[float] = []

    def health(seconds: float) -> tuple[bool, str]:
        asked.append(seconds)
        return True, "since yesterday"

    verdict = evaluate_gate(gate_from_text("healthy 2d"), {}, THERE.get, health)
    assert (verdict.holds, verdict.says, asked) == (True, "since yesterday", [172800.0])
