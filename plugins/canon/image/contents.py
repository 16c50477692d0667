"""What lies in an image: the names in its layers, and some files, without unpacking them."""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Callable
from dataclasses import dataclass

from canon.image.check import open_layer
from canon.image.images import Image
from canon.image.layers import WHITEOUT
from canon.image.stores import Source


@dataclass(frozen=True, slots=True)
class Placed:
    """What the unpacked image has at a path: where a link points to, and a small file's content; None: not wanted, larger, or no file."""

    target: str = ""
    content: bytes | None = None


def _path(name: str) -> str:
    """Relative to the image's root, whatever the layer says."""
    return posixpath.normpath(f"/{name}").strip("/")


def final_contents(source: Source, image: Image, wanted: Callable[[str], int] = lambda _: -1) -> dict[str, Placed]:
    """Every path of the unpacked image; ``wanted`` tells the most bytes of the file at a path that is read, -1 for one that is not.

    Whiteouts are followed, as is a file that replaces a folder. Raises CanonError.
    """
    found: dict[str, Placed] = {}
    for number in range(len(image.manifest.layers)):
        gone, emptied, added = set[str](), set[str](), dict[str, Placed]()
        with open_layer(source, image, number) as layer:
            for member in layer:
                path = _path(member.name)
                folder, name = posixpath.split(path)
                if name == f"{WHITEOUT}{WHITEOUT}.opq":
                    emptied.add(folder)
                elif name.startswith(WHITEOUT):
                    gone.add(posixpath.join(folder, name.removeprefix(WHITEOUT)))
                else:
                    if not member.isdir():
                        gone.add(path)
                    added[path] = _placed(layer, member, added, wanted)
        found = {path: placed for path, placed in found.items() if not _is_gone(path, gone, emptied)} | added
    return found


def _placed(
    layer: tarfile.TarFile, member: tarfile.TarInfo, added: dict[str, Placed], wanted: Callable[[str], int]
) -> Placed:
    path = _path(member.name)
    if member.issym():
        return Placed(target=member.linkname)
    if member.islnk():  # one more name of a file that came before
        return added.get(_path(member.linkname), Placed())
    if member.isreg() and member.size <= wanted(path):
        file = layer.extractfile(member)
        return Placed(content=file.read() if file else b"")
    return Placed()


def final_paths(source: Source, image: Image) -> dict[str, str]:
    """Every path of the unpacked image → what a link there points to, empty for all else. Raises CanonError."""
    return {path: placed.target for path, placed in final_contents(source, image).items()}


def final_files(source: Source, image: Image, wanted: Callable[[str], int]) -> dict[str, bytes | None]:
    """The content of the files that are ``wanted``; None for what is no file there, or a larger one. Raises CanonError."""
    placed = final_contents(source, image, lambda path: wanted(path) or -1)
    return {path: each.content for path, each in placed.items() if wanted(path)}


def _is_gone(path: str, gone: set[str], emptied: set[str]) -> bool:
    above = posixpath.dirname(path)
    while above:
        if above in gone or above in emptied:
            return True
        above = posixpath.dirname(above)
    return path in gone or "" in emptied
