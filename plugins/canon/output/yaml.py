"""YAML text in and out, by the 1.2 schema that DVC reads, on libyaml.

PyYAML is YAML 1.1 (``on`` is a bool, ``010`` is 8, ``1e-3`` is a string) and Hera registers representers on its shared
classes; both would change what a user wrote. So the loader and the dumper here are private classes with resolvers of
their own: those of ruamel.yaml, DVC's reader, for 1.2 (ruamel/yaml/resolver.py). They take more numbers than the core
schema (``1_000``, ``0b11``) and fewer (``.5e3`` is a text). A date is a text here: DVC takes no date as a parameter.
"""

from __future__ import annotations

import contextlib
import math
import operator
import re
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from canon.model.errors import Problem, ProblemsError
from canon.output.limits import DepthLimit, TooDeepError, check_aliases, check_size, too_deep

_FLOAT = re.compile(
    r"^(?:[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_INT = re.compile(r"^(?:[-+]?0b[0-1_]+|[-+]?0o?[0-7_]+|[-+]?[0-9_]+|[-+]?0x[0-9a-fA-F_]+)$")
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
# A plain scalar that a 1.1 reader (kubectl, PyYAML) would take for something else is written in quotes, too.
_YAML_1_1 = re.compile(
    r"^(?:y|Y|n|N|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF"
    r"|[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|[-+]?[0-9][0-9_,]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*|=|<<)$"
)

MERGE = "tag:yaml.org,2002:merge"
_CORE_RESOLVERS = (
    ("tag:yaml.org,2002:bool", _BOOL, "tTfF"),
    ("tag:yaml.org,2002:int", _INT, "-+0123456789"),
    ("tag:yaml.org,2002:float", _FLOAT, "-+0123456789."),
    ("tag:yaml.org,2002:null", _NULL, ("~", "n", "N", "")),
    (MERGE, re.compile(r"^<<$"), "<"),
)
_ODD = frozenset({"", *"+-.0123456789~<=", *"yYnNtTfFoO"})
"""What a text begins with that is none, by any of the patterns above."""
_STR, _MAP, _SEQ = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq"))
_BASE_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BASE_DUMPER: type = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Resolver:
    """Remembers which tag a text has: keys and most values stand in a file many times. Neither of ours resolves by path."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  PyYAML's many
        super().__init__(*arguments, **options)
        self._tags: dict[str, str] = {}

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:  # noqa: ANN401  PyYAML's signature
        if kind is not ScalarNode:
            return _MAP if kind is MappingNode else _SEQ
        if not implicit[0]:  # it stands in quotes
            return _STR
        tag = self._tags.get(value)
        if tag is None:
            found: str = super().resolve(kind, value, implicit) if value[:1] in _ODD else _STR  # type: ignore[misc]
            tag = self._tags[value] = found
        return tag


class _Loader(_Resolver, DepthLimit, _BASE_LOADER):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own attribute

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._merged: set[int] = set()  # mappings whose own keys are mixed with those that they merge

    def flatten_mapping(self, node: MappingNode) -> None:
        # Also what is merged in and never constructed by itself comes here, before it changes.
        own = [key for key, _ in node.value if key.tag != MERGE]
        if len(own) < len(node.value):
            self._check_keys(own)
            _check_duplicates([key for key, _ in node.value])  # `<<` itself
            self._merged.add(id(node))
        super().flatten_mapping(node)

    def construct_object(self, node: Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002  PyYAML's signature
        if node.tag == _STR and type(node) is ScalarNode:  # most of a file, and the same object by whatever alias
            return node.value
        return super().construct_object(node, deep=deep)

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  PyYAML's signature
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value) and id(node) not in self._merged:
            self._check_keys([key for key, _ in node.value])
        return mapping

    def _check_keys(self, keys: list[Node]) -> None:
        _check_duplicates(keys)
        seen: dict[Hashable, Node] = {}
        for key in keys:  # two spellings of one key, such as 1 and 0x1
            value = self.construct_object(key, deep=True)
            if isinstance(value, Hashable):  # else PyYAML says so
                if value in seen:
                    raise _DuplicateKeyError(key, seen[value])
                seen[value] = key


class _DuplicateKeyError(Exception):
    def __init__(self, key: Node, first: Node) -> None:
        self.key, self.first = key, first
        super().__init__(str(key.value))


def _check_duplicates(keys: Iterable[Node]) -> None:
    seen: dict[tuple[str, str], Node] = {}
    for key in keys:
        name = (key.tag, str(key.value))
        if name in seen:
            raise _DuplicateKeyError(key, seen[name])
        seen[name] = key


def _construct_float(_loader: _Loader, node: ScalarNode) -> float:
    text = node.value.lower().replace("_", "")
    if text.endswith(".inf"):
        return -math.inf if text.startswith("-") else math.inf
    try:
        return math.nan if text == ".nan" else float(text)
    except ValueError as error:
        raise _no_number(node, error) from None


def _no_number(node: ScalarNode, error: ValueError) -> yaml.constructor.ConstructorError:
    words = f"found a value that cannot be read: {str(error)[:80]}"
    return yaml.constructor.ConstructorError(None, None, words, node.start_mark)


def _construct_int(_loader: _Loader, node: ScalarNode) -> int:
    text: str = node.value.replace("_", "")
    try:
        return int(text, 0) if text.lstrip("+-").startswith(("0b", "0o", "0x")) else int(text)
    except ValueError as error:  # `!!int x`, or more digits than Python reads
        raise _no_number(node, error) from None


def _construct_bool(_loader: _Loader, node: ScalarNode) -> bool:
    if not _BOOL.match(node.value):  # `!!bool x`
        raise yaml.constructor.ConstructorError(None, None, "found neither true nor false", node.start_mark)
    return bool(node.value.lower() == "true")


for _tag, _pattern, _first in _CORE_RESOLVERS:
    _Loader.add_implicit_resolver(_tag, _pattern, list(_first))
# YAML 1.2's core schema has no other tags; PyYAML's `!!set`, `!!binary` and `!!timestamp` are nothing that JSON could hold.
_Loader.yaml_constructors = {
    tag: constructor
    for tag, constructor in _BASE_LOADER.yaml_constructors.items()  # type: ignore[attr-defined]
    if tag is None or tag.removeprefix("tag:yaml.org,2002:") in {"null", "str", "seq", "map"}
}
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:bool", _construct_bool)


class OneLine(dict[str, Any]):
    """A mapping that is written on one line: `{name: a, value: b}`."""


class OneRow(list[Any]):
    """A list that is written on one line: `[a, b]`."""


class Shared(OneLine):
    """A mapping that is written once, with an anchor, and by an alias wherever the same object stands again."""


class _Dumper(_Resolver, _BASE_DUMPER):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own attribute

    # libyaml's binding calls these for every node; functions of C that take the same and do nothing cost a third.
    descend_resolver = operator.is_
    ascend_resolver = tuple

    def ignore_aliases(self, data: object) -> bool:
        return not isinstance(data, Shared)

    def represent_data(self, data: Any) -> Node:  # noqa: ANN401  whatever is written
        # What files consist of; PyYAML's own way by tables and for aliases takes twice as long.
        kind = type(data)
        if kind is str:
            return ScalarNode(_STR, data, style=_style(data) if "\n" in data else None)
        if kind is dict or kind is OneLine:
            pairs = [(self.represent_data(key), self.represent_data(item)) for key, item in data.items()]
            return MappingNode(_MAP, pairs, flow_style=kind is OneLine)
        if kind is list or kind is tuple or kind is OneRow:
            return SequenceNode(_SEQ, [self.represent_data(item) for item in data], flow_style=kind is OneRow)
        node: Node = super().represent_data(data)
        return node


def _style(text: str) -> str | None:
    """How a text of several lines is written: as a block, unless a reader would get another text from that."""
    odd = r"[ \t]\n|^\s|[^\n\t\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]"
    return None if re.search(odd, text) else "|"


def _represent_float(dumper: _Dumper, value: float) -> ScalarNode:
    if math.isnan(value):
        text = ".nan"
    elif math.isinf(value):
        text = ".inf" if value > 0 else "-.inf"
    else:
        text = repr(value)
        if "e" in text and "." not in text:  # 1e-05 is a string to readers of 1.1
            text = text.replace("e", ".0e")
    node: ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:float", text)
    return node


def _represent_one_line(dumper: _Dumper, data: OneLine) -> MappingNode:
    node: MappingNode = dumper.represent_mapping(_MAP, data.items(), flow_style=True)
    return node


for _tag, _pattern, _first in _CORE_RESOLVERS:
    _Dumper.add_implicit_resolver(_tag, _pattern, list(_first))
_Dumper.add_implicit_resolver("tag:canon.dev,2026:yaml-1.1", _YAML_1_1, None)
_Dumper.add_representer(float, _represent_float)
_Dumper.add_representer(Shared, _represent_one_line)


def _problem(name: str, error: yaml.YAMLError, text: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark else 0
    if isinstance(error, yaml.reader.ReaderError):  # libyaml counts bytes
        line = text.encode("utf-8", "surrogatepass")[: error.position].count(b"\n") + 1
    words = " ".join(str(part) for part in (getattr(error, "context", None), getattr(error, "problem", None)) if part)
    remedy = "mend the line; quotes around a text that begins with a special character often help"
    if mark and re.match(r"[ \t]*\t", [*text.splitlines(), ""][min(mark.line, len(text.splitlines()))]):
        remedy = "indent by spaces: YAML takes no tabs there"
    return Problem(file=name, line=line, message=f"is not YAML: {words or str(error).splitlines()[0]}", remedy=remedy)


@contextlib.contextmanager
def _loader_of(text: str, name: str) -> Iterator[_Loader]:
    """A loader whose errors are problems of the file ``name``."""
    check_size(text, name)
    loader = _Loader(text)
    try:
        yield loader
    except TooDeepError as error:
        raise too_deep(name, error.line) from None
    except yaml.YAMLError as error:
        raise ProblemsError([_problem(name, error, text)]) from None
    finally:
        loader.dispose()


def _composed(loader: _Loader, text: str, name: str) -> Node | None:
    node: Node | None = loader.get_single_node()
    if node is not None and "&" in text:
        check_aliases(node, name)
    return node


def compose_yaml(text: str, name: str) -> Node | None:
    """Return the node graph of one YAML document, with line numbers, aliases counted; ``None`` for an empty one.

    Raises ProblemsError for text that is too large, is not YAML, nests too deep or explodes through its aliases.
    """
    with _loader_of(text, name) as loader:
        return _composed(loader, text, name)


def load_yaml(text: str, name: str) -> Any:  # noqa: ANN401  YAML holds anything
    """Return the value of one YAML 1.2 document; ``name`` stands for the file in messages.

    Raises ProblemsError as `compose_yaml` does, and for a key that stands twice in one mapping.
    """
    with _loader_of(text, name) as loader:
        try:
            node = _composed(loader, text, name)
            return None if node is None else loader.construct_document(node)
        except _DuplicateKeyError as error:
            raise ProblemsError([Problem(
                file=name, line=error.key.start_mark.line + 1, path=str(error.key.value),
                message=f"key {str(error.key.value)!r} stands twice in one mapping, first in line {error.first.start_mark.line + 1}",
                remedy="remove one of the two, or rename it",
            )]) from None  # fmt: skip


def format_yaml(value: object, *, width: int = 120) -> str:
    """Return ``value`` as YAML that readers of 1.2 and of 1.1 understand alike; keys keep their order."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width, default_flow_style=False
    )
    return text
