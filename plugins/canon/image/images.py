"""One image: read from where it lies, and made anew with layers on top of another one's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from canon.image.descriptors import (
    CONFIG,
    LAYER,
    MANIFEST,
    MAX_CONFIG,
    Descriptor,
    Index,
    Manifest,
    descriptor_of,
    format_json,
    json_from_bytes,
    manifest_from_bytes,
)
from canon.image.stores import Source
from canon.model.errors import CanonError

DOCKER_LAYERS = {
    "application/vnd.docker.image.rootfs.diff.tar": LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{LAYER}+gzip",
}
"""Docker's names of the same bytes."""


@dataclass(frozen=True)
class Image:
    """An image for one platform; ``config`` is its configuration as JSON has it, ``digest`` that of its manifest.

    ``found``: the digest that it was found by, where that is the one of an index of several platforms.
    """

    name: str
    digest: str
    manifest: Manifest
    config: Mapping[str, Any]
    found: str = ""

    @property
    def platform(self) -> str:
        """As `docker --platform` takes it."""
        parts = (self.config.get("os"), self.config.get("architecture"), self.config.get("variant"))
        return "/".join(str(part) for part in parts if part)

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its configuration."""
        return labels_of(self.config)

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """The digest of each layer's uncompressed bytes."""
        return tuple(self.config["rootfs"]["diff_ids"])


def labels_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The labels of a configuration as JSON has it; none where it has no such mapping."""
    settings = config.get("config")
    labels = settings.get("Labels") if isinstance(settings, dict) else None
    return {str(name): str(value) for name, value in labels.items()} if isinstance(labels, dict) else {}


def load_image(source: Source, name: str, digest: str | None, platform: str = "") -> Image:
    """Read an image. ``platform`` chooses among several, and is checked where there is one. Raises CanonError."""
    descriptor = source.find(digest)
    found = descriptor.digest
    content, manifest = source.manifest(descriptor)
    if isinstance(manifest, Index):
        descriptor = _of_platform(manifest, name, platform)
        content, manifest = source.manifest(descriptor)
        if isinstance(manifest, Index):
            raise CanonError(f"{name} is an index of indexes, which no tool makes; name the image itself by its digest")
    if manifest.config.size > MAX_CONFIG:
        raise CanonError(f"the configuration of {name} has {manifest.config.size} bytes, more than {MAX_CONFIG}")
    config = json_from_bytes(b"".join(source.read(manifest.config)), f"the configuration of {name}")
    image = Image(name, descriptor_of(content, MANIFEST).digest, manifest, config, found)
    check_config(name, config, len(manifest.layers))
    if platform and image.platform != platform:
        raise CanonError(f"{name} is an image for {image.platform}, not for {platform}")
    return image


def _of_platform(index: Index, name: str, platform: str) -> Descriptor:
    wanted = platform or "linux/amd64"
    known = {each.platform.name(): each for each in index.manifests if each.platform is not None}
    if wanted not in known:
        raise CanonError(f"{name} has no image for {wanted}; it has {', '.join(sorted(known)) or 'none'}")
    return known[wanted]


class _Settings(BaseModel):
    """What of a configuration's settings is read here."""

    env: list[str] | None = Field(default=None, alias="Env")
    labels: dict[str, str] | None = Field(default=None, alias="Labels")


class _Rootfs(BaseModel):
    diff_ids: list[str]


class _Config(BaseModel):
    """The form of a configuration, as the specification has it; what else stands there is kept as it is."""

    os: str
    architecture: str
    variant: str | None = None
    created: str | None = None
    rootfs: _Rootfs
    config: _Settings | None = None
    history: list[dict[str, Any]] | None = None


def check_config(name: str, config: Mapping[str, Any], layers: int) -> None:
    """Raise CanonError for a configuration that is not of the specification's form, or of another number of layers."""
    try:
        found = _Config.model_validate(config)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise CanonError(f"the configuration of {name} is broken: {place}: {first['msg']}") from None
    if len(found.rootfs.diff_ids) != layers:
        raise CanonError(f"{name} has {layers} layers, and its configuration names {len(found.rootfs.diff_ids)}")


@dataclass(frozen=True)
class Layer:
    """A layer that is put on top: what it is, and what it is called in the history."""

    descriptor: Descriptor
    says: str


@dataclass(frozen=True)
class Edits:
    """What changes in the configuration. ``env``: name → value; ``time``: seconds since 1970, of all that is made.

    A label or a setting that is None is taken out.
    """

    time: int
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str | None] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """An image that was composed and is not stored yet: its layers, the base's first, and the bytes of the other two blobs."""

    layers: tuple[Descriptor, ...]
    config: bytes
    manifest: bytes

    @property
    def descriptor(self) -> Descriptor:
        """That of the manifest."""
        return descriptor_of(self.manifest, MANIFEST)


def image_of(made: Made, name: str) -> Image:
    """An image that was composed, as it would be read."""
    manifest = manifest_from_bytes(made.manifest, name)
    if not isinstance(manifest, Manifest):
        raise TypeError(name)
    return Image(name, made.descriptor.digest, manifest, json_from_bytes(made.config, name), made.descriptor.digest)


def compose(base: Image, layers: Sequence[Layer], edits: Edits) -> Made:
    """Put layers on top of an image. The result depends on the arguments alone, to the byte."""
    created = dt.datetime.fromtimestamp(edits.time, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = dict(base.config)
    settings = dict(config.get("config") or {})
    settings |= edits.settings
    settings["Env"] = _env(settings.get("Env") or [], edits.env)
    labels = {**(settings.get("Labels") or {}), **edits.labels}
    settings["Labels"] = {name: value for name, value in labels.items() if value is not None}
    config |= {
        "created": created,
        "config": {key: value for key, value in settings.items() if value not in (None, {}, [])},
        "rootfs": {"type": "layers", "diff_ids": [*base.diff_ids, *(layer.descriptor.digest for layer in layers)]},
        "history": [
            *(config.get("history") or []),
            *({"created": created, "created_by": f"canon: {layer.says}"} for layer in layers),
        ],
    }
    content = format_json(config)
    blobs = (*(_oci(layer, base) for layer in base.manifest.layers), *(layer.descriptor for layer in layers))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor_of(content, CONFIG).document(),
        "layers": [blob.document() for blob in blobs],
    }
    return Made(blobs, content, format_json(manifest))


def variables(image: Image) -> dict[str, str]:
    """The environment that an image's processes start with."""
    settings = image.config.get("config") or {}
    return dict(line.partition("=")[::2] for line in settings.get("Env") or ())


def _env(base: Sequence[str], more: Mapping[str, str]) -> list[str]:
    values = dict(line.partition("=")[::2] for line in base)
    return [f"{name}={value}" for name, value in (values | dict(more)).items()]


def _oci(layer: Descriptor, base: Image) -> Descriptor:
    """The layer under OCI's name for what it is: an image's manifest and its layers should be of one kind."""
    kind = DOCKER_LAYERS.get(layer.media_type, layer.media_type)
    if not kind.startswith(LAYER):
        raise CanonError(f"{base.name} has a layer of the kind {layer.media_type!r}, which is not to be copied")
    return Descriptor(media_type=kind, digest=layer.digest, size=layer.size)
