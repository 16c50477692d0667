"""From a dvc.yaml to the declaration that it can be generated from: what it means, then the same as its own text, comments and all."""

from __future__ import annotations

import datetime as dt
import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from canon.adoption.edits import Edit, Refusal, apply_edits, insert_first, replace_scalar, start_of_document
from canon.model.errors import CanonError
from canon.model.paths import is_url
from canon.output.yaml import compose_yaml, format_yaml, load_yaml

PARAMETERS = "parameters"
"""What a declaration calls DVC's top-level `params`."""
NO_TRACK = "no last stage writes and logs the result; `canon log` does, or remove this line"


@dataclass(frozen=True, slots=True)
class Declared:
    """The text of a declaration; ``as_written``: it is that of the dvc.yaml, with its comments."""

    text: str
    as_written: bool


def declaration_of(document: Mapping[str, Any], file: str, name: str) -> dict[str, Any]:
    """The mapping of the declaration ``name`` from which the dvc.yaml ``file`` is generated: its paths are relative to the root."""
    folder = posixpath.dirname(file)
    declared: dict[str, Any] = {"name": name, **({"dvc_file": file} if folder else {}), "track": False}
    for key, value in document.items():
        move = _BLOCKS.get(key, _unmoved) if folder else _unmoved
        declared[PARAMETERS if key == "params" else key] = move(value, folder)
    return declared


def format_declaration(text: str, document: Mapping[str, Any], file: str, name: str) -> Declared:
    """Return the declaration's text: the dvc.yaml's own with as little changed as can be, where that means the same.

    ``document`` is what DVC reads in ``text``. Raises CanonError for values that no declaration can hold.
    """
    wanted = _plain(declaration_of(document, file, name))
    plain = text.removeprefix("\ufeff")
    try:
        edited = apply_edits(plain, [*_edits(plain, wanted, file)])
        if _equal(load_yaml(edited, file), wanted):
            return Declared(edited, as_written=True)
    except (CanonError, Refusal):
        pass  # DVC reads what libyaml does not, and what is shared by an anchor cannot be two things
    return Declared(_commented(format_yaml(wanted)), as_written=False)


def path_from_root(path: str, folder: str) -> str:
    """A path of a dvc.yaml in ``folder`` as the declaration has it; templates, URLs and absolute paths stay as they are."""
    if is_url(path) or path.startswith(("/", "${")):
        return path
    return posixpath.normpath(posixpath.join(folder, path))


def _wdir(stage: Mapping[str, Any], folder: str) -> str:
    given = stage.get("wdir") or "."
    if given.startswith("/"):
        return str(given)
    if "${" in given:  # as it is: `a/${b}/..` is not `a`
        return f"{folder}/{given}"
    return posixpath.normpath(posixpath.join(folder, given))


def _stage(stage: Mapping[str, Any], folder: str) -> dict[str, Any]:
    if "do" in stage:
        return {**stage, "do": _stage(stage["do"], folder)}
    return {"wdir": _wdir(stage, folder), **{key: value for key, value in stage.items() if key != "wdir"}}


def _stages(stages: Mapping[str, Any], folder: str) -> dict[str, Any]:
    return {name: _stage(stage, folder) for name, stage in stages.items()}


def _paths(items: list[Any], folder: str) -> list[Any]:
    return [path_from_root(item, folder) if isinstance(item, str) else item for item in items]


def _vars(items: list[Any], folder: str) -> list[Any]:
    return [_variable(item, folder) if isinstance(item, str) else item for item in items]


def _variable(item: str, folder: str) -> str:
    file, colon, keys = item.partition(":")
    return f"{path_from_root(file, folder)}{colon}{keys}"


def _plots(items: list[Any], folder: str) -> list[Any]:
    return [path_from_root(item, folder) if isinstance(item, str) else _plot(item, folder) for item in items]


def _plot(item: Mapping[str, Any], folder: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, plot in item.items():
        axes = {axis: plot[axis] for axis in ("x", "y") if isinstance((plot or {}).get(axis), Mapping)}
        moved = {axis: {path_from_root(file, folder): columns for file, columns in given.items()} for axis, given in axes.items()}  # fmt: skip
        found[name if "y" in axes else path_from_root(name, folder)] = {**plot, **moved} if plot else plot
    return found


def _artifacts(artifacts: Mapping[str, Any], folder: str) -> dict[str, Any]:
    return {name: {**each, "path": path_from_root(each["path"], folder)} for name, each in artifacts.items()}


def _unmoved(value: Any, _folder: str) -> Any:  # noqa: ANN401  DVC's own datasets name places of their own
    return value


_BLOCKS: dict[str, Callable[[Any, str], Any]] = {
    "stages": _stages,
    "vars": _vars,
    "metrics": _paths,
    "params": _paths,
    "plots": _plots,
    "artifacts": _artifacts,
}


def _edits(text: str, wanted: Mapping[str, Any], file: str) -> Iterator[Edit]:
    """What makes the text that of the declaration; where it does not, it is seen when it is read again."""
    root = compose_yaml(text, file)
    if not isinstance(root, MappingNode) or not root.value:
        raise Refusal
    for key, value in root.value:
        if not isinstance(key, ScalarNode):
            raise Refusal
        name = str(key.value)
        if name == "params":
            yield replace_scalar(text, key, PARAMETERS)
        if "dvc_file" in wanted:
            yield from _moved(text, value, wanted[PARAMETERS if name == "params" else name])
    yield _header(text, root, wanted)


def _header(text: str, root: MappingNode, wanted: Mapping[str, Any]) -> Edit:
    own = {key: wanted[key] for key in ("name", "dvc_file", "track") if key in wanted}
    if root.flow_style:
        return insert_first(text, root, own)
    break_ = "\r\n" if "\r\n" in text else "\n"
    indent = " " * root.value[0][0].start_mark.column
    lines = [f"{indent}{line}" for line in format_yaml(own).splitlines()]
    lines[-1] += f"  # {NO_TRACK}"
    place = start_of_document(text)
    return Edit(place, place, break_.join([*lines, ""]))


def _moved(text: str, node: Node, wanted: object) -> Iterator[Edit]:
    """The edits that make a node what is wanted: texts and keys that are others, and keys that are missing."""
    if isinstance(node, ScalarNode) and isinstance(wanted, str):
        if node.value != wanted:
            yield replace_scalar(text, node, wanted)
    elif isinstance(node, SequenceNode) and isinstance(wanted, list):
        for each, value in zip(node.value, wanted, strict=False):
            yield from _moved(text, each, value)
    elif isinstance(node, MappingNode) and isinstance(wanted, dict):
        yield from _moved_items(text, node, wanted)


def _moved_items(text: str, node: MappingNode, wanted: dict[str, Any]) -> Iterator[Edit]:
    own = {str(key.value): (key, value) for key, value in node.value if isinstance(key, ScalarNode)}
    if "<<" not in own and len(own) == len(wanted) and set(own) != set(wanted):
        for (key, value), (name, inner) in zip(own.values(), wanted.items(), strict=True):  # keys that are paths
            yield from _moved(text, key, name)
            yield from _moved(text, value, inner)
        return
    if "wdir" in wanted and "wdir" not in own:
        yield insert_first(text, node, {"wdir": wanted["wdir"]})
    for name, (_, inner_node) in own.items():
        if name in wanted:
            yield from _moved(text, inner_node, wanted[name])


def _plain(value: Any) -> Any:  # noqa: ANN401  whatever YAML holds
    """A value of DVC's reader as ours has it: dates are texts."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dt.date):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise CanonError(f"a declaration cannot hold the value {value!r}; write it as a text")


def _equal(one: object, other: object) -> bool:
    """Equal in value and kind: 1, 1.0 and true are three things, .nan is itself."""
    return _kinds(one) == _kinds(other)


def _kinds(value: object) -> str:
    def named(each: Any) -> Any:  # noqa: ANN401
        if isinstance(each, dict):
            return [[named(key), named(item)] for key, item in sorted(each.items(), key=lambda pair: repr(pair[0]))]
        if isinstance(each, list):
            return {"": [named(item) for item in each]}
        if isinstance(each, str) and re.match(r"\d{4}-\d\d?-\d\d?", each):
            return each[:10]  # a date of DVC's reader that ours left as it was written
        return repr(each)

    return json.dumps(named(value))


def _commented(text: str) -> str:
    return re.sub(r"(?m)^track: false$", lambda found: f"{found[0]}  # {NO_TRACK}", text, count=1)
