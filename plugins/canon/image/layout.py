"""An OCI image layout: a folder of blobs named by their hash, and an index of what is in it (image specification 1.1)."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from canon.image.descriptors import (
    DIGEST,
    INDEX,
    LAYER,
    MANIFEST,
    MAX_MANIFEST,
    REF_NAME,
    Descriptor,
    Index,
    Manifest,
    describe_manifest,
    descriptor_of,
    format_json,
    json_from_bytes,
    manifest_from_bytes,
)
from canon.image.layers import CHUNK, describe
from canon.image.stores import Chunks, Progress, Source, check_blob, no_progress
from canon.image.writer import Writer
from canon.model.errors import CanonError, ImageMissingError
from canon.output.files import write_bytes

VERSION = {"imageLayoutVersion": "1.0.0"}


class Layout:
    """A layout at a folder; it is made by the first write, and an image is in it once its manifest is in the index."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, f"oci:{folder}"
        self._made: list[Path] = []

    @property
    def exists(self) -> bool:
        """Tell whether a layout is there."""
        return (self.folder / "oci-layout").is_file()

    def index(self) -> Index:
        """What the layout holds. Raises CanonError for a folder that is no layout."""
        return self._read_index()[1]

    def _read_index(self) -> tuple[bytes, Index]:
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
        return content, found

    def find(self, reference: str | None) -> Descriptor:
        """The manifest of a digest or a tag; without one, the only image. Raises CanonError."""
        manifests = self.index().manifests
        if reference is None:
            images = {each.digest: each for each in manifests if each.artifact_type is None}
            if len(images) != 1:
                held = ", ".join(images) or "none"
                raise CanonError(
                    f"the layout {self.folder} holds {len(images)} images ({held}); say which: oci:{self.folder}@DIGEST"
                )
            return next(iter(images.values()))
        for each in manifests:
            if reference in {each.digest, each.annotations.get(REF_NAME)}:
                return each
        path = self.path(reference) if re.fullmatch(DIGEST, reference) else None
        if path and path.is_file() and path.stat().st_size <= MAX_MANIFEST:  # one of an index's
            return Descriptor(media_type="", digest=reference, size=path.stat().st_size)
        raise ImageMissingError(f"the layout {self.folder} holds no image {reference}")

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

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """Manifests of the index whose subject is the manifest of that digest."""
        found = []
        for each in self.index().manifests if self.exists else ():
            if each.artifact_type is not None:
                manifest = self.manifest(each)[1]
                if isinstance(manifest, Manifest) and manifest.subject and manifest.subject.digest == digest:
                    found.append(each)
        return tuple(sorted(found, key=lambda each: each.digest))

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
            with os.fdopen(handle, "wb") as file, Writer(file) as out:
                for chunk in chunks:
                    out.write(chunk)
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

    def write_layer(
        self, make: Chunks, size: int, progress: Progress = no_progress, *, new: bool = False
    ) -> Descriptor:
        """Write an uncompressed layer in the one pass that makes it; where a blob of its size lies, look first whether it is that."""
        del new  # known by the sizes of what is there
        if any(path.stat().st_size == size for path in (self.folder / "blobs" / "sha256").glob("[0-9a-f]*")):
            known = describe(make())
            if self.has(known):
                return known
        digest, written = self.write(make(), progress=progress)
        return Descriptor(media_type=LAYER, digest=digest, size=written)

    def write_blob(self, content: bytes, media_type: str) -> Descriptor:
        """Write a small blob, unless it is there."""
        descriptor = descriptor_of(content, media_type)
        if not self.has(descriptor):
            self.write([content])
        return descriptor

    def copy(self, source: Source, descriptor: Descriptor, progress: Progress = no_progress) -> None:
        """Write a blob that another store has, unless it is there."""
        if not self.has(descriptor):
            self.write(source.read(descriptor), descriptor, progress)

    def _make(self, folder: Path) -> None:
        self._made = [each for each in (folder, *folder.parents) if not each.exists()] + self._made
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, content: bytes, tag: str | None = None) -> Descriptor:
        """Put a manifest, whose blobs are all there, into the index: from now on the layout holds that image. Others stay."""
        stored = self.write_blob(content, MANIFEST)
        name = {REF_NAME: tag} if tag else {}
        added = describe_manifest(content, f"{self.folder}@{stored.digest}").model_copy(update={"annotations": name})
        with self._locked():
            new: dict[str, Any] = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
            document = json.loads(self._read_index()[0]) if self.exists else new
            document["manifests"] = _with(document["manifests"], added.document(), tag)
            write_bytes(self.folder / "index.json", format_json(document))
            write_bytes(self.folder / "oci-layout", format_json(VERSION))
        self._made = []
        return added

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer of the index at a time. The folder itself is locked: a layout holds no other files."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def discard(self) -> None:
        """Remove what writing has made, when no image was added: a new layout is gone again, an old one keeps its blobs."""
        for folder in () if self.exists else self._made[::-1][:1]:  # another one may have added an image meanwhile
            shutil.rmtree(folder, ignore_errors=True)
        self._made = []


def _with(listed: Iterable[dict[str, Any]], added: dict[str, Any], tag: str | None) -> list[dict[str, Any]]:
    """The manifests of an index with one more, or with another tag of one; a tag points to one manifest. What others wrote stays."""
    entries = [*(_without(each, tag) for each in listed), added]
    tagged = {each["digest"] for each in entries if _tag(each) is not None}
    kept = {format_json(each): each for each in entries if each.get("annotations") or each["digest"] not in tagged}
    return sorted(kept.values(), key=lambda each: (each["digest"], _tag(each) or ""))


def _tag(listed: dict[str, Any]) -> str | None:
    return (listed.get("annotations") or {}).get(REF_NAME)


def _without(listed: dict[str, Any], tag: str | None) -> dict[str, Any]:
    """An entry of an index, no longer under a tag."""
    if tag is None or _tag(listed) != tag:
        return listed
    names = {key: value for key, value in listed["annotations"].items() if key != REF_NAME}
    rest = {key: value for key, value in listed.items() if key != "annotations"}
    return {**rest, "annotations": names} if names else rest
