"""Canonical JSON and the hashes of it.

Canonical here means: keys sorted by code point, no white space, UTF-8 without escapes, numbers as Python's ``json``
writes them (shortest text that reads back the same), and no NaN or infinity, which JSON lacks: they become strings.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

JSON: TypeAlias = bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"] | None


_AS_THEY_ARE = frozenset({str, int, bool, type(None)})


def _finite(value: object) -> object:
    kind = type(value)
    if kind in _AS_THEY_ARE:  # almost all that there is
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, dict | Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def format_canonical(value: object) -> bytes:
    """Return ``value`` as canonical JSON; equal values give equal bytes on every machine."""
    text = json.dumps(_finite(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def sha256_of(value: object) -> str:
    """Return the sha256, 64 hex digits, of the value's canonical JSON."""
    return hashlib.sha256(format_canonical(value)).hexdigest()
