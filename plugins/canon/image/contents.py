"""What lies in an image: the names in its layers, without unpacking them."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Iterable, Iterator

from canon.image.images import Image
from canon.image.layers import WHITEOUT
from canon.image.stores import Source
from canon.model.errors import CanonError


class _Stream(io.RawIOBase):
    """Chunks as a file that is read once."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self._rest = iter(chunks), b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with what comes next."""
        while not self._rest:
            found = next(self._chunks, None)
            if found is None:
                return 0
            self._rest = found
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def layer_members(source: Source, image: Image, number: int) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a layer, compressed or not. Raises CanonError."""
    descriptor = image.manifest.layers[number]
    try:
        with tarfile.open(fileobj=io.BufferedReader(_Stream(source.read(descriptor))), mode="r|*") as layer:
            yield from layer
    except (tarfile.TarError, EOFError, OSError) as error:
        raise CanonError(
            f"layer {number + 1} of {image.name} ({descriptor.media_type}) cannot be read: {error}"
        ) from None


def final_paths(source: Source, image: Image) -> dict[str, str]:
    """Every path of the unpacked image → what a link there points to, empty for all else. Whiteouts are followed."""
    found: dict[str, str] = {}
    for number in range(len(image.manifest.layers)):
        gone, emptied, added = set(), set(), {}
        for member in layer_members(source, image, number):
            path = posixpath.normpath(f"/{member.name}").strip("/")
            folder, name = posixpath.split(path)
            if name == f"{WHITEOUT}{WHITEOUT}.opq":
                emptied.add(folder)
            elif name.startswith(WHITEOUT):
                gone.add(posixpath.join(folder, name.removeprefix(WHITEOUT)))
            else:
                added[path] = member.linkname if member.issym() else ""
        if gone or emptied:  # they mean what lies below this layer
            found = {path: target for path, target in found.items() if not _is_gone(path, gone, emptied)}
        found |= added
    return found


def _is_gone(path: str, gone: set[str], emptied: set[str]) -> bool:
    above = posixpath.dirname(path)
    while above:
        if above in gone or above in emptied:
            return True
        above = posixpath.dirname(above)
    return path in gone or "" in emptied
