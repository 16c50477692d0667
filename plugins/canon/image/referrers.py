"""What lies beside an image, never in it: manifests whose subject is the image, each under a tag of its own, too.

The tags are cosign's (`sha256-<hex>.sig`): clients that know no referrers find them, and a registry's garbage collector keeps what has one.
One manifest of a kind holds everything of it, so what is attached later is added to what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from canon.image.descriptors import EMPTY, MANIFEST, Descriptor, Manifest, descriptor_of, format_json
from canon.image.stores import Source, Store
from canon.model.errors import CanonError, ImageMissingError

SIGNATURES = "application/vnd.dev.cosign.artifact.sig.v1+json"
ATTESTATIONS = "application/vnd.dev.cosign.artifact.att.v1+json"
BILLS = "application/vnd.dev.cosign.artifact.sbom.v1+json"
SUFFIXES = {SIGNATURES: "sig", ATTESTATIONS: "att", BILLS: "sbom"}
"""Kind of artifact → how the tag ends (cosign, `pkg/oci/remote`)."""
MAX_BLOB = 16 * 1024 * 1024
"""Bytes of the largest blob that is read back."""
MAX_ALL = 64 * 1024 * 1024
"""Bytes of everything of one kind."""
MAX_LAYERS = 1000
"""As many as cosign reads."""
MAX_MANIFESTS = 100


@dataclass(frozen=True)
class Blob:
    """One signature, envelope or bill: ``annotations`` stand in the descriptor, not in the content."""

    media_type: str
    content: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Artifact:
    """What is attached at once. ``artifact_type`` is one of SUFFIXES."""

    artifact_type: str
    layers: tuple[Blob, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    config: bytes = b"{}"


def tag_of(digest: str, artifact_type: str) -> str:
    """The tag under which artifacts of a kind lie beside the image of a digest."""
    return f"{digest.replace(':', '-')}.{SUFFIXES[artifact_type]}"


def attach(store: Store, subject: Descriptor, artifact: Artifact) -> Descriptor:
    """Attach an artifact to an image in the same store, beside those of its kind; what is there already changes nothing.

    The result does not depend on the order of attaching. Two writers at once may lose the tag's view of one of them, never the
    referrer; attach it again then. Raises CanonError.
    """
    layers = {
        _identity(layer): layer
        for manifest in _manifests(store, subject.digest, artifact.artifact_type)
        for layer in manifest.layers
    }
    for blob in artifact.layers:
        if len(blob.content) > MAX_BLOB:
            raise CanonError(f"what is attached has {len(blob.content)} bytes, more than {MAX_BLOB}")
        described = store.write_blob(blob.content, blob.media_type).model_copy(
            update={"annotations": dict(blob.annotations)}
        )
        layers[_identity(described)] = described
    _check_size(layers.values(), subject.digest)
    store.write_blob(artifact.config, EMPTY)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact.artifact_type,
        "config": descriptor_of(artifact.config, EMPTY).document(),
        "layers": [layers[key].document() for key in sorted(layers)],
        "subject": Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size).document(),
        **({"annotations": dict(artifact.annotations)} if artifact.annotations else {}),
    }
    return store.add(format_json(document), tag_of(subject.digest, artifact.artifact_type))


def load_artifacts(source: Source, digest: str, artifact_type: str) -> tuple[Blob, ...]:
    """Read what of a kind is attached to the image of a digest, each once, in one order everywhere. Raises CanonError."""
    layers = {
        _identity(layer): layer for manifest in _manifests(source, digest, artifact_type) for layer in manifest.layers
    }
    _check_size(layers.values(), digest)
    return tuple(
        Blob(layer.media_type, _content(source, layer), layer.annotations) for _, layer in sorted(layers.items())
    )


def _manifests(source: Source, digest: str, artifact_type: str) -> Iterator[Manifest]:
    found = {each.digest: each for each in source.referrers(digest) if each.artifact_type == artifact_type}
    try:
        tagged = source.find(tag_of(digest, artifact_type))
    except ImageMissingError:
        tagged = None
    if tagged is not None:
        found.setdefault(tagged.digest, tagged)
    if len(found) > MAX_MANIFESTS:
        raise CanonError(f"{len(found)} manifests of the kind {artifact_type} refer to {digest}; delete the old ones")
    for _, descriptor in sorted(found.items()):
        manifest = source.manifest(descriptor)[1]
        if not isinstance(manifest, Manifest):
            raise CanonError(f"{source.name}@{descriptor.digest} is an index, no artifact beside an image")
        if manifest.subject is not None and manifest.subject.digest != digest:
            raise CanonError(
                f"{source.name}@{descriptor.digest} has the tag of what belongs to {digest}, and belongs to"
                f" {manifest.subject.digest}; somebody exchanged it"
            )
        yield manifest


def _identity(layer: Descriptor) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Two signatures of one payload are two layers of one blob."""
    return layer.digest, tuple(sorted(layer.annotations.items()))


def _check_size(layers: Iterable[Descriptor], digest: str) -> None:
    sizes = [layer.size for layer in layers]
    if len(sizes) > MAX_LAYERS or max(sizes, default=0) > MAX_BLOB or sum(sizes) > MAX_ALL:
        raise CanonError(
            f"{len(sizes)} blobs of {sum(sizes)} bytes are attached to {digest}; at most {MAX_LAYERS}, each of {MAX_BLOB} bytes and"
            f" all of {MAX_ALL}, are read: delete the old ones"
        )


def _content(source: Source, descriptor: Descriptor) -> bytes:
    parts, left = [], descriptor.size
    for chunk in source.read(descriptor):
        left -= len(chunk)
        if left < 0:
            raise CanonError(f"{source.name} sends more than the {descriptor.size} bytes of {descriptor.digest}")
        parts.append(chunk)
    return b"".join(parts)
