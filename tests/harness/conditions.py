"""`when` and `depends`: conditions after all parameters have been put in their places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.harness.errors import InvalidSpecError, NodeError
from tests.harness.expressions import COMPARISONS, Parser, Value, compare
from tests.harness.tokens import split

RESULTS = ("Succeeded", "Failed", "Errored", "Skipped", "Omitted", "Daemoned", "AnySucceeded", "AllFailed")
DEPENDENCY = re.compile(r"(?P<task>[A-Za-z0-9_][-A-Za-z0-9_]*)(?:\.(?P<result>[A-Za-z]+))?")


class When(Parser):
    """govaluate, in which a name that is no value is a text: ``foo == bar`` compares two words."""

    def comparison(self) -> Value:
        left = self.unary()
        while operator := self.take(*COMPARISONS, "=~", "!~"):
            left = self.matched(left, operator, self.unary())
        return left

    def matched(self, left: Value, operator: str, right: Value) -> Value:
        if operator in {"=~", "!~"}:
            return lambda: (re.search(str(right()), str(left())) is not None) == (operator == "=~")
        return lambda: compare(left(), operator, right(), self.text)

    def postfix(self) -> Value:
        if self.next.kind == "name" and self.next.text not in {"true", "false"}:
            return self.constant(self.expect("name"))
        if self.take("("):
            items = self.items(")")
            return items[0] if len(items) == 1 else lambda: [item() for item in items]
        return self.primary()


def evaluate_when(text: str) -> bool:
    """Whether a task or step runs. Raises NodeError as the controller: a text that is no condition, a result that is no bool."""
    if not text:
        return True
    try:
        parser = When(split(text), text, {})
        value: Any = parser.ternary()
        parser.expect("end", "")
        result = value()
    except NodeError as error:
        raise NodeError(f"Invalid 'when' expression '{text}': {error}") from None
    if not isinstance(result, bool):
        raise NodeError(f"Expected boolean evaluation for '{text}'. Got {result}")
    return result


def tasks_in(depends: str) -> tuple[str, ...]:
    """The tasks that a `depends` names, in order."""
    return tuple(dict.fromkeys(found["task"] for found in DEPENDENCY.finditer(depends)))


def check_depends(task: str, depends: str) -> None:
    """Raise InvalidSpecError for a `depends` that is no condition on results of tasks."""
    for found in DEPENDENCY.finditer(depends):
        if found["result"] is not None and found["result"] not in RESULTS:
            raise InvalidSpecError(
                f"tasks.{task} invalid depends: {found['result']} is no result of a task ({depends})"
            )
    try:
        evaluate_depends(depends, dict.fromkeys(tasks_in(depends), "Succeeded"))
    except NodeError as error:
        raise InvalidSpecError(f"tasks.{task} invalid depends {depends!r}: {error}") from None


def evaluate_depends(depends: str, phases: Mapping[str, str]) -> bool:
    """Whether the phases of tasks that ended satisfy a `depends`. A task without a result means that it succeeded or was skipped."""

    def truth(found: re.Match[str]) -> str:
        results = (found["result"],) if found["result"] else ("Succeeded", "Skipped", "Daemoned")
        phase = phases[found["task"]]
        return "true" if {"Error": "Errored"}.get(phase, phase) in results else "false"

    text = DEPENDENCY.sub(truth, depends)
    parser = Parser(split(text), text, {})
    value = parser.ternary()
    parser.expect("end", "")
    return parser.truth(value())
