"""The gates of an environment: conditions on metrics and health that a promotion must meet. Pure: who knows the health is asked by a callable."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from canon.model.delivery import GATE
from canon.model.errors import CanonError

_HEALTHY = re.compile(r"\s*healthy\s+(?P<number>\d+(?:\.\d+)?)(?P<unit>[smhd])\s*")
_COMPARED = re.compile(
    r"\s*(?P<metric>[A-Za-z_][\w./-]*)\s*(?P<sign><=|>=|==|<|>)\s*"
    r"(?:(?P<number>[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?:\s*(?P<times>\*)\s*(?=[a-z])|\s*$))?"
    r"(?:(?P<environment>[a-z][-a-z0-9]*)\.(?P<other>[\w./-]+))?\s*"
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
Health = Callable[[float], tuple[bool, str]]
"""Whether the service has been healthy for so many seconds, and what is to be said of it."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate. ``seconds``: of `healthy`; else ``metric`` is compared with ``factor``, times ``other`` of ``environment`` where one is named."""

    text: str
    seconds: float | None = None
    metric: str = ""
    sign: str = ""
    factor: float = 1.0
    environment: str | None = None
    other: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a gate, and why, with the numbers."""

    gate: str
    holds: bool
    says: str


def gate_from_text(text: str) -> Gate:
    """Read a gate. Raises CanonError for what is none."""
    words = " ".join(text.split())
    if GATE.fullmatch(text) is not None:
        if healthy := _HEALTHY.fullmatch(text):
            return Gate(words, seconds=float(healthy["number"]) * _SECONDS[healthy["unit"]])
        if found := _COMPARED.fullmatch(text):
            factor = float(found["number"]) if found["number"] is not None else 1.0
            return Gate(words, None, found["metric"], found["sign"], factor, found["environment"], found["other"] or "")
    raise CanonError(
        f"{words!r} is no gate; write `metric <= 0.5`, `metric <= 1.0 * environment.metric` or `healthy 24h`"
    )


def evaluate_gate(
    gate: Gate,
    metrics: Mapping[str, float],
    metrics_of: Callable[[str], Mapping[str, float] | None],
    health: Health | None,
) -> Verdict:
    """Hold a gate against the metrics of what is promoted. ``metrics_of``: those of what an environment has, None where it has no release.

    A metric that is missing, and one that is not a number (NaN), hold no gate. An environment without a release has nothing to be better than.
    """
    if gate.seconds is not None:
        if health is None:
            return Verdict(gate.text, False, "nobody here can tell the health of a service")
        return Verdict(gate.text, *health(gate.seconds))
    value = metrics.get(gate.metric)
    if value is None:
        return Verdict(gate.text, False, f"the release has no metric {gate.metric} (it has: {_names(metrics)})")
    bound, beside = gate.factor, ""
    if gate.environment is not None:
        there = metrics_of(gate.environment)
        if there is None:
            return Verdict(gate.text, True, f"{gate.environment} has no release to compare with")
        if gate.other not in there:
            return Verdict(
                gate.text, False, f"what is in {gate.environment} has no metric {gate.other} (it has: {_names(there)})"
            )
        bound, beside = gate.factor * there[gate.other], f", {gate.environment} has {there[gate.other]:g}"
    holds = _HOLDS[gate.sign](value, bound)
    return Verdict(gate.text, holds, f"{gate.metric} is {value:g}{beside}")


def _names(metrics: Mapping[str, float]) -> str:
    return ", ".join(sorted(metrics)[:10]) or "none"
