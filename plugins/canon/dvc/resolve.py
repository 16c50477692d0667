"""Resolved stages: templates filled in by DVC's own resolver, which is loaded only where there are any."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from canon.dvc.repository import open_repository
from canon.model.errors import Problem, ProblemsError
from canon.model.stage import DEFAULT_PARAMS_FILE, Stage, stage_from_definition
from canon.output.files import load_text
from canon.output.yaml import load_yaml

TEMPLATED = ("stages", "artifacts", "datasets", "metrics", "params", "plots")
"""Keys of a dvc.yaml that DVC fills in."""
NEED = ", which `${…}`, `vars`, `foreach` and `matrix` need"


def has_templating(document: Mapping[str, Any]) -> bool:
    """Tell whether a dvc.yaml has anything to resolve: ``${…}``, ``foreach``, ``matrix``, or ``vars`` to be read."""
    if document.get("vars") or any(_has_template(document.get(key)) for key in TEMPLATED):
        return True
    return any(key in stage for stage in document["stages"].values() for key in ("foreach", "matrix", "vars"))


def _has_template(value: object) -> bool:
    return "${" in repr(value)  # in C, where a walk in Python took longer than all else


def resolve_stages(root: Path, file: str, document: Mapping[str, Any], *, declared_in: str = "") -> tuple[Stage, ...]:
    """Return the stages of the mapping of a dvc.yaml at ``file``, in declaration order; the file need not exist.

    ``declared_in``: the file that a problem is said of. Raises ProblemsError with DVC's own words for each stage whose
    template cannot be filled in, CanonError where there is no DVC repository.
    """
    if not has_templating(document):
        return tuple(stage_from_definition(name, definition, file) for name, definition in document["stages"].items())
    _check_vars_files(root, file, document)
    from dvc.parsing import DataResolver

    problems: list[Problem] = []
    stages: list[Stage] = []
    with open_repository(root, NEED) as repo, _collected(problems, declared_in or file, "vars"):
        resolver = DataResolver(repo, os.fspath((root / file).parent), _copied(document))
        for key in ("artifacts", "datasets", "metrics", "params", "plots"):
            with _collected(problems, declared_in or file, key):
                getattr(resolver, f"resolve_{key}")()
        for group in document["stages"]:
            with _collected(problems, declared_in or file, f"stages.{group}"):
                for name in _members(resolver, group):
                    for resolved, definition in resolver.resolve_one(name).items():
                        _check_texts(resolved, definition)
                        stages.append(stage_from_definition(resolved, definition, file))
    if problems:
        raise ProblemsError(problems)
    return tuple(stages)


def _copied(document: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with stages of its own: DVC's resolver takes keys out of them."""
    stages = {
        name: {key: dict(value) if key == "do" else value for key, value in stage.items()}
        for name, stage in document["stages"].items()
    }
    return {**document, "stages": stages}


def _check_vars_files(root: Path, file: str, document: Mapping[str, Any]) -> None:
    """Raise ProblemsError for what DVC itself would read without any limit: exploding anchors, endless nesting."""
    definitions = [stage.get("do") or stage for stage in document["stages"].values()]
    named = [item for holder in (document, *definitions) for item in holder.get("vars") or () if isinstance(item, str)]
    for name in dict.fromkeys([DEFAULT_PARAMS_FILE, *(item.partition(":")[0] for item in named)]):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(file), name))
        text = load_text(root / path, path) if path.endswith((".yaml", ".yml")) and "${" not in path else None
        if text:
            load_yaml(text, path)


@contextlib.contextmanager
def _collected(problems: list[Problem], file: str, path: str) -> Iterator[None]:
    """Collect what DVC's resolver raises as a problem; on odd input it also ends with errors that it did not foresee."""
    from dvc.exceptions import DvcException

    try:
        yield
    except (
        DvcException,
        OSError,
        TypeError,
        ValueError,
        AttributeError,
        LookupError,
        AssertionError,
        RecursionError,
    ) as error:
        words = " ".join(str(error).split()) or type(error).__name__
        # DVC begins with the name of dvc.yaml, which is not written yet.
        words = re.sub(r"^failed to (?:parse|resolve) '([^']*)' in '[^']*': ", r"`\1`: ", words)
        remedy = "mend the template, or the file that it reads"
        problems.append(Problem(file=file, path=path, message=f"DVC cannot resolve it: {words}", remedy=remedy))


def _check_texts(name: str, definition: Mapping[str, Any]) -> None:
    """Raise ValueError where a template alone gave another value than a text: DVC loads that and cannot run it."""
    for key in ("cmd", "wdir", "deps", "outs", "metrics", "plots"):
        value = definition.get(key)
        for item in value if isinstance(value, list) else [value]:
            inside = list(item) if isinstance(item, Mapping) and key in {"outs", "metrics", "plots"} else [item]
            wrong = [each for each in inside if each is not None and not isinstance(each, str)]
            if wrong:
                raise ValueError(f"`{key}` of `{name}` becomes {wrong[0]!r}, which is no text")


def _members(resolver: Any, group: str) -> Iterator[str]:  # noqa: ANN401  DVC's own type
    definition = resolver.definitions[group]
    for name in definition.get_generated_names() if hasattr(definition, "get_generated_names") else (group,):
        if name.count("@") > 1:  # dvc/utils/__init__.py, `parse_target`, splits a name at the last one
            raise ValueError(f"an item of a stage's name holds no `@`, as `{name}` does")
        yield name
