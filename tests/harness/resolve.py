"""Parameters: what stands in place of ``{{…}}`` in a manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.harness.errors import NodeError
from tests.harness.expressions import evaluate, format_value

TAG = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


class UnresolvedError(NodeError):
    """A plain name that nothing is called."""


class SkippedError(NodeError):
    """A plain name of an output that a skipped task did not give."""


@dataclass(frozen=True)
class Scope:
    """Names and values as nested mappings: ``workflow``, ``inputs``, ``tasks``. A value of None is known to be missing."""

    values: Mapping[str, Any]

    def with_values(self, **values: Any) -> Scope:
        return Scope({**self.values, **values})

    def find(self, name: str) -> Any:
        """The value of a dotted name; keys of annotations may have dots. Raises UnresolvedError."""
        found = _find(self.values, name)
        if found is MISSING:
            raise UnresolvedError(f"failed to resolve {{{{{name}}}}}")
        if found is None:
            raise SkippedError(f"failed to resolve {{{{{name}}}}}: its task was skipped")
        return found

    def text(self, text: str) -> str:
        """A text with everything in its place."""

        def replaced(found: re.Match[str]) -> str:
            inside = found[1]
            if inside.startswith("="):
                value = evaluate(inside[1:], self.values)
                if value is None:
                    raise NodeError(f"failed to evaluate expression: {inside[1:]} is nil")
                return format_value(value)
            return format_value(self.find(inside.strip()))

        return TAG.sub(replaced, text)

    def tree(self, value: Any) -> Any:
        """A value of a manifest with everything in its place."""
        if isinstance(value, str):
            return self.text(value) if "{{" in value else value
        if isinstance(value, Mapping):
            return {key: self.tree(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.tree(each) for each in value]
        return value


MISSING: Any = object()


def _find(values: Any, name: str) -> Any:
    if not isinstance(values, Mapping):
        return MISSING
    if name in values:
        found = values[name]
        return MISSING if isinstance(found, Mapping) else found
    first, dot, rest = name.partition(".")
    return _find(values[first], rest) if dot and first in values else MISSING


def plain_names(value: Any) -> Iterator[str]:
    """The names between ``{{`` and ``}}`` in a value of a manifest, without expressions."""
    if isinstance(value, str):
        yield from (found.strip() for found in TAG.findall(value) if not found.startswith("="))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from plain_names(each)
    elif isinstance(value, list):
        for each in value:
            yield from plain_names(each)


def parameters(holder: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The parameters of arguments, inputs or outputs, which may be missing."""
    return (holder or {}).get("parameters") or []


def bound_inputs(template: Mapping[str, Any], arguments: Mapping[str, str]) -> dict[str, str]:
    """What a template's inputs are: arguments, else their own values. Raises NodeError for one that nobody gives."""
    found: dict[str, str] = {}
    for each in parameters(template.get("inputs")):
        value = arguments.get(each["name"], each.get("value", each.get("default")))
        if value is None:
            raise NodeError(f"inputs.parameters.{each['name']} was not supplied")
        if each.get("enum") and value not in each["enum"]:
            raise NodeError(f"inputs.parameters.{each['name']}: {value!r} is none of {each['enum']}")
        found[each["name"]] = format_value(value)
    return found


def task_arguments(task: Mapping[str, Any], scope: Scope) -> dict[str, str]:
    """The arguments of a task. The output of a skipped task is left out: the input's own value takes its place."""
    found: dict[str, str] = {}
    for each in parameters(task.get("arguments")):
        try:
            found[each["name"]] = scope.text(format_value(each["value"]))
        except SkippedError:
            continue
    return found
