"""The part of expr-lang that manifests use, as Argo evaluates it: https://expr-lang.org/docs/language-definition.

The environment is nested mappings. A name that is not in it would leave the real expression unresolved, and its workflow Running for ever: HangsError.
A value that is known to be missing (the output of a skipped task) is None there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.harness.errors import HangsError, NodeError
from tests.harness.jsonpath import query
from tests.harness.tokens import Token, split

WORDS = {"contains", "startsWith", "endsWith", "matches", "in"}
COMPARISONS = {"==", "!=", "<", ">", "<=", ">=", *WORDS}
TEXT: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda left, right: right in left,
    "startsWith": lambda left, right: left.startswith(right),
    "endsWith": lambda left, right: left.endswith(right),
    "matches": lambda left, right: re.search(right, left) is not None,
}
LITERALS = {"true": True, "false": False, "nil": None}


def evaluate(text: str, environment: Mapping[str, Any]) -> Any:
    """The value of an expression. Raises HangsError for a name that does not exist, NodeError for a value that does not fit."""
    parser = Parser(split(text), text, environment)
    value = parser.ternary()
    parser.expect("end", "")
    return value()


def evaluate_bool(text: str, environment: Mapping[str, Any]) -> bool:
    """The value of a condition. Raises NodeError where it is no bool."""
    value = evaluate(text, environment)
    if not isinstance(value, bool):
        raise NodeError(f"unable to cast expression result '{format_value(value)}' to bool: {text}")
    return value


def format_value(value: Any) -> str:
    """What the template holds in place of an expression: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def as_int(value: Any) -> int:
    if isinstance(value, (int, float, str)):
        try:
            return int(value)
        except ValueError:
            pass
    raise NodeError(f"invalid operation: int({value!r})")


def jsonpath(text: Any, path: Any) -> Any:
    if not isinstance(text, str):
        raise NodeError(f"cannot use {format_value(text)} as argument (type string) to call jsonpath")
    return query(text, path)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "asInt": as_int,
    "int": as_int,
    "jsonpath": jsonpath,
    "replace": str.replace,
    "string": format_value,
    "toJson": json.dumps,
}
"""What the manifests may call; others exist in Argo and are not implemented here."""

Value = Callable[[], Any]


class Parser:
    """A parser by precedence; each rule gives what computes the value, so that `&&`, `??` and `?:` leave out a side."""

    def __init__(self, tokens: list[Token], text: str, environment: Mapping[str, Any]) -> None:
        self.tokens, self.text, self.environment = tokens, text, environment
        self.at = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self, *texts: str) -> str | None:
        """Take the next token if it is an operator or a word of these."""
        if self.next.kind in {"operator", "name"} and self.next.text in texts:
            self.at += 1
            return self.tokens[self.at - 1].text
        return None

    def expect(self, kind: str, text: str | None = None) -> str:
        token = self.next
        if token.kind != kind or (text is not None and token.text != text):
            raise NodeError(f"unexpected {token.text or 'end'!r} in the expression {self.text!r}")
        self.at += 1
        return token.text

    def ternary(self) -> Value:
        condition = self.either()
        if not self.take("?"):
            return condition
        yes = self.ternary()
        self.expect("operator", ":")
        no = self.ternary()
        return lambda: yes() if self.truth(condition()) else no()

    def either(self) -> Value:
        left = self.both()
        while self.take("||", "or"):
            left = self.any_of(left, self.both())
        return left

    def any_of(self, left: Value, right: Value) -> Value:
        return lambda: self.truth(left()) or self.truth(right())

    def both(self) -> Value:
        left = self.comparison()
        while self.take("&&", "and"):
            left = self.all_of(left, self.comparison())
        return left

    def all_of(self, left: Value, right: Value) -> Value:
        return lambda: self.truth(left()) and self.truth(right())

    def comparison(self) -> Value:
        left = self.coalesced()
        while True:
            negated = False
            if self.next.text == "not" and self.tokens[self.at + 1].text in WORDS:
                self.at += 1
                negated = True
            operator = self.take(*COMPARISONS)
            if operator is None:
                return left
            left = self.compared(left, operator, self.coalesced(), negated=negated)

    def compared(self, left: Value, operator: str, right: Value, *, negated: bool) -> Value:
        return lambda: compare(left(), operator, right(), self.text) != negated

    def coalesced(self) -> Value:
        left = self.unary()
        while self.take("??"):
            left = self.first_of(left, self.unary())
        return left

    def first_of(self, left: Value, right: Value) -> Value:
        def value() -> Any:
            found = left()
            return right() if found is None else found

        return value

    def unary(self) -> Value:
        if self.take("not", "!"):
            # `not` binds less than a comparison does in writing, not in the language: not (a == b) has parentheses.
            inner = self.unary()
            return lambda: not self.truth(inner())
        if self.take("-"):
            number = self.unary()
            return lambda: -number()
        return self.postfix()

    def postfix(self) -> Value:
        if self.next.kind == "name" and self.next.text not in LITERALS:
            name = self.expect("name")
            if self.take("("):
                return self.members(self.call(name), name)
            return self.members(lambda: self.member(self.environment, name, name), name)
        return self.members(self.primary(), "the value")

    def call(self, name: str) -> Value:
        function = FUNCTIONS.get(name)
        if function is None:
            raise NodeError(
                f"unknown name {name} in the expression {self.text!r}: the harness implements {sorted(FUNCTIONS)}"
            )
        arguments = self.items(")")

        def value() -> Any:
            given = [argument() for argument in arguments]
            try:
                return function(*given)
            except TypeError:
                raise NodeError(f"wrong arguments of {name} in the expression {self.text!r}") from None

        return value

    def items(self, end: str) -> list[Value]:
        found: list[Value] = []
        while not self.take(end):
            if found:
                self.expect("operator", ",")
            found.append(self.ternary())
        return found

    def members(self, value: Value, path: str) -> Value:
        while operator := self.take(".", "[", "?."):
            if operator == "[":
                index = self.ternary()
                self.expect("operator", "]")
            else:
                index = self.constant(self.expect("name"))
            value, path = self.inner(value, index, path), f"{path}.…"
        return value

    @staticmethod
    def constant(value: Any) -> Value:
        return lambda: value

    def inner(self, value: Value, index: Value, path: str) -> Value:
        return lambda: self.member(value(), index(), path)

    def member(self, value: Any, index: Any, path: str) -> Any:
        if isinstance(value, list) and isinstance(index, int) and 0 <= index < len(value):
            return value[index]
        if isinstance(value, Mapping) and index in value:
            return value[index]
        raise HangsError(
            f"{{{{={self.text}}}}}: nothing is called {index!r} ({path}); a real workflow would stay Running for ever"
        )

    def primary(self) -> Value:
        token = self.next
        self.at += 1
        if token.kind == "number":
            return self.constant(float(token.text) if "." in token.text else int(token.text))
        if token.kind == "string":
            return self.constant(token.text)
        if token.kind == "name":
            return self.constant(LITERALS[token.text])
        if token.text == "(":
            inner = self.ternary()
            self.expect("operator", ")")
            return inner
        if token.text == "[":
            items = self.items("]")
            return lambda: [item() for item in items]
        raise NodeError(f"unexpected {token.text or 'end'!r} in the expression {self.text!r}")

    def truth(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise NodeError(f"{format_value(value)} is no bool in the expression {self.text!r}")
        return value


def compare(left: Any, operator: str, right: Any, text: str) -> bool:
    """One comparison; values of different types are not equal."""
    if operator in {"==", "!="}:
        return (isinstance(left, bool) == isinstance(right, bool) and left == right) == (operator == "==")
    if operator == "in" and isinstance(right, (list, Mapping)):
        return any(compare(left, "==", each, text) for each in right)
    if isinstance(left, str) and isinstance(right, str) and operator in TEXT:
        return TEXT[operator](left, right)
    if operator not in WORDS and isinstance(left, str) and isinstance(right, str):
        return _ordered((left > right) - (left < right), operator)
    if operator not in WORDS and isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return _ordered((left > right) - (left < right), operator)
    raise NodeError(
        f"invalid operation: {format_value(left)} {operator} {format_value(right)} in the expression {text!r}"
    )


def _ordered(sign: int, operator: str) -> bool:
    return {"<": sign < 0, ">": sign > 0, "<=": sign <= 0, ">=": sign >= 0}[operator]
