"""`/opt/canon/provenance.json`: which code, environment, data and parameters made the model of an image.

With the image's own layers it is enough to compute the image again, to the byte: that is what `canon image verify` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from canon.image.descriptors import Manifest, digest_of, format_json, json_from_bytes
from canon.image.images import check_config, labels_of
from canon.model.canonical import format_canonical, sha256_of
from canon.model.errors import CanonError
from canon.model.result import Result, format_result

PROVENANCE = "opt/canon/provenance.json"
"""Where it lies in an image."""
MAX_PROVENANCE = 64 * 1024 * 1024
"""Bytes of the largest one that is read; a model of 100,000 files has 20 MB."""

Hex40 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelFile(_Part):
    """One file of the model; ``size`` in bytes. DVC knows it by ``md5``, what it is says ``sha256`` alone."""

    sha256: Hex64
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    size: Annotated[int, Field(strict=True, ge=0)]


class BakedModel(_Part):
    """The model: the artifact's name, its path from the root, and its files by their path below that (``""``: a single file)."""

    artifact: str
    path: str
    files: dict[str, ModelFile]

    @property
    def hash(self) -> str:
        """The model's name: sha256, 64 hex digits, over the canonical JSON of the sorted list of [path, sha256]."""
        return sha256_of(sorted([path, file.sha256] for path, file in self.files.items()))


class BakedBase(_Part):
    """The image below, as its own manifest and configuration say; both are canonical JSON, so that the digest follows."""

    manifest: dict[str, Any]
    config: dict[str, Any]

    @property
    def digest(self) -> str:
        """Digest of its manifest."""
        return digest_of(format_json(self.manifest))

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return labels_of(self.config)


PathText = Annotated[str, Field(pattern=r"^[^\x00]*$", max_length=4096)]


class _File(BaseModel):
    path: PathText
    md5: str | None = None


class _Entry(BaseModel):
    """The form of a lock entry, as far as it is read; the entry itself is kept as it was recorded."""

    cmd: str | list[str] | None = None
    deps: list[_File] | None = None
    outs: list[_File] | None = None
    params: dict[PathText, dict[str, Any]] | None = None


class _Pin(BaseModel):
    md5: str
    sha256: str | None = None


class Provenance(_Part):
    """Where everything in an image came from.

    ``commit`` is the last one that changed the source tree ``tree``. ``params``, ``metrics``, ``pins``, ``entries`` and ``artifacts``
    are the result's, which ``result`` names. ``applied``: params files that differ from the commit's, path → sha256.
    """

    schema_: Literal[1] = Field(default=1, alias="schema")
    pipeline: str
    commit: Hex40
    tree: Hex40
    dirty: bool = False
    data_hash: Hex64
    result: Hex64
    params: dict[str, dict[str, Any]]
    metrics: dict[str, Any]
    pins: dict[str, dict[str, Any]]
    entries: dict[str, dict[str, Any]]
    artifacts: dict[str, dict[str, str]]
    applied: dict[str, Hex64]
    model: BakedModel
    base: BakedBase

    def recorded_result(self) -> Result:
        """The result that the model is a part of."""
        return Result(self.pipeline, self.params, self.metrics, self.pins, self.entries, self.artifacts)


def build_provenance(
    result: Result,
    *,
    commit: str,
    tree: str,
    dirty: bool,
    applied: Mapping[str, str],
    model: BakedModel,
    base: BakedBase,
) -> Provenance:
    """What is known of an image when it is baked."""
    recorded = json.loads(format_result(result))  # as JSON has it, which knows no NaN
    parts = {key: recorded[key] for key in ("pipeline", "params", "metrics", "pins", "entries", "artifacts")}
    return Provenance(
        schema=1,
        **parts,
        commit=commit,
        tree=tree,
        dirty=dirty,
        data_hash=result.data_hash,
        result=result.digest,
        applied=dict(applied),
        model=model,
        base=base,
    )


def format_provenance(provenance: Provenance) -> bytes:
    """Canonical JSON and a newline."""
    return format_canonical(provenance.model_dump(by_alias=True)) + b"\n"


def provenance_from_bytes(content: bytes, name: str) -> Provenance:
    """Read a provenance file; ``name`` stands for it in messages. Raises CanonError."""
    document = json_from_bytes(content, name)
    try:
        provenance = Provenance.model_validate(document)
        for entry in provenance.entries.values():
            _Entry.model_validate(entry)
        for pin in provenance.pins.values():
            _Pin.model_validate(pin)
        layers = Manifest.model_validate(provenance.base.manifest).layers
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise CanonError(f"{name} is no provenance that this version reads: {place}: {first['msg']}") from None
    try:
        canonical = format_provenance(provenance) == content
        format_json([provenance.base.config, provenance.base.manifest])
    except (ValueError, RecursionError):
        canonical = False
    if not canonical:
        raise CanonError(f"{name} is not as Canon writes it: it was edited")
    check_config(f"the base in {name}", provenance.base.config, len(layers))
    return provenance
