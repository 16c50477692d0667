"""A repository of a registry as a store of images (OCI distribution specification 1.1)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import requests

from canon.image.descriptors import (
    DIGEST,
    INDEX,
    INDEXES,
    MANIFESTS,
    MAX_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    describe_manifest,
    descriptor_of,
    digest_of,
    format_json,
    manifest_from_bytes,
)
from canon.image.layers import CHUNK, describe
from canon.image.login import read_all
from canon.image.stores import Chunks, Progress, Source, check_blob, no_progress
from canon.image.uploads import Uploads
from canon.image.wire import PLAIN, TRIES, Wire, pages, wait_before
from canon.model.errors import CanonError, ImageMissingError

ACCEPT = {"Accept": ", ".join((*MANIFESTS, *INDEXES)), "Accept-Encoding": "identity"}
PART = 206


class Repository:
    """A repository of a registry, as a store. Nothing is asked of the registry before it is needed."""

    def __init__(self, host: str, repository: str, *, plain_http: bool = False) -> None:
        self.host, self.repository = host, repository
        self.name = f"{host}/{repository}"
        self._wire = Wire(host, repository, plain_http=plain_http)
        self._uploads = Uploads(self._wire)
        self._manifests: dict[str, bytes] = {}

    def find(self, reference: str | None) -> Descriptor:
        """The manifest of a digest or a tag. Raises CanonError, and ImageMissingError when the registry has none."""
        if reference is None:
            raise CanonError(f"{self.name} may hold many images; say which: {self.name}:TAG or {self.name}@sha256:…")
        content = self._get_manifest(reference)
        return describe_manifest(content, f"{self.name}@{reference}")

    def _get_manifest(self, reference: str) -> bytes:
        known = self._manifests.get(reference)
        if known is not None:
            return known
        name = f"{self.name}@{reference}"
        try:
            response = self._wire.request("get", f"manifests/{quote(reference, safe=':')}", headers=ACCEPT, stream=True)
        except ImageMissingError as error:
            raise ImageMissingError(f"there is no image {name} ({error})") from None
        try:
            content = read_all(response, MAX_MANIFEST)
        except ValueError:
            raise CanonError(
                f"the manifest of {name} has more than the {MAX_MANIFEST} bytes that registries take"
            ) from None
        except (requests.exceptions.RequestException, OSError):
            raise CanonError(f"{self.host} cut the connection in the manifest of {name}; try again") from None
        digest = digest_of(content)
        if re.fullmatch(DIGEST, reference) and digest != reference:
            raise CanonError(f"{name} has the digest {digest}: somebody exchanged it, or it is damaged")
        self._manifests[digest] = content
        return content

    def manifest(self, descriptor: Descriptor) -> tuple[bytes, Manifest | Index]:
        """The bytes of a manifest, and what they say. Raises CanonError."""
        content = self._get_manifest(descriptor.digest)
        check_blob(descriptor, digest_of(content), len(content), f"{self.name}@{descriptor.digest}")
        return content, manifest_from_bytes(content, f"{self.name}@{descriptor.digest}")

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yield a blob's bytes; a connection that is cut is taken up again. Raises CanonError, at the end when they are not what the descriptor says."""
        found, size, attempt = hashlib.sha256(), 0, 0
        while True:
            try:
                for chunk in self._chunks(descriptor, size):
                    found.update(chunk)
                    size += len(chunk)
                    if size > descriptor.size:
                        break
                    attempt = 0
                    yield chunk
                break
            except (requests.exceptions.RequestException, OSError) as error:
                attempt += 1
                what = f"cut the connection in {descriptor.digest} ({type(error).__name__})"
                if attempt == TRIES:
                    raise CanonError(f"{self.host} {what}; tried {TRIES} times") from None
                wait_before(attempt, None, self.host, what)
        check_blob(descriptor, f"sha256:{found.hexdigest()}", size, f"{self.name}@{descriptor.digest}")

    def _chunks(self, descriptor: Descriptor, start: int) -> Iterator[bytes]:
        headers = {**PLAIN, **({"Range": f"bytes={start}-"} if start else {})}
        with self._wire.request("get", f"blobs/{descriptor.digest}", headers=headers, stream=True) as response:
            skip = start if response.status_code != PART else 0  # a registry need not know ranges
            for chunk in response.iter_content(CHUNK):
                rest = chunk[skip:]
                skip -= len(chunk) - len(rest)
                if rest:
                    yield rest

    def has(self, descriptor: Descriptor) -> bool:
        """Tell whether a blob is there, at its size. Raises CanonError."""
        return self._uploads.has(descriptor)

    def write_layer(
        self, make: Chunks, size: int, progress: Progress = no_progress, *, new: bool = False
    ) -> Descriptor:
        """Hash a layer, and send it, unless it is there. Raises CanonError."""
        if new and size > CHUNK:
            return self._uploads.send_new(make, size, progress)
        descriptor = describe(make())
        self._uploads.send(descriptor, make, progress)
        return descriptor

    def write_blob(self, content: bytes, media_type: str) -> Descriptor:
        """Send a small blob, unless it is there. Raises CanonError."""
        descriptor = descriptor_of(content, media_type)
        self._uploads.send(descriptor, lambda: [content], no_progress)
        return descriptor

    def copy(self, source: Source, descriptor: Descriptor, progress: Progress = no_progress) -> None:
        """Let the registry take a blob from another of its repositories, or send it, unless it is there. Raises CanonError."""
        near = isinstance(source, Repository) and source.host == self.host and source.repository != self.repository
        origin = source.repository if isinstance(source, Repository) and near else None
        self._uploads.send(descriptor, lambda: source.read(descriptor), progress, origin)

    def add(self, content: bytes, tag: str | None = None) -> Descriptor:
        """Send a manifest, whose blobs are all there, and let a tag point to it. Raises CanonError."""
        descriptor = describe_manifest(content, f"a manifest for {self.name}")
        manifest = manifest_from_bytes(content, self.name)
        subject = manifest.subject if isinstance(manifest, Manifest) else None
        self._wire.login.want(self.repository, "pull,push")
        if subject is None and self._points(tag or descriptor.digest, descriptor.digest):
            return descriptor
        response = self._put_manifest(descriptor.digest, content, descriptor.media_type)
        if tag is not None:
            self._put_manifest(tag, content, descriptor.media_type)
        if subject is not None and "OCI-Subject" not in response.headers:
            self._list_referrer(subject.digest, descriptor)
        return descriptor

    def _points(self, reference: str, digest: str) -> bool:
        """Tell whether a tag or a digest is there, and names that manifest."""
        try:
            response = self._wire.request("head", f"manifests/{quote(reference, safe=':')}", headers=ACCEPT)
        except ImageMissingError:
            return False
        return response.headers.get("Docker-Content-Digest") == digest

    def _put_manifest(self, reference: str, content: bytes, media_type: str) -> requests.Response:
        headers = {"Content-Type": media_type}
        response = self._wire.request("put", f"manifests/{quote(reference, safe=':')}", data=content, headers=headers)
        stored = response.headers.get("Docker-Content-Digest")
        if stored not in {None, digest_of(content)}:
            raise CanonError(
                f"{self.host} stored {self.name}@{reference} as {stored}, not as {digest_of(content)}: it changes manifests"
            )
        return response

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """Manifests whose subject is the manifest of that digest: by the registry's own list, else by the tag that stands for it."""
        found: list[Descriptor] = []
        try:
            for page in pages(self._wire, f"referrers/{digest}", headers=PLAIN, stream=True):
                found += self._listed(self._bounded(page), digest)
        except ImageMissingError:
            found = list(self._tagged_referrers(digest))
        return tuple(sorted(found, key=lambda each: each.digest))

    def _bounded(self, response: requests.Response) -> bytes:
        try:
            return read_all(response, MAX_MANIFEST)
        except (ValueError, requests.exceptions.RequestException, OSError):
            raise CanonError(f"{self.host} does not list what refers to an image of {self.name}") from None

    def _listed(self, content: bytes, digest: str) -> list[Descriptor]:
        index = manifest_from_bytes(content, f"the referrers of {self.name}@{digest}")
        return list(index.manifests) if isinstance(index, Index) else []

    def _tagged_referrers(self, digest: str) -> list[Descriptor]:
        try:
            return self._listed(self._get_manifest(_fallback(digest)), digest)
        except ImageMissingError:
            return []

    def _list_referrer(self, subject: str, descriptor: Descriptor) -> None:
        """Keep the list that a registry without the referrers API does not keep (specification, "Referrers Tag Schema").

        It is read and written, which two at once can do; who finds itself missing afterwards does it again.
        """
        for _ in range(TRIES):
            known = self._tagged_referrers(subject)
            if any(each.digest == descriptor.digest for each in known):
                return
            document: dict[str, Any] = {
                "schemaVersion": 2,
                "mediaType": INDEX,
                "manifests": [each.document() for each in sorted([*known, descriptor], key=lambda each: each.digest)],
            }
            self._put_manifest(_fallback(subject), format_json(document), INDEX)
        raise CanonError(f"{self.name}: others write the list of what refers to {subject} all the time; try again")

    def discard(self) -> None:
        """Nothing: blobs that no manifest names are the registry's to collect."""


def _fallback(digest: str) -> str:
    return digest.replace(":", "-")
