"""Words of the two languages of conditions: expr-lang in ``{{=…}}`` and ``expression``, govaluate in ``when``."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.harness.errors import NodeError

TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>\d+(?:\.\d+)?)
  | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<operator>\?\?|\?\.|==|!=|<=|>=|&&|\|\||=~|!~|[-+()\[\],.?:<>!])
    )""",
    re.VERBOSE,
)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}


class Token(NamedTuple):
    kind: str
    text: str


def split(text: str) -> list[Token]:
    """The tokens of a condition; the last one is of kind ``end``. Raises NodeError where the text has none."""
    tokens: list[Token] = []
    text = text.rstrip()
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise NodeError(f"unexpected {text[at:].strip()[:1]!r} in the expression {text!r}")
        value = found[found.lastgroup]
        tokens.append(Token(found.lastgroup, unquote(value) if found.lastgroup == "string" else value))
        at = found.end()
    return [*tokens, Token("end", "")]


def unquote(literal: str) -> str:
    """The text that a string literal means."""
    if literal[0] == "`":
        return literal[1:-1]
    return re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[0]), literal[1:-1])
