"""Putting layers on top of an image, and both into a store: nobody sees the image before all of it is there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from canon.image.descriptors import CONFIG, Descriptor
from canon.image.images import Edits, Image, Layer, Made, compose
from canon.image.layers import Member, describe, members_in_order, tar_chunks, tar_size
from canon.image.stores import Progress, Source, Store, no_progress


@contextlib.contextmanager
def whole(store: Store) -> Iterator[Store]:
    """Write to a store: when that fails, what was written and no manifest names is forgotten."""
    try:
        yield store
    except BaseException:
        store.discard()
        raise


def append_layer(
    store: Store | None,
    members: Iterable[Member],
    top: str,
    says: str,
    progress: Progress = no_progress,
    *,
    new: bool = False,
) -> Layer:
    """Make a layer of files below ``top`` and store it; without a store only say what it would be.

    ``new``: the store has no such layer, as far as is known, so that it is sent before its digest is known. Raises CanonError.
    """
    ordered = members_in_order(members, top)
    make = partial(tar_chunks, ordered, top)
    descriptor = (
        describe(make()) if store is None else store.write_layer(make, tar_size(ordered, top), progress, new=new)
    )
    return Layer(descriptor, says)


def append_layers(
    store: Store | None,
    source: Source,
    base: Image,
    layers: Sequence[Layer],
    edits: Edits,
    tag: str | None = None,
    progress: Progress = no_progress,
) -> Made:
    """Store the image that is ``base``, which lies in ``source``, with layers that the store has on top. Raises CanonError."""
    made = compose(base, layers, edits)
    if store is not None:
        for descriptor in base.manifest.layers:
            store.copy(source, descriptor, progress)
        store.write_blob(made.config, CONFIG)
        store.add(made.manifest, tag)
    return made


def origins(base: Image, layers: Sequence[Layer], made: Made) -> tuple[tuple[Descriptor, str], ...]:
    """Every layer of an image that was composed, with where it came from."""
    says = [*("the image below" for _ in base.manifest.layers), *(layer.says for layer in layers)]
    return tuple(zip(made.layers, says, strict=True))
