"""What DVC makes of a dvc.yaml: its stages and blocks, templates filled in by its own resolver, and where two of them differ."""

from __future__ import annotations

import copy
import datetime as dt
import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canon.model.errors import CanonError
from canon.model.paths import is_url

if TYPE_CHECKING:
    from dvc.repo import Repo

BLOCKS = ("artifacts", "datasets", "metrics", "params", "plots")


@dataclass(frozen=True, slots=True)
class View:
    """Resolved: ``stages`` by name in DVC's order, with ``wdir`` from the root; ``blocks``: what else stands at the top."""

    stages: Mapping[str, Mapping[str, Any]]
    blocks: Mapping[str, Any]


def load_document(text: str, file: str, *, check: bool = True) -> dict[str, Any]:
    """Return the mapping of a dvc.yaml as DVC reads it; ``check``: against its schema, too.

    Raises CanonError with DVC's own words where it does not take it.
    """
    from dvc.schema import COMPILED_MULTI_STAGE_SCHEMA
    from dvc.utils.serialize import ParseError, parse_yaml
    from voluptuous import MultipleInvalid

    try:
        document = parse_yaml(text.replace("\r\n", "\n"), file)
        if document and check:
            COMPILED_MULTI_STAGE_SCHEMA(copy.deepcopy(document))
    except ParseError as error:
        raise CanonError(_words(error.__cause__ or error)) from None
    except MultipleInvalid as error:
        raise CanonError("; ".join(str(each) for each in error.errors)) from None
    return dict(document)


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())


def resolved_view(repo: Repo, file: str, document: Mapping[str, Any]) -> View:
    """Return what DVC makes of the mapping of the dvc.yaml ``file``. Raises CanonError with DVC's own words."""
    from dvc.exceptions import DvcException
    from dvc.parsing import DataResolver

    folder = posixpath.dirname(file)
    try:
        resolver = DataResolver(repo, os.fspath(Path(repo.root_dir) / folder), copy.deepcopy(dict(document)))
        stages: dict[str, Mapping[str, Any]] = {}
        for name in resolver.get_keys():
            stage = dict(resolver.resolve_one(name)[name])
            stage["wdir"] = posixpath.normpath(posixpath.join(folder, stage.get("wdir") or "."))
            stages[name] = stage
        blocks = {key: getattr(resolver, f"resolve_{key}")() for key in BLOCKS}
    except DvcException as error:
        raise CanonError(_words(error)) from None
    except (TypeError, ValueError, AttributeError, LookupError, AssertionError) as error:  # what DVC did not foresee
        raise CanonError(f"DVC ends with {type(error).__name__}: {_words(error)}") from None
    return View(stages, {**blocks, "plots": [_plot(each) for each in blocks["plots"]], "metrics": _normal(blocks["metrics"]), "params": _normal(blocks["params"]), "artifacts": _artifacts(blocks["artifacts"])})  # fmt: skip


def differences(before: View, after: View) -> Iterator[tuple[str, str]]:
    """Yield where two views are not the same: a dotted place, and what it was and would be."""
    for name in [*before.stages, *(name for name in after.stages if name not in before.stages)]:
        old, new = before.stages.get(name), after.stages.get(name)
        if old is None or new is None:
            yield f"stages.{name}", "would be a new stage" if old is None else "would be gone"
            continue
        for key in dict.fromkeys([*old, *new]):
            if not is_same(old.get(key), new.get(key)):  # an empty `meta:` is none
                yield f"stages.{name}.{key}", f"was {old.get(key)!r} and would be {new.get(key)!r}"
    if list(before.stages) != list(after.stages):
        yield "stages", "would stand in another order"
    for key in BLOCKS:
        if not is_same(before.blocks[key], after.blocks[key]):
            yield key, f"was {before.blocks[key]!r} and would be {after.blocks[key]!r}"


def is_same(one: Any, other: Any) -> bool:  # noqa: ANN401  whatever YAML holds
    """Tell whether two values are equal and of one kind: 1, 1.0 and true differ, and so do mappings in another order.

    A date is its text: only `meta` can hold one.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return len(one) == len(other) and all(map(is_same, one.items(), other.items()))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, dt.date) and isinstance(other, str):
        return one.isoformat()[:10] == other[:10]
    return type(one) is type(other) and (one == other or (one != one and other != other))  # noqa: PLR0124  .nan


def _path(path: str) -> str:
    return path if is_url(path) else posixpath.normpath(path)


def _normal(items: list[str]) -> list[str]:
    return [_path(item) if isinstance(item, str) else item for item in items]


def _artifacts(artifacts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {**each, "path": _path(each["path"])} for name, each in artifacts.items()}


def _plot(item: Any) -> Any:  # noqa: ANN401  DVC's plots are texts and mappings
    """A plot whose paths are written plainly: `./a.csv` is `a.csv`."""
    if isinstance(item, str):
        return _path(item)
    found: dict[str, Any] = {}
    for name, plot in item.items():
        axes = {axis: plot[axis] for axis in ("x", "y") if isinstance((plot or {}).get(axis), Mapping)}
        plain = {axis: {_path(file): columns for file, columns in given.items()} for axis, given in axes.items()}
        found[name if "y" in axes else _path(name)] = {**plot, **plain} if plot else plot
    return found
