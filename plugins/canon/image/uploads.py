"""Blobs on their way into a repository of a registry (OCI distribution specification 1.1, "Pushing blobs")."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import urlencode

from canon.image.descriptors import LAYER, Descriptor
from canon.image.stores import Chunks, Progress
from canon.image.wire import PLAIN, TRIES, InterruptedUploadError, Wire, wait_before
from canon.model.errors import CanonError, ImageMissingError

BYTES = {"Content-Type": "application/octet-stream"}
CREATED = 201


class Body:
    """A blob on its way: of a length that is known, so that it goes in one stream, told while it goes."""

    def __init__(self, chunks: Iterable[bytes], size: int, progress: Progress) -> None:
        self._chunks, self._size, self._progress = chunks, size, progress

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            yield chunk
            self._progress(len(chunk))


class Uploads:
    """Sends the blobs that a repository does not have."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def has(self, descriptor: Descriptor) -> bool:
        """Tell whether a blob is there, at its size. Raises CanonError."""
        try:
            response = self._wire.request("head", f"blobs/{descriptor.digest}", headers=PLAIN)
        except ImageMissingError:
            return False
        return response.headers.get("Content-Length") in {None, str(descriptor.size)}

    def send(self, descriptor: Descriptor, make: Chunks, progress: Progress, origin: str | None = None) -> None:
        """Send a blob, unless it is there or the registry takes it from another repository, ``origin``. Raises CanonError."""
        self._wire.login.want(self._wire.repository, "pull,push")
        if self.has(descriptor) or (origin is not None and self._mount(descriptor, origin)):
            return

        def put(told: Progress) -> None:
            body = Body(make(), descriptor.size, told)
            response = self._wire.request("put", _with_digest(self._begin(), descriptor), data=body, headers=BYTES)
            self._check(response.status_code)

        self._tried(put, lambda: self.has(descriptor), progress)

    def send_new(self, make: Chunks, size: int, progress: Progress) -> Descriptor:
        """Send a layer whose digest is not known before: it is hashed on its way, which spares a pass. Raises CanonError."""
        self._wire.login.want(self._wire.repository, "pull,push")
        sent: list[Descriptor] = []

        def patch(told: Progress) -> None:
            found = hashlib.sha256()
            begun = self._begin()
            body = Body(_hashed(make(), found), size, told)
            place = self._wire.request("patch", begun, data=body, headers=BYTES).headers.get("Location") or begun
            sent.append(Descriptor(media_type=LAYER, digest=f"sha256:{found.hexdigest()}", size=size))
            try:
                self._check(self._wire.request("put", _with_digest(place, sent[-1])).status_code)
            except ImageMissingError as error:  # the answer to an earlier try was lost, or the upload is
                if not self.has(sent[-1]):
                    raise InterruptedUploadError(str(error)) from None

        self._tried(patch, lambda: bool(sent) and self.has(sent[-1]), progress)
        return sent[-1]

    def _tried(self, send: Callable[[Progress], None], there: Callable[[], bool], progress: Progress) -> None:
        """Send something, from its beginning each time that it is cut off. Raises CanonError."""
        for attempt in range(1, TRIES + 1):
            sent = 0

            def told(count: int) -> None:
                nonlocal sent
                sent += count
                progress(count)

            try:
                send(told)
            except InterruptedUploadError as error:
                if attempt == TRIES:
                    raise CanonError(f"{error}; tried {TRIES} times, nothing is left half sent") from None
                progress(-sent)
                wait_before(attempt, error.wish, self._wire.named, "cut an upload")
                if there():  # all of it had arrived
                    return
            else:
                return

    def _begin(self) -> str:
        place = self._wire.request("post", "blobs/uploads/").headers.get("Location")
        if not place:
            raise CanonError(
                f"{self._wire.named} does not say where an upload goes; it is no registry of the specification"
            )
        return place

    def _check(self, status: int) -> None:
        if status != CREATED:
            raise CanonError(f"{self._wire.named} answers an upload with {status}, not with 201")

    def _mount(self, descriptor: Descriptor, origin: str) -> bool:
        """Tell whether the registry took the blob from another repository; when it did not, it has begun an upload, which is left to it."""
        self._wire.login.want(origin, "pull")
        query = urlencode({"mount": descriptor.digest, "from": origin})
        try:
            return self._wire.request("post", f"blobs/uploads/?{query}").status_code == CREATED
        except (
            CanonError
        ):  # no right to read there, which some answer with an error: it is sent, and what else is wrong is said then
            return False


def _hashed(chunks: Iterable[bytes], found: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        found.update(chunk)
        yield chunk


def _with_digest(place: str, descriptor: Descriptor) -> str:
    joint = "&" if "?" in place else "?"
    return f"{place}{joint}{urlencode({'digest': descriptor.digest})}"
