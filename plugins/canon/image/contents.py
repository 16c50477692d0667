"""What lies in an image: the names in its layers, without unpacking them."""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator

from canon.image.check import open_layer
from canon.image.images import Image
from canon.image.layers import WHITEOUT
from canon.image.stores import Source


def layer_members(source: Source, image: Image, number: int) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a layer, compressed or not. Raises CanonError."""
    with open_layer(source, image, number) as layer:
        yield from layer


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
