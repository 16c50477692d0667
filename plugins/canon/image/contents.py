"""What lies in an image: the names in its layers, and some files, without unpacking them."""

from __future__ import annotations

import io
import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator

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


def _read_layer(
    source: Source, image: Image, number: int, wanted: Callable[[str], int]
) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """Yield the members of a layer, with the content of files of at most as many bytes as are wanted."""
    descriptor = image.manifest.layers[number]
    try:
        with tarfile.open(fileobj=io.BufferedReader(_Stream(source.read(descriptor))), mode="r|*") as layer:
            for member in layer:
                small = member.isreg() and member.size <= wanted(_path(member.name))
                file = layer.extractfile(member) if small else None
                yield member, file.read() if file else None
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise CanonError(
            f"layer {number + 1} of {image.name} ({descriptor.media_type}) cannot be read: {error}"
        ) from None


def _path(name: str) -> str:
    """Relative to the image's root, whatever the layer says."""
    return posixpath.normpath(f"/{name}").strip("/")


def layer_members(source: Source, image: Image, number: int) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a layer, compressed or not. Raises CanonError."""
    for member, _ in _read_layer(source, image, number, lambda _: -1):
        yield member


def final_paths(source: Source, image: Image) -> dict[str, str]:
    """Every path of the unpacked image → what a link there points to, empty for all else. Whiteouts are followed."""
    found: dict[str, str] = {}
    for number in range(len(image.manifest.layers)):
        gone, emptied, added = set(), set(), {}
        for member in layer_members(source, image, number):
            path = _path(member.name)
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


def final_files(source: Source, image: Image, wanted: Callable[[str], int]) -> dict[str, bytes | None]:
    """The content of files of the unpacked image; ``wanted`` tells the most bytes of the file at a path, 0 for one that nobody wants.

    None stands for what is no file there, or a larger one. Whiteouts are followed, as is what replaces a folder. Raises CanonError.
    """
    found: dict[str, bytes | None] = {}
    for number in range(len(image.manifest.layers)):
        gone, emptied, added = set(), set(), dict[str, bytes | None]()
        for member, content in _read_layer(source, image, number, wanted):
            path = _path(member.name)
            folder, name = posixpath.split(path)
            if name == f"{WHITEOUT}{WHITEOUT}.opq":
                emptied.add(folder)
            elif name.startswith(WHITEOUT):
                gone.add(posixpath.join(folder, name.removeprefix(WHITEOUT)))
            elif not member.isdir():
                gone.add(path)
                if wanted(path):
                    # a hard link is one more name of a file that came before
                    added[path] = added.get(_path(member.linkname)) if member.islnk() else content
        found = {path: content for path, content in found.items() if not _is_gone(path, gone, emptied)} | added
    return found


def _is_gone(path: str, gone: set[str], emptied: set[str]) -> bool:
    above = posixpath.dirname(path)
    while above:
        if above in gone or above in emptied:
            return True
        above = posixpath.dirname(above)
    return path in gone or "" in emptied
