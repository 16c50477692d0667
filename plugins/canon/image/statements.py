"""In-toto statements (v1): what somebody says of an image; and SLSA's, that says where it came from (provenance v1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from canon.image.descriptors import format_json, json_from_bytes
from canon.model.errors import CanonError

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
CYCLONEDX = "https://cyclonedx.org/bom"
"""Predicate that is a bill of materials."""


@dataclass(frozen=True)
class Statement:
    """A statement that was read: ``names`` are those of its subjects that are the image."""

    names: tuple[str, ...]
    predicate_type: str
    predicate: Mapping[str, Any]


def build_provenance(
    *,
    build_type: str,
    builder: str,
    parameters: Mapping[str, Any],
    internal: Mapping[str, Any] | None = None,
    dependencies: Sequence[Mapping[str, Any]] = (),
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """SLSA's predicate: what is given and nothing else, so that the same build gives the same bytes.

    ``build_type`` and ``builder`` are URIs; each dependency has a ``uri``, and a ``digest`` (algorithm → hex) where there is one.
    """
    details = {"builder": {"id": builder}, **({"metadata": dict(metadata)} if metadata else {})}
    return {
        "buildDefinition": {
            "buildType": build_type,
            "externalParameters": dict(parameters),
            "internalParameters": dict(internal or {}),
            "resolvedDependencies": sorted((dict(each) for each in dependencies), key=format_json),
        },
        "runDetails": details,
    }


def build_statement(name: str, digest: str, predicate: Mapping[str, Any], predicate_type: str = PROVENANCE) -> bytes:
    """A statement about the image of a digest (``sha256:…``), as the bytes that are signed."""
    algorithm, _, value = digest.partition(":")
    return format_json(
        {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": {algorithm: value}}],
            "predicateType": predicate_type,
            "predicate": dict(predicate),
        }
    )


def statement_from_bytes(content: bytes, digest: str) -> Statement:
    """Read a statement, which must be about the image of that digest. Raises CanonError."""
    value = json_from_bytes(content, "the statement")
    if value.get("_type") != STATEMENT:
        raise CanonError(f"{value.get('_type')!r} is no in-toto statement of version 1")
    subjects, kind, predicate = (value.get(name) for name in ("subject", "predicateType", "predicate"))
    if not isinstance(subjects, list) or not isinstance(kind, str) or not isinstance(predicate, dict):
        raise CanonError("the statement is damaged: it lacks `subject`, `predicateType` or `predicate`")
    algorithm, _, wanted = digest.partition(":")
    named = [
        str(each.get("name", ""))
        for each in subjects
        if isinstance(each, dict) and isinstance(each.get("digest"), dict) and each["digest"].get(algorithm) == wanted
    ]
    if not named:
        raise CanonError("the statement is about another image")
    return Statement(tuple(named), kind, predicate)
