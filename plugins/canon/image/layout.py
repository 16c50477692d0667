"""An OCI image layout: a folder of blobs named by their hash, and an index of what is in it (image specification 1.1)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from canon.image.descriptors import (
    INDEX,
    LAYER,
    MAX_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    format_json,
    json_from_bytes,
    manifest_from_bytes,
)
from canon.image.layers import CHUNK
from canon.model.errors import CanonError
from canon.output.files import write_bytes

VERSION = {"imageLayoutVersion": "1.0.0"}

Progress = Callable[[int], None]
"""Told how many bytes have been moved since the last time."""


def no_progress(_: int) -> None:
    """Tell nobody."""


class Layout:
    """A layout at a folder; it is made by the first write, and an image is in it once its manifest is in the index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: list[Path] = []

    @property
    def exists(self) -> bool:
        """Tell whether a layout is there."""
        return (self.folder / "oci-layout").is_file()

    def index(self) -> Index:
        """What the layout holds. Raises CanonError for a folder that is no layout."""
        name = f"the layout {self.folder}"
        try:
            version = json_from_bytes((self.folder / "oci-layout").read_bytes(), f"{self.folder}/oci-layout")
            content = (self.folder / "index.json").read_bytes()
        except OSError as error:
            raise CanonError(f"{self.folder} is no OCI layout ({error.strerror}: {error.filename})") from None
        if version != VERSION:
            raise CanonError(f"{self.folder} is a layout of another version ({version}), not 1.0.0")
        found = manifest_from_bytes(content, name)
        if not isinstance(found, Index):
            raise CanonError(f"{self.folder}/index.json is no index")
        return found

    def find(self, digest: str | None) -> Descriptor:
        """The manifest of that digest; without one, the only one. Raises CanonError."""
        manifests = self.index().manifests
        if digest is None:
            if len(manifests) != 1:
                held = ", ".join(each.digest for each in manifests) or "none"
                raise CanonError(
                    f"the layout {self.folder} holds {len(manifests)} images ({held}); say which: oci:{self.folder}@DIGEST"
                )
            return manifests[0]
        for each in manifests:
            if each.digest == digest:
                return each
        path = self.path(digest)
        if path.is_file() and path.stat().st_size <= MAX_MANIFEST:  # one of an index's, or a referrer's
            return Descriptor(media_type="", digest=digest, size=path.stat().st_size)
        raise CanonError(f"the layout {self.folder} holds no image {digest}")

    def path(self, digest: str) -> Path:
        """Where a blob lies."""
        return self.folder / "blobs" / Path(*digest.split(":", 1))

    def has(self, descriptor: Descriptor) -> bool:
        """Tell whether a blob is there, at its size."""
        try:
            return self.path(descriptor.digest).stat().st_size == descriptor.size
        except OSError:
            return False

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yield a blob's bytes; raises CanonError at the end when they are not what the descriptor says."""
        path, found, size = self.path(descriptor.digest), hashlib.sha256(), 0
        try:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    found.update(chunk)
                    size += len(chunk)
                    yield chunk
        except OSError as error:
            raise CanonError(f"{path}: {error.strerror}; the layout is not complete: make it again") from None
        check_blob(descriptor, f"sha256:{found.hexdigest()}", size, str(path))

    def manifest(self, descriptor: Descriptor) -> tuple[bytes, Manifest | Index]:
        """The bytes of a manifest, and what they say."""
        if descriptor.size > MAX_MANIFEST:
            raise CanonError(f"the manifest {descriptor.digest} has {descriptor.size} bytes, more than {MAX_MANIFEST}")
        content = b"".join(self.read(descriptor))
        return content, manifest_from_bytes(content, f"{self.folder}@{descriptor.digest}")

    def write(
        self, chunks: Iterable[bytes], expected: Descriptor | None = None, progress: Progress = no_progress
    ) -> tuple[str, int]:
        """Write a blob; return digest and size. Raises CanonError when it is not ``expected``, or cannot be written; no part is left then."""
        folder = self.folder / "blobs" / "sha256"
        found, size = hashlib.sha256(), 0
        temporary: Path | None = None
        try:
            self._make(folder)
            handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".tmp")
            temporary = Path(name)
            with os.fdopen(handle, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                    found.update(chunk)
                    size += len(chunk)
                    progress(len(chunk))
            digest = f"sha256:{found.hexdigest()}"
            if expected is not None:
                check_blob(expected, digest, size, "what was read")
            temporary.chmod(0o644)
            temporary.replace(self.path(digest))
            temporary = None
        except OSError as error:
            raise CanonError(
                f"cannot write to the layout {self.folder}: {error.strerror or error}; make room, or give the right to write"
            ) from None
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
        return digest, size

    def write_layer(self, chunks: Iterable[bytes], progress: Progress = no_progress) -> Descriptor:
        """Write an uncompressed layer in the one pass that makes it."""
        digest, size = self.write(chunks, progress=progress)
        return Descriptor(media_type=LAYER, digest=digest, size=size)

    def _make(self, folder: Path) -> None:
        self._made = [each for each in (folder, *folder.parents) if not each.exists()] + self._made
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, descriptor: Descriptor) -> None:
        """Put a manifest, whose blobs are all there, into the index: from now on the layout holds that image. Others stay."""
        others = (
            [each.document() for each in self.index().manifests if each.digest != descriptor.digest]
            if self.exists
            else []
        )
        document = {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": sorted([*others, descriptor.document()], key=lambda each: str(each["digest"])),
        }
        write_bytes(self.folder / "index.json", format_json(document))
        write_bytes(self.folder / "oci-layout", format_json(VERSION))
        self._made = []

    def discard(self) -> None:
        """Remove what writing has made, when no image was added: a new layout is gone again, an old one keeps its blobs."""
        for folder in self._made[::-1][:1]:
            shutil.rmtree(folder, ignore_errors=True)
        self._made = []


@contextlib.contextmanager
def whole(layout: Layout) -> Iterator[Layout]:
    """Write to a layout: when that fails, one that was new is gone again."""
    try:
        yield layout
    except BaseException:
        layout.discard()
        raise


def check_blob(descriptor: Descriptor, digest: str, size: int, name: str) -> None:
    """Raise CanonError unless bytes have the digest and size of a descriptor."""
    if (digest, size) != (descriptor.digest, descriptor.size):
        raise CanonError(
            f"{name} is not the blob {descriptor.digest} of {descriptor.size} bytes: it has {size} bytes and the digest {digest};"
            " it is damaged, or somebody exchanged it"
        )
