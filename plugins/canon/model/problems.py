"""From pydantic's errors to problems that name file, line, dotted path and remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from yaml.nodes import MappingNode, Node, SequenceNode

from canon.model.delivery import CRON, GATE
from canon.model.errors import Problem
from canon.model.fields import DNS_LABEL, DURATION, NAME, QUANTITY

Place: TypeAlias = tuple[str | int, ...]
Locate: TypeAlias = Callable[[Place], int]

PATTERNS = {
    DNS_LABEL: "write a DNS label: small letters, digits and `-`, a letter first, at most 63 characters",
    QUANTITY: "write a Kubernetes quantity, such as `500m`, `2`, `512Mi` or `2Gi`",
    DURATION: "write a duration, such as `90s`, `30m` or `1h30m`",
    NAME: "use letters, digits, `_` and `-`, a letter first",
    GATE.pattern: "write `METRIC <= NUMBER`, `METRIC <= NUMBER * ENVIRONMENT.METRIC` or `healthy 24h`",
    CRON: "write five fields: minute hour day month weekday, such as `0 3 * * 1`",
}
REMEDIES = {
    "bool_type": "write true or false",
    "int_type": "write a whole number",
    "string_type": "write a text; put quotes around a value that YAML reads as something else",
    "dict_type": "write a mapping: `key: value` lines",
    "list_type": "write a list: lines that begin with `- `",
    "tuple_type": "write a list: lines that begin with `- `",
    "missing": "add the key",
    "too_short": "add at least one",
}


def locate_yaml(root: Node | None, place: Place) -> int:
    """Line, from 1, of the deepest node on the way to ``place``; 0 without a document."""
    if root is None:
        return 0
    line, node = root.start_mark.line + 1, root
    for step in place:
        child: Node | None = None
        if isinstance(node, MappingNode):
            for key, value in node.value:
                if key.value == str(step):
                    line, child = key.start_mark.line + 1, value
        elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
            child = node.value[step]
            line = child.start_mark.line + 1
        if child is None:
            break
        node = child
    return int(line)


def locate_toml(text: str, place: Place) -> int:
    """Line, from 1, of the key that ``place`` names in TOML text, or of the table around it; 0 when there is neither.

    tomllib gives no positions: tables are found by their headers, keys by the start of a line.
    """
    best, depth, table = 0, -1, ()  # type: tuple[int, int, tuple[str, ...]]
    wanted = tuple(str(step) for step in place)
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"^\s*\[+\s*([^\]]+?)\s*\]+", line)
        key = re.match(r"^\s*([A-Za-z0-9_\"'.-]+)\s*=", line)
        if header:
            table = tuple(part.strip("\"' ") for part in header.group(1).split("."))
            full: tuple[str, ...] = table
        elif key:
            full = (*table, *(part.strip("\"' ") for part in key.group(1).split(".")))
        else:
            continue
        if full == wanted[: len(full)] and len(full) > depth:
            best, depth = number, len(full)
    return best


def format_place(place: Place) -> str:
    """``('stages', 'train', 'deps', 0)`` as ``stages.train.deps[0]``."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _real_place(location: Sequence[str | int], data: Any) -> Place:  # noqa: ANN401  whatever YAML holds
    """Drop what pydantic adds to a location: the tags of unions, and ``[key]``."""
    place: list[str | int] = []
    here = data
    for position, step in enumerate(location):
        last = position == len(location) - 1
        inside = (
            step < len(here)
            if isinstance(here, list | tuple) and isinstance(step, int)
            else isinstance(here, Mapping) and step in here
        )
        if inside:
            here = here[step]
        elif not (last and isinstance(here, Mapping) and isinstance(step, str) and re.fullmatch(r"[a-z_]+", step)):
            continue  # else it is a key that is missing
        place.append(step)
    return tuple(place)


def _models(annotation: Any) -> Iterable[type[BaseModel]]:  # noqa: ANN401  any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        if argument is not None and not isinstance(argument, str):
            yield from _models(argument)


def _known_keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Keys that the model allows beside the unknown one that ``location`` ends with."""
    candidates: list[type[BaseModel]] = [model]
    for step in location[:-1]:
        below: list[type[BaseModel]] = []
        for candidate in candidates:
            for name, field in candidate.model_fields.items():
                if step in {name, field.alias}:
                    below += _models(field.annotation) if field.annotation is not None else ()
        # A step that is no field is a key of a mapping, an index or a tag: the models stay.
        candidates = below or candidates
    return sorted({field.alias or name for candidate in candidates for name, field in candidate.model_fields.items()})


def _remedy(error: ErrorDetails, model: type[BaseModel]) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        key = str(error["loc"][-1])
        near = difflib.get_close_matches(key, _known_keys(model, error["loc"]), n=1, cutoff=0.5)
        return (
            f"did you mean `{near[0]}`?"
            if near
            else f"remove it; known keys here: {', '.join(_known_keys(model, error['loc']))}"
        )
    if kind == "string_pattern_mismatch":
        pattern = error["ctx"]["pattern"]
        return PATTERNS.get(pattern, f"it must match {pattern}")
    if kind in {"literal_error", "enum"}:
        return f"write {error['ctx']['expected']}"
    return REMEDIES.get(kind, "")


def problems_from_validation(
    error: ValidationError, *, file: str, data: object, model: type[BaseModel], locate: Locate, prefix: Place = ()
) -> tuple[Problem, ...]:
    """Every error of a validation as a problem; ``prefix`` is where ``data`` stands in its file."""
    problems: dict[tuple[Place, str], Problem] = {}
    for details in error.errors(include_url=False):
        place = _real_place(details["loc"], data)
        if details["type"] == "extra_forbidden":
            message = f"unknown key `{details['loc'][-1]}`"
        elif details["type"] == "missing":
            message = f"the key `{details['loc'][-1]}` is missing"
        else:
            message = (
                re.sub(r"match pattern '.*'$", "have another form", details["msg"])
                .replace("Input should", "should")
                .replace("String should", "should")
                .replace("valid tuple", "list")
                .replace("valid list", "list")
                .replace("valid dictionary", "mapping")
                .replace("valid string", "text")
            )
            value = details["input"]
            if isinstance(value, str | int | float | bool) and len(str(value)) <= 80:  # noqa: PLR2004  what fits in a line
                message += f", not {value!r}"
        problems.setdefault((place, message), Problem(
            file=file, line=locate((*prefix, *place)), path=format_place((*prefix, *place)), message=message, remedy=_remedy(details, model),
        ))  # fmt: skip
    return tuple(sorted(problems.values(), key=lambda problem: problem.line))
