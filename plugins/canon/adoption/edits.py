"""Small changes of a YAML text where it stands, by the marks of its nodes; comments, quotes and line ends elsewhere stay."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from yaml.nodes import MappingNode, ScalarNode

from canon.output.yaml import format_yaml


class Refusal(Exception):  # noqa: N818  no error of the user's
    """The text cannot be changed in place."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What stands from ``start`` to before ``end`` becomes ``text``."""

    start: int
    end: int
    text: str


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with all edits made; one that is there twice, for a node that an alias names again, is made once.

    Raises Refusal where two of them meet.
    """
    parts: list[str] = []
    place = 0
    for edit in sorted(dict.fromkeys(edits), key=lambda edit: (edit.start, edit.end)):
        if edit.start < place:
            raise Refusal
        parts += [text[place : edit.start], edit.text]
        place = edit.end
    return "".join([*parts, text[place:]])


def replace_scalar(text: str, node: ScalarNode, value: str) -> Edit:
    """Write another text for a plain or quoted scalar. Raises Refusal for a block, or one that has an anchor."""
    start, end = node.start_mark.index, node.end_mark.index
    if node.style in {"|", ">"} or text[start : start + 1] in {"&", "!", "*"}:
        raise Refusal
    quote = text[start : start + 1]
    if quote == '"' or "\n" in text[start:end]:
        return Edit(start, end, json.dumps(value, ensure_ascii=False))
    if quote == "'":
        return Edit(start, end, "'" + value.replace("'", "''") + "'")
    return Edit(start, end, _scalar(value))


def insert_first(text: str, node: MappingNode, items: Mapping[str, Any]) -> Edit:
    """Put keys before the first one of a mapping. Raises Refusal for one without keys."""
    if not node.value:
        raise Refusal
    first = node.value[0][0].start_mark
    if node.flow_style:
        place = text.index("{", node.start_mark.index) + 1
        written = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}, " for key, value in items.items())
        return Edit(place, place, written)
    break_ = "\r\n" if "\r\n" in text else "\n"
    indent = " " * first.column
    return Edit(first.index, first.index, "".join(f"{key}: {_scalar(value)}{break_}{indent}" for key, value in items.items()))  # fmt: skip


def start_of_document(text: str) -> int:
    """Where the first line of the document is: behind `---`, where that stands. Raises Refusal where something stands beside it."""
    place = 0
    for line in text.splitlines(keepends=True):
        if re.match(r"---\s*(#.*)?$", line):
            return place + len(line)
        if line.startswith("---"):
            raise Refusal
        if line.strip() and not line.lstrip().startswith(("#", "%")):
            return 0
        place += len(line)
    return 0


def _scalar(value: Any) -> str:  # noqa: ANN401
    """A value as it is written on one line, in a list or mapping of one line too."""
    if isinstance(value, str) and re.search(r"[\[\]{},]", value) and "${" not in value:
        return json.dumps(value, ensure_ascii=False)
    written = format_yaml({"x": value}, width=1 << 30)
    return written.removeprefix("x: ").rstrip("\n")
