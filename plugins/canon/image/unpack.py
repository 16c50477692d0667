"""A part of an image as files of a folder, without rights and without trust: nothing of it is run, nothing leaves the folder."""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
from pathlib import Path

from canon.image.check import open_layer
from canon.image.images import Image
from canon.image.layers import WHITEOUT
from canon.image.stores import Source
from canon.image.trees import link
from canon.model.errors import CanonError


def unpack_below(source: Source, image: Image, top: str, folder: Path) -> None:
    """Write all that an image has below ``top`` into a folder, at the same paths. Layers are read in their order, whiteouts followed.

    Raises CanonError for a path or a link that leaves ``top``, and for what is neither file, link nor folder.
    """
    base = folder.resolve()
    for number in range(len(image.manifest.layers)):
        with open_layer(source, image, number) as layer:
            for member in layer:
                path = posixpath.normpath(f"/{member.name}").lstrip("/")
                if path == top or path.startswith(f"{top}/"):
                    _place(layer, member, path, top, base)


def _place(layer: tarfile.TarFile, member: tarfile.TarInfo, path: str, top: str, base: Path) -> None:
    name = posixpath.basename(path)
    place = base / path
    _check_folders(place, base, path)
    if name == f"{WHITEOUT}{WHITEOUT}.opq":
        _remove(place.parent)
        place.parent.mkdir(parents=True, exist_ok=True)
    elif name.startswith(WHITEOUT):
        _remove(place.parent / name.removeprefix(WHITEOUT))
    elif member.isdir():
        if place.is_symlink() or place.is_file():
            _remove(place)
        place.mkdir(parents=True, exist_ok=True)
    elif member.issym():
        link(path, member.linkname, top)
        _remove(place)
        place.symlink_to(member.linkname)
    elif member.isreg():
        _remove(place)
        file = layer.extractfile(member)
        with place.open("xb") as out:
            if file is not None:
                shutil.copyfileobj(file, out)
        place.chmod(0o755 if member.mode & 0o100 else 0o644)
    else:
        raise CanonError(f"{path} of the image is neither file, link nor folder; it is not unpacked")


def _check_folders(place: Path, base: Path, path: str) -> None:
    """Make the folder of a place. Raises CanonError where a link of the image stands in the way: what is behind it is elsewhere."""
    here = base
    for part in place.parent.relative_to(base).parts:
        here /= part
        if here.is_symlink() or (os.path.lexists(here) and not here.is_dir()):
            raise CanonError(f"{path} of the image lies below a link or a file; it is not unpacked")
    place.parent.mkdir(parents=True, exist_ok=True)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
