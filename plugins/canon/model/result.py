"""The result of a finished pipeline: what it was made from and what came out, named by its own hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from canon.model.canonical import format_canonical
from canon.model.errors import CanonError
from canon.model.pins import data_hash

SCHEMA = 1
"""Number of the layout; another one is another result."""


@dataclass(frozen=True, slots=True)
class Result:
    """Canonical content of one finished pipeline; no commit, profile, host or time.

    ``params``: params file → key → value, of every stage. ``metrics``: path → content. ``pins``: dataset → pin, and path →
    ``{md5, size, nfiles}`` for an input that a `.dvc` file tracks. ``entries``: stage → what dvc.lock says of it.
    ``artifacts``: artifact → path below it (``""`` for a single file) → sha256.
    """

    pipeline: str
    params: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, Any]
    pins: Mapping[str, Mapping[str, Any]]
    entries: Mapping[str, Mapping[str, Any]]
    artifacts: Mapping[str, Mapping[str, str]]

    @property
    def digest(self) -> str:
        """The result's name: sha256, 64 hex digits, of its canonical JSON."""
        return hashlib.sha256(format_result(self)).hexdigest()

    @property
    def data_hash(self) -> str:
        """Hash of all its inputs' content (design 4)."""
        return data_hash(data_inputs(self.pins))


def data_inputs(pins: Mapping[str, Mapping[str, Any]]) -> Iterable[tuple[str, str, str]]:
    """The triples (name, kind, value) that the data hash is made of."""
    for name, pin in pins.items():
        if "sha256" in pin:
            yield name, "folder" if str(pin["md5"]).endswith(".dir") else "file", f"sha256:{pin['sha256']}"
        else:
            yield name, "dvc", f"md5:{pin['md5']}"


def format_result(result: Result) -> bytes:
    """A result as canonical JSON."""
    return format_canonical(
        {
            "schema": SCHEMA,
            "pipeline": result.pipeline,
            "params": result.params,
            "metrics": result.metrics,
            "pins": result.pins,
            "entries": result.entries,
            "artifacts": result.artifacts,
        }
    )


def result_from_text(text: str | bytes, name: str) -> Result:
    """Return the result that a file holds; ``name`` stands for the file in messages. Raises CanonError."""
    try:
        content = json.loads(text)
        if content["schema"] != SCHEMA:
            raise CanonError(
                f"{name} is a result of layout {content['schema']}, this version reads {SCHEMA}; install the version that wrote it"
            )
        fields = {key: content[key] for key in ("pipeline", "params", "metrics", "pins", "entries", "artifacts")}
        result = Result(**fields)
        if format_result(result) != (text.encode() if isinstance(text, str) else text):
            raise CanonError(f"{name} is no canonical result: it was edited; run `dvc repro` to make it again")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CanonError(
            f"{name} is no result of a pipeline ({type(error).__name__}: {error}); run `dvc repro` to make it again"
        ) from None
    return result
