"""Params files as DVC reads them (dvc/dependency/param.py, dvc/utils/serialize), without DVC.

The format follows from the name: ``.toml``, ``.json`` and ``.py``; everything else is YAML.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from canon.model.errors import CanonError
from canon.output.yaml import compose_yaml


def load_params(path: Path) -> Any:  # noqa: ANN401  a file holds anything
    """Return what a params file holds. Raises CanonError when it is not there, or not in its format."""
    if path.is_dir():
        raise CanonError(f"{path} is a folder where a params file is expected; name a file below it")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CanonError(f"there is no params file {path}; write it, or remove it from the stage's `params`") from None
    except UnicodeDecodeError as error:
        raise CanonError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    try:
        return _PARSERS.get(path.suffix.lower(), _parse_yaml)(text, str(path))
    except CanonError:
        raise
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise CanonError(
            f"{path} cannot be read as a params file ({type(error).__name__}: {' '.join(str(error).split())}); correct it"
        ) from None


def tracked_values(document: object, keys: tuple[str, ...], name: str) -> dict[str, Any]:
    """Return the values of keys (``a.b.0``, ``*`` and ``?`` as DVC allows), by key; of no keys, the whole file.

    ``name`` stands for the file in messages. Raises CanonError for a key that is missing, or finds several values.
    """
    if not keys:
        if not isinstance(document, Mapping) or not all(isinstance(key, str) for key in document):
            raise CanonError(
                f"{name} is tracked as a whole, but is no mapping with texts as keys; list single keys of it"
            )
        return {key: document[key] for key in sorted(document)}
    import dpath
    from dpath.exceptions import InvalidGlob, InvalidKeyName

    values: dict[str, Any] = {}
    for key in sorted(set(keys)):
        try:
            values[key] = dpath.get(cast("Any", document), key, separator=".")
        except KeyError:
            raise CanonError(f"{name} has no key `{key}`; write it, or remove it from the stage's `params`") from None
        except (ValueError, InvalidGlob, InvalidKeyName) as error:
            raise CanonError(f"{name}: the key `{key}` cannot be looked up ({error}); name one key") from None
    return values


def _parse_yaml(text: str, name: str) -> Any:  # noqa: ANN401
    """Read with DVC's own reader: dates, sets and numbers with ``_`` have to be what they are to DVC."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if "&" in text:
        compose_yaml(text, name)  # refuses aliases that explode
    try:
        return YAML(typ="safe").load(text) or {}
    except YAMLError as error:
        raise CanonError(f"{name} is not YAML ({' '.join(str(error).split())}); correct it") from None


def _parse_json(text: str, _name: str) -> Any:  # noqa: ANN401
    return json.loads(text) or {}


def _parse_toml(text: str, _name: str) -> Any:  # noqa: ANN401
    import tomllib

    return tomllib.loads(text)


def _parse_python(text: str, name: str) -> dict[str, Any]:
    return dict(_assigned(ast.parse(text, filename=name).body, own=False))


def _assigned(body: list[ast.stmt], *, own: bool) -> Iterator[tuple[str, Any]]:
    """Yield names and literal values that statements assign: classes as mappings, with ``self.x`` of their ``__init__``.

    ``own``: in an ``__init__``, where a plain name is no param. What is not a literal is passed over.
    """
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield statement.name, dict(_assigned(statement.body, own=False))
        elif isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            yield from _assigned(statement.body, own=True)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            name = _name(targets[0], own=own) if len(targets) == 1 else None
            if name is not None and statement.value is not None:
                try:
                    value = ast.literal_eval(statement.value)
                except ValueError:
                    continue
                yield name, value


def _name(target: ast.expr, *, own: bool) -> str | None:
    if isinstance(target, ast.Name) and not own:
        return target.id
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
        return target.attr
    return None


_PARSERS = {".toml": _parse_toml, ".json": _parse_json, ".py": _parse_python}
