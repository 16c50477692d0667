"""A part of an image as files of a folder, without rights and without trust: nothing of it is run, nothing leaves the folder."""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
from collections.abc import Iterator
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
        made: set[Path] = set()
        with open_layer(source, image, number) as layer:
            for member in layer:
                path = posixpath.normpath(f"/{member.name}").lstrip("/")
                hidden = _hidden(path)
                if hidden is not None:
                    for place in _places(base, *hidden, top):
                        _hide(place, made)
                elif path == top or path.startswith(f"{top}/"):
                    made.add(_place(layer, member, path, top, base))
                elif top.startswith(f"{path}/") and not member.isdir():
                    _remove(base / top)  # the folder that held it has given way


def _hidden(path: str) -> tuple[str, bool] | None:
    """The path that a whiteout hides, and whether it hides what is in there alone; None for any other member. Raises CanonError."""
    folder, name = posixpath.split(path)
    if name == f"{WHITEOUT}{WHITEOUT}.opq":
        return folder, True
    if not name.startswith(WHITEOUT):
        return None
    hidden = name.removeprefix(WHITEOUT)
    if hidden in {"", ".", ".."} or "\0" in path:
        raise CanonError(f"{path!r} of the image is a whiteout of nothing; it is not unpacked")
    return posixpath.join(folder, hidden), False


def _places(base: Path, hidden: str, inside: bool, top: str) -> Iterator[Path]:  # noqa: FBT001  as `_hidden` says it
    """Where that lies here: at or below ``top``, or all of it where a folder above is hidden."""
    if top.startswith(f"{hidden}/") or not hidden:
        yield base / top
    elif hidden == top or hidden.startswith(f"{top}/"):
        place = base / hidden
        if _is_below_folders(place, base):
            yield from sorted(place.iterdir()) if inside and _is_folder(place) else () if inside else (place,)


def _place(layer: tarfile.TarFile, member: tarfile.TarInfo, path: str, top: str, base: Path) -> Path:
    if "\0" in path + member.linkname:
        raise CanonError(f"{path!r} of the image is no name of a file; it is not unpacked")
    place = base / path
    if not _is_below_folders(place, base):
        raise CanonError(f"{path} of the image lies below a link or a file; it is not unpacked")
    place.parent.mkdir(parents=True, exist_ok=True)
    if member.isdir():
        if not _is_folder(place):
            _remove(place)
        place.mkdir(exist_ok=True)
    elif member.issym():
        link(path, member.linkname, top)
        _remove(place)
        place.symlink_to(member.linkname)
    elif member.isreg() and not member.issparse():  # a sparse one has as many bytes as it likes
        _remove(place)
        file = layer.extractfile(member)
        with place.open("xb") as out:
            if file is not None:
                shutil.copyfileobj(file, out)
        place.chmod(0o755 if member.mode & 0o100 else 0o644)
    else:
        raise CanonError(f"{path} of the image is neither file, link nor folder; it is not unpacked")
    return place


def _is_below_folders(place: Path, base: Path) -> bool:
    """Tell whether nothing but folders is above a place, or nothing at all: what is behind a link is elsewhere."""
    above = [each for each in place.parents if each != base and each.is_relative_to(base)]
    return not any(os.path.lexists(each) and not _is_folder(each) for each in above)


def _is_folder(place: Path) -> bool:
    return place.is_dir() and not place.is_symlink()


def _hide(place: Path, made: set[Path]) -> None:
    """Remove what the layers below have at a place. What this layer made stays, in whichever order its members stand."""
    if _is_folder(place):
        for each in place.iterdir():
            _hide(each, made)
        if place not in made and not any(place.iterdir()):
            place.rmdir()
    elif place not in made:
        place.unlink(missing_ok=True)


def _remove(place: Path) -> None:
    if _is_folder(place):
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
