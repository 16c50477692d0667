"""Descriptors, manifests and indexes, as OCI's image specification 1.1 has them; read from bytes that nobody vouches for."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from canon.model.errors import CanonError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS, INDEXES = (MANIFEST, DOCKER_MANIFEST), (INDEX, DOCKER_INDEX)
EMPTY = "application/vnd.oci.empty.v1+json"
"""Kind of the configuration `{}` of what is no image for containers."""
REF_NAME = "org.opencontainers.image.ref.name"
"""Annotation of a manifest in a layout's index: its tag."""
MAX_MANIFEST = 4 * 1024 * 1024
"""Bytes of the largest manifest that registries must take (distribution specification)."""
MAX_CONFIG = 16 * 1024 * 1024
"""Bytes of the largest configuration that is read."""
DIGEST = r"^sha256:[0-9a-f]{64}$"
"""The one algorithm that every registry takes."""

Digest = Annotated[str, Field(pattern=DIGEST)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Platform(_Part):
    """What an image runs on; ``name()`` is written as `docker --platform` takes it."""

    architecture: str
    os: str
    variant: str | None = None

    def name(self) -> str:
        """The platform in one word."""
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


class Descriptor(_Part):
    """What a blob is and what its bytes must be; ``size`` in bytes."""

    media_type: str = Field(alias="mediaType")
    digest: Digest
    size: Annotated[int, Field(strict=True, ge=0)]
    annotations: dict[str, str] = Field(default_factory=dict)
    platform: Platform | None = None
    artifact_type: str | None = Field(default=None, alias="artifactType")

    def document(self) -> dict[str, Any]:
        """The mapping that stands in a manifest."""
        return self.model_dump(by_alias=True, exclude_defaults=True, exclude_none=True)


class Manifest(_Part):
    """One image: its configuration and its layers, the base's first."""

    media_type: str = Field(default=MANIFEST, alias="mediaType")
    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str | None = Field(default=None, alias="artifactType")
    annotations: dict[str, str] = Field(default_factory=dict)
    subject: Descriptor | None = None


class Index(_Part):
    """Several images, one a platform; also the list of what lies in a layout."""

    media_type: str = Field(default=INDEX, alias="mediaType")
    manifests: tuple[Descriptor, ...]


def digest_of(content: bytes) -> str:
    """The digest of bytes: ``sha256:`` and 64 hex digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def descriptor_of(content: bytes, media_type: str) -> Descriptor:
    """The descriptor of bytes."""
    return Descriptor(media_type=media_type, digest=digest_of(content), size=len(content))


def format_json(document: object) -> bytes:
    """Canonical JSON: sorted keys, no white space, UTF-8 as it is. The same value gives the same bytes everywhere."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def json_from_bytes(content: bytes, name: str) -> dict[str, Any]:
    """Read a JSON object. Raises CanonError."""
    try:
        value = json.loads(content)
        format_json(value)  # NaN and lone surrogates are no JSON, and could not be written again
    except (ValueError, RecursionError) as error:
        raise CanonError(f"{name} is not JSON ({error}); it was not written by an image tool, or is damaged") from None
    if not isinstance(value, dict):
        raise CanonError(f"{name} is no JSON object; it was not written by an image tool, or is damaged")
    return value


def manifest_from_bytes(content: bytes, name: str) -> Manifest | Index:
    """Read a manifest or an index. Raises CanonError, also for one of Docker's first schema, which has no digests of layers."""
    if len(content) > MAX_MANIFEST:
        raise CanonError(
            f"the manifest of {name} has {len(content)} bytes, more than the {MAX_MANIFEST} that registries take"
        )
    value = json_from_bytes(content, f"the manifest of {name}")
    kind: type[Manifest | Index] = Index if "manifests" in value else Manifest
    if value.get("schemaVersion") != 2 or "fsLayers" in value:  # noqa: PLR2004  the schema that has digests
        raise CanonError(
            f"the manifest of {name} is of schema {value.get('schemaVersion')!r}, not 2; push the image again with a tool of today"
        )
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise CanonError(
            f"the manifest of {name} is broken: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from None


def describe_manifest(content: bytes, name: str) -> Descriptor:
    """The descriptor of a manifest or an index, as an index lists it. Raises CanonError."""
    manifest = manifest_from_bytes(content, name)
    descriptor = descriptor_of(content, manifest.media_type)
    if isinstance(manifest, Manifest) and (manifest.artifact_type or manifest.subject):
        kind = manifest.artifact_type or manifest.config.media_type
        return descriptor.model_copy(update={"artifact_type": kind, "annotations": manifest.annotations})
    return descriptor
