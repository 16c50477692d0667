"""From a problem's dotted path to the line of the declaration that it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from yaml.nodes import MappingNode, Node, SequenceNode

from canon.model.declaration import Declaration, data_stage
from canon.model.errors import Problem
from canon.output.yaml import compose_yaml


def line_of(root: Node | None, path: str) -> int:
    """Line, from 1, of the deepest node on the way along ``stages.train.deps[0]``; 0 without a document.

    Keys may hold dots, and what is declared below ``do`` is found without naming it.
    """
    if root is None:
        return 0
    line, node, rest = root.start_mark.line + 1, root, path
    while rest:
        step = _step(node, rest)
        if step is None:
            break
        line, node, rest = step
    return int(line)


def _step(node: Node, rest: str) -> tuple[int, Node, str] | None:
    if isinstance(node, SequenceNode):
        index = re.match(r"\[([0-9]+)\]\.?", rest)
        if index and int(index[1]) < len(node.value):
            child = node.value[int(index[1])]
            return child.start_mark.line + 1, child, rest[index.end() :]
    elif isinstance(node, MappingNode):
        for key, value in sorted(node.value, key=lambda pair: -len(str(pair[0].value))):
            name = str(key.value)
            if rest == name or rest.startswith((f"{name}.", f"{name}[")):
                return key.start_mark.line + 1, value, rest[len(name) :].removeprefix(".")
        for key, value in node.value:
            if key.value == "do":
                return _step(value, rest)
    return None


def placed(problems: Iterable[Problem], file: str, text: str, declaration: Declaration) -> tuple[Problem, ...]:
    """Problems with their lines, where they name a path of the declaration in ``file``, which has this text.

    A generated stage stands in no declaration: what is wrong with it is said of the dataset that it brings.
    """
    listed = tuple(problems)
    if not any(_is_open(problem, file) for problem in listed):
        return listed
    root = compose_yaml(text, file)
    found: list[Problem] = []
    for problem in listed:
        if _is_open(problem, file):
            path = _declared_path(problem.path, declaration)
            found.append(replace(problem, path=path, line=line_of(root, path)))
        else:
            found.append(problem)
    return tuple(found)


def _is_open(problem: Problem, file: str) -> bool:
    return problem.file == file and bool(problem.path) and not problem.line


def _declared_path(path: str, declaration: Declaration) -> str:
    for name, data in declaration.data.items():
        generated = f"stages.{data_stage(name)}"
        if data.materialize and (path == generated or path.startswith(f"{generated}.")):
            return f"data.{name}" + {".outs": ".path", ".deps": ".from"}.get(path.removeprefix(generated), "")
    return path
