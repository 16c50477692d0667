"""Overlays: values of a params file are replaced and put back in its text; all that stands around them stays as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from canon.model.errors import CanonError
from canon.output.yaml import compose_yaml, format_yaml, load_yaml

Key = tuple[str, ...]
"""A place in a params file, from the top."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A params file before and after an overlay; ``keys``: the places that the overlay changed."""

    before: str
    after: str
    keys: tuple[Key, ...]


def overlaid(text: str, file: str, values: Mapping[str, Any]) -> Replaced:
    """Replace what ``values`` names, mappings key by key. Raises CanonError where the file has no such mapping."""
    wanted = _unshared(load_yaml(text, file))
    after, keys = text, []
    for place, value in _leaves(values):
        here = _mapping(wanted, place[:-1])
        if here is None:
            raise CanonError(f"{file} has no mapping `{'.'.join(place[:-1])}`, which the overlay changes")
        key = _own_key(here, place[-1])
        if key not in here or not _same(here[key], value):
            here[key] = value
            after = _with(after, file, place, _format(value), value)
            keys.append(place)
    return Replaced(before=text, after=_verified(after, file, wanted), keys=tuple(keys))


def restored(text: str, file: str, change: Replaced) -> str:
    """Take an overlay back: the old text where nobody edited it since, else only the values that still are the overlay's."""
    if text == change.after:
        return change.before
    data, before, after = (_unshared(load_yaml(each, file)) for each in (text, change.before, change.after))
    for place in change.keys:
        here, old, new = (_mapping(tree, place[:-1]) for tree in (data, before, after))
        if here is None or old is None or new is None:
            continue
        key, name = _own_key(here, place[-1]), _own_key(new, place[-1])
        if key not in here or not _same(here[key], new[name]):
            continue
        if (known := _own_key(old, place[-1])) in old:
            here[key] = old[known]
            written = _source(change.before, file, place)
            text = _with(text, file, place, _format(old[known]) if written is None else written)
        else:
            del here[key]
            text = _without(text, file, place)
    return _verified(text, file, data)


def _unshared(data: Any) -> Any:  # noqa: ANN401  YAML holds anything
    """A copy in which what aliases share are values of their own."""
    if isinstance(data, dict):
        return {key: _unshared(value) for key, value in data.items()}
    return [_unshared(value) for value in data] if isinstance(data, list) else data


def _leaves(values: Mapping[str, Any], prefix: Key = ()) -> Iterator[tuple[Key, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*prefix, str(key)))
        else:
            yield (*prefix, str(key)), value


def _mapping(data: Any, place: Key) -> dict[Any, Any] | None:  # noqa: ANN401  YAML holds anything
    for step in place:
        data = data.get(_own_key(data, step)) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else None


def _own_key(mapping: Mapping[Any, Any], name: str) -> Any:  # noqa: ANN401  a key of YAML may be a number
    return name if name in mapping else next((key for key in mapping if str(key) == name), name)


def _same(one: object, other: object) -> bool:
    """Compare by content; 1, 1.0 and true are three things."""
    return json.dumps(one, default=str) == json.dumps(other, default=str)


def _verified(text: str, file: str, wanted: object) -> str:
    """The edited text, if it says what is wanted: anchors and tags may stand in the way."""
    if not _same(load_yaml(text, file), wanted):
        raise CanonError(f"{file} cannot be changed in place: an anchor, alias or tag is in the way; write it out")
    return text


def _format(value: object) -> str:
    """A value in one line, valid wherever a value can stand."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_format(key)}: {_format(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_format(item) for item in value) + "]"
    text = format_yaml(value, width=2**30).removesuffix("...\n").rstrip("\n")
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) and set(text) & set("\n,[]{}") else text


def _find(text: str, file: str, place: Key) -> tuple[MappingNode, int | None]:
    """The mapping that a place lies in, and at which index; None where the mapping has no such key."""
    node: Node | None = compose_yaml(text, file)
    for depth, step in enumerate(place):
        if not isinstance(node, MappingNode):
            break
        index = next((i for i, (key, _) in enumerate(node.value) if key.value == step), None)
        if depth == len(place) - 1:
            return node, index
        node = None if index is None else node.value[index][1]
    raise CanonError(f"{file}: `{'.'.join(place)}` is not written out there; write the mapping without alias or merge")


def _is_block(node: Node) -> bool:
    """Tell whether a value's text goes over lines of its own: a block collection, or a `|` or `>` scalar."""
    if isinstance(node, CollectionNode):
        return not node.flow_style
    return isinstance(node, ScalarNode) and node.style in {"|", ">"}


def _end(node: Node) -> int:
    """Where the text of a value ends: libyaml ends a block only where the next token begins."""
    if not isinstance(node, CollectionNode) or not _is_block(node) or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(node, MappingNode) else last)


def _source(text: str, file: str, place: Key) -> str | None:
    """How a value is written; None for one that needs lines of its own."""
    node, index = _find(text, file, place)
    if index is None or _is_block(value := node.value[index][1]):
        return None
    return text[value.start_mark.index : value.end_mark.index]


def _with(text: str, file: str, place: Key, source: str, value: object = None) -> str:
    """The text with one value written anew; a key that is not there is added behind the last one of its mapping.

    A text ``value`` takes over the quotes of the one that it replaces.
    """
    node, index = _find(text, file, place)
    if index is None:
        return _added(text, node, place[-1], source)
    key, old = node.value[index]
    start, end = old.start_mark.index, _end(old)
    if _is_block(old):
        end = start + len(text[start:end].rstrip())
        colon = text.index(":", key.end_mark.index) + 1
        if isinstance(old, ScalarNode):
            return f"{text[:colon]} {source}{text[end:]}"
        return f"{text[:colon]} {source}{text[colon:start].rstrip()}{text[end:]}"
    if start == end:  # `key:`
        colon = text.index(":", key.end_mark.index) + 1
        return f"{text[:colon]} {source}{text[colon:]}"
    style = old.style if isinstance(old, ScalarNode) and isinstance(value, str) and "\n" not in value else None
    if style == "'":
        source = "'" + str(value).replace("'", "''") + "'"
    elif style == '"':
        source = json.dumps(value, ensure_ascii=False)
    return text[:start] + source + text[end:]


def _added(text: str, node: MappingNode, name: str, source: str) -> str:
    entry = f"{_format(name)}: {source}"
    if not _is_block(node):
        close = node.end_mark.index - 1
        return text[:close].rstrip() + (", " if node.value else "") + entry + text[close:]
    last = _end(node)
    line = text.find("\n", last if text[last - 1 : last] != "\n" else last - 1)
    indent = " " * node.value[0][0].start_mark.column
    if line < 0:
        return f"{text}\n{indent}{entry}\n"
    return f"{text[: line + 1]}{indent}{entry}\n{text[line + 1 :]}"


def _without(text: str, file: str, place: Key) -> str:
    node, index = _find(text, file, place)
    if index is None:
        return text
    key, value = node.value[index]
    start, end = key.start_mark.index, _end(value)
    if _is_block(node):
        line = text.find("\n", end if text[end - 1 : end] != "\n" else end - 1)
        start = text.rfind("\n", 0, start) + 1
        return text[:start] + ("" if line < 0 else text[line + 1 :])
    if index:
        start = _end(node.value[index - 1][1])
    elif len(node.value) > 1:
        end = node.value[1][0].start_mark.index
    return text[:start] + text[end:]
