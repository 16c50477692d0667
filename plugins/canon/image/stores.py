"""What images are read from and written to: the calls that a layout on disk and a registry have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from canon.image.descriptors import Descriptor, Index, Manifest
from canon.model.errors import CanonError

Chunks = Callable[[], Iterable[bytes]]
"""Yields a blob's bytes, from the beginning each time that it is called: what was cut off is sent again."""
Progress = Callable[[int], None]
"""Told how many bytes have been moved since the last time."""


def no_progress(_: int) -> None:
    """Tell nobody."""


class Source(Protocol):
    """Where images are read: a layout, or a repository of a registry."""

    name: str
    """As a reference names it, without digest and tag."""

    def find(self, reference: str | None) -> Descriptor:
        """The manifest of a digest or a tag; without one, the only one. Raises CanonError, and ImageMissingError when it is not there."""

    def manifest(self, descriptor: Descriptor) -> tuple[bytes, Manifest | Index]:
        """The bytes of a manifest, and what they say. Raises CanonError."""

    def read(self, descriptor: Descriptor) -> Iterable[bytes]:
        """A blob's bytes; they are what the descriptor says, or CanonError is raised at the end."""

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """Manifests whose subject is the manifest of that digest, sorted by digest. Raises CanonError."""


class Store(Source, Protocol):
    """Where images are written, too. Nobody sees what is written until a manifest that names it is added."""

    def has(self, descriptor: Descriptor) -> bool:
        """Tell whether a blob is there, at its size."""

    def write_layer(
        self, make: Chunks, size: int, progress: Progress = no_progress, *, new: bool = False
    ) -> Descriptor:
        """Store an uncompressed layer of ``size`` bytes, unless it is there: one that is ``new`` is not looked for before.

        Raises CanonError; no part is left then.
        """

    def write_blob(self, content: bytes, media_type: str) -> Descriptor:
        """Store a small blob, unless it is there. Raises CanonError."""

    def copy(self, source: Source, descriptor: Descriptor, progress: Progress = no_progress) -> None:
        """Store a blob that another store has, unless it is there. Raises CanonError; no part is left then."""

    def add(self, content: bytes, tag: str | None = None) -> Descriptor:
        """Store a manifest, whose blobs are all there, as these bytes, and let a tag point to it. Raises CanonError."""

    def discard(self) -> None:
        """Forget what was written since no manifest was added."""


def check_blob(descriptor: Descriptor, digest: str, size: int, name: str) -> None:
    """Raise CanonError unless bytes have the digest and size of a descriptor."""
    if (digest, size) != (descriptor.digest, descriptor.size):
        raise CanonError(
            f"{name} is not the blob {descriptor.digest} of {descriptor.size} bytes: it has {size} bytes and the digest {digest};"
            " it is damaged, or somebody exchanged it"
        )
