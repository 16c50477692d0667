"""An image read once, with every digest computed anew: from what lies there, not from what somebody says lies there."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from typing import Self

from canon.image.descriptors import LAYER
from canon.image.images import Image
from canon.image.stores import Source
from canon.model.errors import CanonError, UnreadableLayerError

GZIP = (f"{LAYER}+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip")
PLAIN = (LAYER, "application/vnd.docker.image.rootfs.diff.tar")
BLOCK = 1024 * 1024
"""Bytes that are unpacked at once, whatever a compressed layer claims to hold."""
MAX_HEADER = 1024 * 1024
"""Bytes of an extended header; a path has at most 4,096, and other tools put attributes of files there."""
EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class LayerStream(io.RawIOBase):
    """The uncompressed bytes of a layer, read once and hashed on the way."""

    def __init__(self, chunks: Iterable[bytes], media_type: str) -> None:
        self._chunks = iter(_plain(chunks, media_type))
        self._rest = b""
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with what comes next."""
        while not self._rest:
            found = next(self._chunks, None)
            if found is None:
                return 0
            self._hash.update(found)
            self._rest = found
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def diff_id(self) -> str:
        """The digest of all the bytes; what was not read yet is read."""
        for chunk in self._chunks:
            self._hash.update(chunk)
        return f"sha256:{self._hash.hexdigest()}"


def _plain(chunks: Iterable[bytes], media_type: str) -> Iterator[bytes]:
    if media_type in PLAIN:
        yield from chunks
        return
    if media_type not in GZIP:
        raise UnreadableLayerError(
            f"a layer of the kind {media_type} cannot be read here; `skopeo copy` writes it as gzip"
        )
    unpacker = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        rest = chunk
        while rest:
            yield unpacker.decompress(rest, BLOCK)
            rest = unpacker.unconsumed_tail
            if unpacker.eof and unpacker.unused_data:  # several members in a row are one stream
                rest, unpacker = unpacker.unused_data, zlib.decompressobj(wbits=31)
    yield unpacker.flush()


class _Member(tarfile.TarInfo):
    """A member whose long names and other extended headers, which tarfile reads into memory at once, have a bound."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header. Raises tarfile.ReadError for an extended one of more than `MAX_HEADER` bytes."""
        made = super().frombuf(buf, encoding, errors)
        if made.type in EXTENDED and made.size > MAX_HEADER:
            raise tarfile.ReadError(f"an extended header has {made.size} bytes, more than {MAX_HEADER}")
        return made


def _tar(stream: LayerStream) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BufferedReader(stream), mode="r|", tarinfo=_Member)


@contextlib.contextmanager
def open_layer(source: Source, image: Image, number: int) -> Iterator[tarfile.TarFile]:
    """A layer's members, in their order, each to be read when it comes up; at the end its bytes have been compared with both digests.

    Raises CanonError for a layer that is not what the manifest or the configuration says, or no tar.
    """
    descriptor = image.manifest.layers[number]
    name = f"layer {number + 1} of {image.name} ({descriptor.digest[:19]}…)"
    stream = LayerStream(source.read(descriptor), descriptor.media_type)
    try:
        with _tar(stream) as layer:
            yield layer
        found = stream.diff_id()
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:  # tarfile's own, of hostile headers
        raise CanonError(f"{name} cannot be read: {error}") from None
    if found != image.diff_ids[number]:
        raise CanonError(f"{name} unpacks to {found}, and the configuration says {image.diff_ids[number]}")


def peek(source: Source, image: Image, number: int, path: str, limit: int) -> bytes | None:
    """The content of one file of a layer, None where it has none of that name; what comes after it is neither read nor checked.

    Raises CanonError for one of more than ``limit`` bytes.
    """
    descriptor = image.manifest.layers[number]
    stream = LayerStream(source.read(descriptor), descriptor.media_type)
    try:
        with _tar(stream) as layer:
            for member in layer:
                if member.name == path and member.isreg():
                    if member.size > limit:
                        raise CanonError(f"/{path} of {image.name} has {member.size} bytes, more than {limit}")
                    file = layer.extractfile(member)
                    return file.read() if file else b""
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:  # tarfile's own, of hostile headers
        raise CanonError(f"layer {number + 1} of {image.name} cannot be read: {error}") from None
    return None


def check_image(source: Source, image: Image) -> list[str]:
    """What of an image is not as its manifest and its configuration say: nothing, when it is whole. Every byte is read."""
    problems = []
    for number in range(len(image.manifest.layers)):
        try:
            check_layer(source, image, number)
        except CanonError as error:
            problems.append(str(error))
    return problems


def check_layer(source: Source, image: Image, number: int) -> None:
    """Raise CanonError for a layer that is not what manifest and configuration say; its members are not looked at."""
    descriptor = image.manifest.layers[number]
    stream = LayerStream(source.read(descriptor), descriptor.media_type)
    try:
        found = stream.diff_id()
    except zlib.error as error:
        raise CanonError(f"layer {number + 1} of {image.name} cannot be read: {error}") from None
    if found != image.diff_ids[number]:
        raise CanonError(
            f"layer {number + 1} of {image.name} ({descriptor.digest[:19]}…) unpacks to {found}, and the configuration says {image.diff_ids[number]}"
        )
