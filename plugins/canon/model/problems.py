"""From pydantic's errors to problems that name file, line, dotted path and remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails
from yaml.nodes import MappingNode, Node, SequenceNode

from canon.model.delivery import CRON, GATE
from canon.model.errors import Problem
from canon.model.fields import (
    ABSOLUTE,
    BRANCH,
    DNS_LABEL,
    DURATION,
    DVC_FILE,
    IMAGE,
    NAME,
    QUANTITY,
    TIMEZONE,
    URL,
    URL_PATH,
    VARIABLE,
)

Place: TypeAlias = tuple[str | int, ...]
Locate: TypeAlias = Callable[[Place], int]

PATTERNS = {
    DNS_LABEL: "write a DNS label: small letters, digits and `-`, a letter first, at most 63 characters",
    QUANTITY: "write a Kubernetes quantity, such as `500m`, `2`, `512Mi` or `2Gi`",
    DURATION: "write a duration, such as `90s`, `30m` or `1h30m`",
    NAME: "use letters, digits, `_` and `-`, a letter first",
    GATE.pattern: "write `METRIC <= NUMBER`, `METRIC <= NUMBER * ENVIRONMENT.METRIC` or `healthy 24h`",
    VARIABLE: "write the name of a variable: letters, digits and `_`, no digit first",
    ABSOLUTE: "begin with `/`",
    URL_PATH: "write the path of a URL, such as `/health`, without white space",
    DVC_FILE: "DVC reads files of the name dvc.yaml alone; write FOLDER/dvc.yaml",
    IMAGE: "write the image without white space, such as `docker.io/library/python@sha256:…`",
    BRANCH: "write a branch, or a pattern such as `exp/*`",
    TIMEZONE: "write a time zone, such as `Europe/Berlin`",
    URL: "write a URL, such as https://argo.example.com, without credentials",
    CRON: "write five fields: minute hour day month weekday, such as `0 3 * * 1`",
}
TEXT_REMEDY = "write a text; put quotes around a value that YAML reads as something else"
MAPPING_REMEDY = "write a mapping: `key: value` lines"
LIMITS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
WORDS = {
    "Input should": "should",
    "String should": "should",
    "Dictionary should": "should",
    "valid tuple": "list",
    "valid list": "list",
    "valid dictionary": "mapping",
    "valid string": "text",
}
"""pydantic's words, and those of YAML."""
REMEDIES = {
    "bool_type": "write true or false",
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "finite_number": "write a number",
    "string_type": TEXT_REMEDY,
    "invalid_key": TEXT_REMEDY,
    "dict_type": MAPPING_REMEDY,
    "model_type": MAPPING_REMEDY,
    "model_attributes_type": MAPPING_REMEDY,
    "list_type": "write a list: lines that begin with `- `",
    "tuple_type": "write a list: lines that begin with `- `",
    "missing": "add the key",
    "too_short": "add at least one",
    "string_too_short": "write something, or remove the key",
    "string_too_long": "choose a shorter one",
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


_TOML_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""|"(?:\\.|[^"\\\n])*"'  # texts
    r"|'''.*?'''|'[^'\n]*'"
    r"|#[^\n]*|[\[\]{}\n]",
    re.DOTALL,
)
_TOML_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*')"""
_TOML_KEYS = rf"({_TOML_KEY}(?:\s*\.\s*{_TOML_KEY})*)"
_TOML_HEADER = re.compile(rf"^\s*\[+\s*{_TOML_KEYS}\s*\]+")
_TOML_PAIR = re.compile(rf"^\s*{_TOML_KEYS}\s*=")


def _toml_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines, with their numbers from 1, that begin outside of texts and arrays."""
    lines = text.split("\n")
    number, depth = 1, 0
    yield number, lines[0]
    for piece in _TOML_TOKEN.findall(text):
        if piece in "[{":
            depth += 1
        elif piece in "]}":
            depth -= 1
        number += piece.count("\n")
        if piece == "\n" and not depth:
            yield number, lines[number - 1]


def _toml_keys(text: str) -> Place:
    return tuple(key[1:-1] if key[0] in "\"'" else key for key in re.findall(_TOML_KEY, text))


def locate_toml(text: str, place: Place) -> int:
    """Line, from 1, of the key that ``place`` names in TOML text, or of the table around it; 0 when there is neither.

    tomllib gives no positions.
    """
    best, depth = 0, -1
    table: Place = ()
    for number, line in _toml_lines(text):
        if header := _TOML_HEADER.match(line):
            full = table = _toml_keys(header[1])
        elif pair := _TOML_PAIR.match(line):
            full = (*table, *_toml_keys(pair[1]))
        else:
            continue
        if full == tuple(map(str, place[: len(full)])) and len(full) > depth:
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
        last, here_before = position == len(location) - 1, here
        inside = (
            step < len(here)
            if isinstance(here, list | tuple) and isinstance(step, int)
            else isinstance(here, Mapping) and step in here
        )
        if inside:
            here = here[step]
        elif not (last and isinstance(here, Mapping) and isinstance(step, str) and re.fullmatch(r"[a-z_]+", step)):
            continue  # else it is a key that is missing
        place.append(str(step) if isinstance(here_before, Mapping) else step)
    return tuple(place)


def _models(annotation: Any, tags: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:  # noqa: ANN401  any annotation
    """The models in an annotation, each with the tags of the unions' members that it stands in."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield tags, annotation
    arguments = get_args(annotation)
    tags += tuple(each.tag for each in arguments if isinstance(each, Tag))
    for argument in arguments:
        if argument is not None and not isinstance(argument, str):
            yield from _models(argument, tags)


def _known_keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Keys that the model allows beside the unknown one that ``location`` ends with."""
    candidates: list[tuple[tuple[str, ...], type[BaseModel]]] = [((), model)]
    for step in location[:-1]:
        below: list[tuple[tuple[str, ...], type[BaseModel]]] = []
        for _, candidate in candidates:
            for name, field in candidate.model_fields.items():
                if step in {name, field.alias}:
                    below += _models(field.annotation)
        # A step that is no field is a key of a mapping, an index, or a tag, which chooses among the models.
        candidates = below or [each for each in candidates if step in each[0]] or candidates
    return sorted({field.alias or name for _, each in candidates for name, field in each.model_fields.items()})


def _remedy(error: ErrorDetails, model: type[BaseModel]) -> str:
    kind = error["type"]
    if kind == "dict_type" and error["loc"] == ("params",):
        return f"{MAPPING_REMEDY}; the list that DVC calls `params` at the top is called `parameters` here"
    if kind == "extra_forbidden":
        near = _nearest(error, model)
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
    if kind in LIMITS:
        words, name = LIMITS[kind]
        return f"write a number that is {words} {error['ctx'][name]:g}"
    return REMEDIES.get(kind, "")


def _nearest(error: ErrorDetails, model: type[BaseModel]) -> list[str]:
    """The known key, if any, that an unknown one is most like."""
    return difflib.get_close_matches(str(error["loc"][-1]), _known_keys(model, error["loc"]), n=1, cutoff=0.5)


def _message(error: ErrorDetails) -> str:
    """What is wrong, in words of YAML."""
    if error["type"] == "extra_forbidden":
        return f"unknown key `{error['loc'][-1]}`"
    if error["type"] == "missing":
        return f"the key `{error['loc'][-1]}` is missing"
    if error["type"] == "invalid_key":
        return f"the key should be a text, not {error['loc'][-1]!r}"
    message = re.sub(r"match pattern '.*'$", "have another form", error["msg"])
    message = re.sub(r" or instance of \w+", "", message)
    for old, new in WORDS.items():
        message = message.replace(old, new)
    value = error["input"]
    if isinstance(value, str | int | float | bool) and len(str(value)) <= 80:  # noqa: PLR2004  what fits in a line
        message += f", not {value!r}"
    return message


def problems_from_validation(
    error: ValidationError, *, file: str, data: object, model: type[BaseModel], locate: Locate, prefix: Place = ()
) -> tuple[Problem, ...]:
    """Every error of a validation as a problem; ``prefix`` is where ``data`` stands in its file."""
    problems: dict[tuple[Place, str], Problem] = {}
    details_of_all = error.errors(include_url=False)
    misspelt = {
        (*details["loc"][:-1], near)
        for details in details_of_all
        if details["type"] == "extra_forbidden"
        for near in _nearest(details, model)
    }
    for details in details_of_all:
        if details["type"] == "missing" and details["loc"] in misspelt:
            continue
        place = _real_place(details["loc"], data)
        message = _message(details)
        problems.setdefault((place, message), Problem(
            file=file, line=locate((*prefix, *place)), path=format_place((*prefix, *place)), message=message, remedy=_remedy(details, model),
        ))  # fmt: skip
    return tuple(sorted(problems.values(), key=lambda problem: problem.line))
