"""Layers are made once: kept on this machine, and known in the registry by the hash of what they follow from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from canon.baking.cache import BuildCache
from canon.image.append import append_layer
from canon.image.descriptors import EMPTY, LAYER, MANIFEST, Descriptor, Manifest, format_json
from canon.image.images import Layer
from canon.image.layers import Member
from canon.image.layout import Layout
from canon.image.stores import Progress, Store, no_progress
from canon.model.errors import ImageMissingError

ENVIRONMENT = "environment"


def cached_layer(
    store: Store | None,
    cache: BuildCache,
    key: str,
    top: str,
    make: Callable[[], Iterable[Member]],
    says: str,
    progress: Progress = no_progress,
) -> Layer:
    """The layer of a key: from the cache of this machine, or from the store where it is known; else made, below ``top``.

    A registry is believed for what it has under the layer's own tag, as for all that it holds: `canon image verify --rebuild`
    installs anew and compares. Raises CanonError.
    """
    descriptor = cache.recall_layer(ENVIRONMENT, key) or published_layer(store, ENVIRONMENT, key)
    if descriptor is None or not (cache.layers.has(descriptor) or (store is not None and store.has(descriptor))):
        descriptor = append_layer(cache.layers, make(), top, says, progress).descriptor
        cache.tidy()
    cache.keep(ENVIRONMENT, key, descriptor.document())
    if store is not None and not store.has(descriptor):
        store.copy(cache.layers, descriptor, progress)
        publish_layer(store, ENVIRONMENT, key, descriptor)
    return Layer(descriptor, says)


def published_layer(store: Store | None, kind: str, key: str) -> Descriptor | None:
    """The layer that a registry has under a key, as it says; None where it knows none, and for a layout, which has no such tags."""
    if store is None or isinstance(store, Layout):
        return None
    try:
        manifest = store.manifest(store.find(_tag(kind, key)))[1]
    except ImageMissingError:
        return None
    if not isinstance(manifest, Manifest) or manifest.annotations.get(_type(kind)) != key or len(manifest.layers) != 1:
        return None
    layer = manifest.layers[0]
    return layer if layer.media_type == LAYER else None  # another kind has another diff id than its digest


def publish_layer(store: Store, kind: str, key: str, descriptor: Descriptor) -> None:
    """Let the registry know a layer by its key, for machines that have not made it."""
    if isinstance(store, Layout):
        return
    config = store.write_blob(b"{}", EMPTY)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": _type(kind),
        "config": config.document(),
        "layers": [descriptor.document()],
        "annotations": {_type(kind): key},
    }
    store.add(format_json(document), _tag(kind, key))


def _tag(kind: str, key: str) -> str:
    return f"{kind}-{key[:16]}"


def _type(kind: str) -> str:
    """Kind of a manifest that names one layer, and its annotation with the layer's key."""
    return f"application/vnd.canon.{kind}.v1"
