"""The names in a manifest's `{{…}}` and expressions, each of which must exist: a wrong one can hang a Workflow for ever."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

KNOWN = frozenset({"workflow.uid", "workflow.name", "workflow.namespace"})
"""Names of the controller's own that every template has."""
FUNCTIONS = frozenset({"jsonpath", "asInt", "replace"})
WORDS = frozenset({"not", "and", "or", "in", "contains", "startsWith", "endsWith", "matches", "true", "false", "nil"})
_NOTHING = "there is nothing of this name here"
RETRIED = frozenset({"lastRetry.status", "lastRetry.message", "lastRetry.exitCode", "lastRetry.duration"})
_TAG = re.compile(r"\{\{(=?)(.*?)\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*|\[(?:'[^']*'|"[^"]*")\])*"""
)
_INDEX = re.compile(r"""\[(?:'([^']*)'|"([^"]*)")\]""")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a template may name: its own inputs, the Workflow's parameters, and for a task of a DAG the outputs of the others.

    A Workflow itself may name its ``annotations``.
    """

    workflow: Collection[str] = ()
    inputs: Collection[str] = ()
    outputs: Mapping[str, Collection[str]] = field(default_factory=dict)
    annotations: Collection[str] = ()

    def finding(self, name: str) -> str | None:
        """What is wrong with a name, in words; None where it exists."""
        head, _, rest = name.partition(".parameters.")
        if name in KNOWN:
            return None
        if head == "inputs" and rest:
            return None if rest in self.inputs else f"the template has no input `{rest}`"
        if name.startswith("workflow."):
            return self._workflow_finding(name.removeprefix("workflow."))
        if head.startswith("tasks.") and head.endswith(".outputs") and rest:
            task = head.removeprefix("tasks.").removesuffix(".outputs")
            if task not in self.outputs:
                return f"there is no task `{task}` in this DAG"
            return None if rest in self.outputs[task] else f"the task `{task}` has no output `{rest}`"
        return _NOTHING

    def _workflow_finding(self, name: str) -> str | None:
        kind, _, rest = name.partition(".")
        if kind == "parameters" and rest:
            return None if rest in self.workflow else f"the Workflow has no parameter `{rest}`"
        if kind == "annotations" and rest:
            return None if rest in self.annotations else f"the Workflow has no annotation `{rest}`"
        return _NOTHING


def tag_findings(text: str, scope: Scope) -> Iterator[str]:
    """What is wrong with the names in a text's tags, in words."""
    for is_expression, inner in _TAG.findall(text):
        if is_expression:
            yield from expression_findings(inner, scope)
        else:
            finding = scope.finding(inner.strip())
            if finding:
                yield f"`{{{{{inner}}}}}`: {finding}"
    if "{{" in _TAG.sub("", text):
        yield f"`{text}` opens a `{{{{` and does not close it"


def expression_findings(expression: str, scope: Scope, known: Collection[str] = ()) -> Iterator[str]:
    """What is wrong with the names in an expression of expr-lang, in words; ``known``: further names that stand for something."""
    for match in _TOKEN.finditer(expression):
        token = match[0]
        if token[0] in "'\"" or token in WORDS or token in known:
            continue
        if token in FUNCTIONS and expression[match.end() :].lstrip().startswith("("):
            continue
        finding = scope.finding(_INDEX.sub(lambda index: "." + (index[1] or index[2] or ""), token))
        if finding:
            yield f"`{token}`: {finding}"


def jsonpath_keys(expression: str) -> list[str]:
    """The keys that an expression looks up by `$['key']`."""
    return re.findall(r"""\$\['([^']*)'\]""", expression)
