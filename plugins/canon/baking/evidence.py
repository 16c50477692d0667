"""What an image really holds: every layer read once and hashed, the code unpacked, the model's files by sha256."""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import tarfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from canon.baking.code import SOURCE, TOP
from canon.baking.provenance import MAX_PROVENANCE, PROVENANCE, Provenance, provenance_from_bytes
from canon.image.check import check_layer, open_layer, peek
from canon.image.descriptors import LAYER
from canon.image.images import Image
from canon.image.layers import CHUNK, Member, Remade
from canon.image.stores import Source
from canon.image.trees import link
from canon.model.errors import CanonError

MAX_PARAMS = 16 * 1024 * 1024
"""Bytes of the largest params file that is read from a provenance layer."""
ON_TOP = 2
"""Layers above the base: the model, the provenance."""


Finding = tuple[bool | None, str]
"""Whether something holds (None: it could not be looked at), and what it is, or what is wrong with it."""


@dataclass
class Found:
    """A file as it lies in a layer; ``size`` in bytes, ``target`` that of a link."""

    sha256: str = ""
    md5: str = ""
    size: int = 0
    executable: bool = False
    target: str = ""


@dataclass
class Evidence:
    """What was read. ``code`` is the unpacked source tree, ``files`` what lies in its layer; ``model`` and ``beside`` what the layers of model and provenance hold.

    ``plain``: those two are to the byte what Canon makes of such files. ``applied``: params files, path → bytes. ``problems``: layers that are not what the manifest says.
    """

    image: Image
    provenance: Provenance
    code: Path
    code_layer: int
    files: dict[str, Found] = field(default_factory=dict)
    model: dict[str, Found] = field(default_factory=dict)
    beside: dict[str, Found] = field(default_factory=dict)
    applied: dict[str, bytes] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    plain: bool = True

    @property
    def base_labels(self) -> dict[str, str]:
        """The labels of the base."""
        return self.provenance.base.labels


def load_provenance(source: Source, image: Image) -> Provenance:
    """The provenance in the layer on top. Raises CanonError where there is none, or it lies in another layer."""
    last = len(image.manifest.layers) - 1
    if last < ON_TOP:
        raise CanonError(
            f"{image.name} has {last + 1} layers: it was not made by `canon image bake`, which puts model and provenance on code"
        )
    for number in range(last, -1, -1):
        content = peek(source, image, number, PROVENANCE, MAX_PROVENANCE)
        if content is not None and number == last:
            return provenance_from_bytes(content, f"/{PROVENANCE} of {image.name}")
        if content is not None:
            raise CanonError(
                f"/{PROVENANCE} of {image.name} lies in layer {number + 1} of {last + 1}, not on top: the layers are in another order,"
                " or something was put on top of the model"
            )
    raise CanonError(
        f"{image.name} has no /{PROVENANCE}: it was not made by `canon image bake`, or the file was taken out"
    )


def gather(source: Source, image: Image, provenance: Provenance, into: Path) -> Evidence:
    """Read an image once; its code is unpacked into a folder, where nothing can leave it.

    Raises CanonError for an image whose upper layers are compressed: Canon's never are, and what such a one unpacks to has no bound.
    """
    count = len(image.manifest.layers)
    if any(layer.media_type != LAYER for layer in image.manifest.layers[-ON_TOP - 1 :]):
        raise CanonError(
            f"the layers of {image.name} were compressed or converted on the way, which gives another image; copy it with `skopeo copy --preserve-digests`"
        )
    evidence = Evidence(image, provenance, into, count - ON_TOP - 1)
    for number in range(count):
        try:
            if number == evidence.code_layer:
                _read_code(source, image, number, evidence)
            elif number > evidence.code_layer:
                _read_ours(source, image, number, evidence)
            else:
                check_layer(source, image, number)
        except CanonError as error:
            evidence.problems.append(str(error))
    return evidence


def apply_params(evidence: Evidence, allowed: Collection[str]) -> None:
    """Lay the params files that were applied over the code: those of the declared stages, which the code alone says. Raises CanonError."""
    for path, content in evidence.applied.items():
        if path in allowed and (evidence.code / path).is_file():
            _write(evidence.code / path, content)


def _members(layer: tarfile.TarFile, name: str) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Files and links of a layer of ours, with their path from `/`; anything else there is none of ours."""
    seen = set()
    for member in layer:
        path = member.name
        if path in seen or posixpath.normpath(path) != path or path.startswith(("/", "../")):
            raise CanonError(f"{name} holds {path!r} twice, or outside of its place")
        seen.add(path)
        if (member.isreg() and not member.issparse()) or member.issym():  # a sparse one has as many bytes as it likes
            yield path, member
        elif not member.isdir():
            raise CanonError(f"{name} holds {path!r}, which is neither file, link nor folder")


def _read_code(source: Source, image: Image, number: int, evidence: Evidence) -> None:
    with open_layer(source, image, number) as layer:
        for path, member in _members(layer, f"the code layer of {image.name}"):
            below = path.removeprefix(f"{SOURCE}/")
            if below == path:
                raise CanonError(f"the code layer of {image.name} holds {path!r}, which is not below /{SOURCE}")
            evidence.files[below] = _hashed(member, _chunks(layer, member), evidence.code / below)


def _read_ours(source: Source, image: Image, number: int, evidence: Evidence) -> None:
    """Read a layer above the code: the model's, or on top of it the provenance's."""
    on_top = number == len(image.manifest.layers) - 1
    there = evidence.beside if on_top else evidence.model
    params = {f"{SOURCE}/{path}": path for path in evidence.provenance.applied} if on_top else {}
    remade = Remade(TOP)
    names: list[bytes] = []
    with open_layer(source, image, number) as layer:
        for path, member in _members(layer, f"the layer of the {'provenance' if on_top else 'model'} of {image.name}"):
            names.append(path.encode("utf-8", "surrogateescape"))
            chunks = remade.add(_as_made(path, member), _chunks(layer, member))
            if path in params and member.isreg() and member.size <= MAX_PARAMS:
                content = b"".join(chunks)
                evidence.applied[params[path]] = content
                there[path] = Found(hashlib.sha256(content).hexdigest(), size=len(content))
            else:
                there[path] = _hashed(member, chunks, None)
    evidence.plain &= remade.digest() == image.diff_ids[number] and names == sorted(names)


def _as_made(path: str, member: tarfile.TarInfo) -> Member:
    return Member(path, member.size if member.isreg() else 0, target=member.linkname if member.issym() else "")


def _chunks(layer: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    file = layer.extractfile(member) if member.isreg() else None
    while file is not None and (chunk := file.read(CHUNK)):
        yield chunk


def _hashed(member: tarfile.TarInfo, chunks: Iterable[bytes], place: Path | None) -> Found:
    """Hash a file; put it, or a link, at its place. The place's folders are made here, so that no link leads out of them."""
    found, known = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    executable = bool(member.mode & 0o100)
    with contextlib.ExitStack() as stack:
        out: IO[bytes] | None = None
        if place is not None:
            _folder(place)
            if member.issym():
                link(member.name, member.linkname, SOURCE)
                place.symlink_to(member.linkname)
            else:
                out = stack.enter_context(place.open("xb"))
                place.chmod(0o755 if executable else 0o644)
        for chunk in chunks:
            found.update(chunk)
            if place is None:  # DVC's own hash of the model
                known.update(chunk)
            if out is not None:
                out.write(chunk)
    if member.issym():
        return Found(target=member.linkname)
    return Found(found.hexdigest(), known.hexdigest(), member.size, executable)


def _folder(place: Path) -> None:
    """Make the folder of a place. Raises CanonError when a link of the layer stands in the way: it would lead elsewhere."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        real = place.parent.resolve() == Path(os.path.abspath(place.parent))  # noqa: PTH100  without following links
    except OSError as error:
        raise CanonError(f"{place.name} of an image cannot be unpacked: {error.strerror}") from None
    if not real:
        raise CanonError(f"{place.name} of an image lies below a link; it is not unpacked")


def _write(place: Path, content: bytes) -> None:
    _folder(place)
    place.unlink(missing_ok=True)
    place.write_bytes(content)
