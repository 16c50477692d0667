"""The paths of JSON that manifests use: ``$.name``, ``$['name']``, ``$[0]``."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.harness.errors import NodeError

STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|\[(?P<number>\d+)\]|\[(?P<quote>['"])(?P<key>.*?)(?P=quote)\]"""
)


def query(text: str, path: str) -> Any:
    """The value at a path of a JSON text. Raises NodeError: no JSON, no such key, another form of path."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise NodeError(f"jsonpath of what is no JSON: {error}") from None
    at = 1
    while at < len(path) or not path.startswith("$"):
        step = STEP.match(path, at)
        if not path.startswith("$") or step is None:
            raise NodeError(f"invalid JSONPath, or one that the harness does not implement: {path!r}")
        key: str | int = int(step["number"]) if step["number"] else step["name"] or step["key"]
        try:
            value = value[key]
        except (LookupError, TypeError):
            raise NodeError(f"key: invalid token key '{key}' not found ({path} in {text[:200]})") from None
        at = step.end()
    return value
