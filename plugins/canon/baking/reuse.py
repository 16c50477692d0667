"""Environment layers are made once: kept on this machine, and known in the registry by the hash of what they follow from."""

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

ENVIRONMENTS = "environments"
ARTIFACT = "application/vnd.canon.environment.v1"
"""Kind of a manifest that names an environment layer, and its annotation with the layer's key."""


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
    descriptor = cache.recall_layer(ENVIRONMENTS, key) or _published(store, key)
    if descriptor is None or not (cache.layers.has(descriptor) or (store is not None and store.has(descriptor))):
        descriptor = append_layer(cache.layers, make(), top, says, progress).descriptor
        cache.tidy()
    cache.keep(ENVIRONMENTS, key, descriptor.document())
    if store is not None and not store.has(descriptor):
        store.copy(cache.layers, descriptor, progress)
        _publish(store, key, descriptor)
    return Layer(descriptor, says)


def _tag(key: str) -> str:
    return f"environment-{key[:16]}"


def _published(store: Store | None, key: str) -> Descriptor | None:
    if store is None or isinstance(store, Layout):
        return None
    try:
        manifest = store.manifest(store.find(_tag(key)))[1]
    except ImageMissingError:
        return None
    if not isinstance(manifest, Manifest) or manifest.annotations.get(ARTIFACT) != key or len(manifest.layers) != 1:
        return None
    layer = manifest.layers[0]
    return layer if layer.media_type == LAYER else None  # another kind has another diff id than its digest


def _publish(store: Store, key: str, descriptor: Descriptor) -> None:
    """Let the registry know the layer by its key, for machines that have not made it."""
    if isinstance(store, Layout):
        return
    config = store.write_blob(b"{}", EMPTY)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT,
        "config": config.document(),
        "layers": [descriptor.document()],
        "annotations": {ARTIFACT: key},
    }
    store.add(format_json(document), _tag(key))
