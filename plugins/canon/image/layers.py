"""Layers as tar streams whose bytes depend on their content alone.

The format is POSIX.1-2001's (pax), as OCI's image specification asks for; `tarfile` makes the headers. Members are sorted by the bytes
of their paths, owned by 0:0, of time 0, of mode 0755 or 0644; folders come before what is in them.
"""

from __future__ import annotations

import hashlib
import posixpath
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from canon.image.descriptors import LAYER, Descriptor
from canon.model.errors import CanonError

CHUNK = 1024 * 1024
END = bytes(2 * tarfile.BLOCKSIZE)
WHITEOUT = ".wh."
"""How the name of a member begins that deletes a file of a layer below (image specification)."""


class Content(Protocol):
    """A file that is open to be read once."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None: ...


@dataclass(frozen=True, slots=True)
class Member:
    """A file or a symbolic link of a layer. ``path`` is relative to the image's root; ``read`` opens the content of a file.

    ``size`` in bytes; ``target`` is where a link points to, and empty for a file.
    """

    path: str
    size: int = 0
    executable: bool = False
    target: str = ""
    read: Callable[[], Content] | None = None


def members_in_order(members: Iterable[Member], top: str) -> list[Member]:
    """Sort members as a layer has them. All lie below ``top``, a folder that the base does not have.

    Raises CanonError for a path that leaves it, that stands there twice, as a file and a folder, or that a layer cannot hold.
    """
    known: dict[bytes, Member] = {}
    for member in members:
        key = _checked(member, top)
        if key in known:
            raise CanonError(f"{member.path} stands twice in one layer")
        known[key] = member
    folders = {parent for key in known for parent in _parents(key)}
    both = sorted(folders & known.keys())
    if both:
        raise CanonError(f"{both[0].decode()} is a file and a folder at once in one layer")
    return [known[key] for key in sorted(known)]


def _checked(member: Member, top: str) -> bytes:
    path = member.path
    try:
        key = path.encode()
        member.target.encode()
    except UnicodeEncodeError:
        raise CanonError(f"the name {path!r} is not UTF-8, and would be another one elsewhere; rename it") from None
    if posixpath.normpath(path) != path or not path.startswith(f"{top}/") or "\0" in path + member.target:
        raise CanonError(f"{path!r} is no path below {top}; an image holds nothing else")
    if any(part.startswith(WHITEOUT) for part in path.split("/")):
        raise CanonError(f"{path} has a name that deletes files in an image (`{WHITEOUT}…`); rename it")
    if any(len(part) > 255 for part in key.split(b"/")):  # noqa: PLR2004  NAME_MAX of every file system
        raise CanonError(f"{path[:80]}… has a name of over 255 bytes, which no file system unpacks; rename it")
    return key


def _parents(path: bytes) -> Iterator[bytes]:
    while path := path.rpartition(b"/")[0]:
        yield path


def tar_chunks(members: Iterable[Member], top: str) -> Iterator[bytes]:
    """Yield the bytes of a layer; ``members`` are in order. Raises CanonError when a file changes while it is read."""
    for header, member in _headers(members, top):
        yield header
        if member is not None and member.read is not None:
            yield from _content(member, member.read)
    yield END


def tar_size(members: Iterable[Member], top: str) -> int:
    """Bytes of a layer; nothing is read for it."""
    size = len(END)
    for header, member in _headers(members, top):
        size += len(header)
        if member is not None:
            size += member.size + -member.size % tarfile.BLOCKSIZE
    return size


def _headers(members: Iterable[Member], top: str) -> Iterator[tuple[bytes, Member | None]]:
    """Yield the headers of a layer, each with what comes after it; folders are made where the first member needs them."""
    made = set(_parents(top.encode()))
    for member in members:
        *folders, own = _member_headers(member, made)
        yield from ((folder, None) for folder in folders)
        yield own, member if member.read is not None else None


def _member_headers(member: Member, made: set[bytes]) -> Iterator[bytes]:
    for folder in sorted({*_parents(member.path.encode())} - made):
        made.add(folder)
        yield _header(folder.decode(), kind=tarfile.DIRTYPE, mode=0o755)
    if member.target:
        yield _header(member.path, kind=tarfile.SYMTYPE, mode=0o777, target=member.target)
    else:
        mode = 0o755 if member.executable else 0o644
        yield _header(member.path, kind=tarfile.REGTYPE, mode=mode, size=member.size)


class Remade:
    """The digest that a layer has when it is made of members in the order in which they are given, to be held against one that is there."""

    def __init__(self, top: str) -> None:
        self._made = set(_parents(top.encode()))
        self._hash = hashlib.sha256()

    def add(self, member: Member, chunks: Iterable[bytes] = ()) -> Iterator[bytes]:
        """Take a member; its content is passed on."""
        for header in _member_headers(member, self._made):
            self._hash.update(header)
        for chunk in chunks:
            self._hash.update(chunk)
            yield chunk
        self._hash.update(bytes(-member.size % tarfile.BLOCKSIZE))

    def digest(self) -> str:
        """The digest of the layer, which ends here."""
        self._hash.update(END)
        return f"sha256:{self._hash.hexdigest()}"


def _content(member: Member, read: Callable[[], Content]) -> Iterator[bytes]:
    left = member.size
    with read() as file:
        while chunk := file.read(min(CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
    if left:
        raise CanonError(f"{member.path} changed while it was read; try again when nothing writes to it")
    yield bytes(-member.size % tarfile.BLOCKSIZE)


def _header(path: str, *, kind: bytes, mode: int, size: int = 0, target: str = "") -> bytes:
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.size, info.linkname = kind, mode, size, target
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def describe(chunks: Iterable[bytes]) -> Descriptor:
    """Hash a layer without keeping it. An uncompressed layer's digest is its diff id, too."""
    found, size = hashlib.sha256(), 0
    for chunk in chunks:
        found.update(chunk)
        size += len(chunk)
    return Descriptor(media_type=LAYER, digest=f"sha256:{found.hexdigest()}", size=size)
