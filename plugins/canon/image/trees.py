"""The members of a layer from a folder on disk."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from canon.image.layers import Member
from canon.model.errors import CanonError, listed


def members_of_folder(folder: Path, below: str) -> Iterator[Member]:
    """Yield the files and links of a folder as members below a path of the image; empty folders are left out.

    Raises CanonError for a link that leaves the folder, and for what is neither file, link nor folder.
    """
    for parent, names, files in os.walk(folder):
        here = Path(parent)
        for name in (*files, *(each for each in names if (here / each).is_symlink())):
            file = here / name
            yield member_of_file(file, f"{below}/{file.relative_to(folder).as_posix()}", below)


def member_of_file(file: Path, path: str, top: str) -> Member:
    """The member of one file or link. A link may point to what lies below ``top`` and to nothing else. Raises CanonError."""
    try:
        status = file.lstat()
        if stat.S_ISLNK(status.st_mode):
            return link(path, os.fspath(file.readlink()), top)
    except OSError as error:
        raise CanonError(f"{file} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise CanonError(f"{file} is neither a file nor a link; an image holds nothing else: remove it")
    return Member(path, status.st_size, bool(status.st_mode & 0o100), read=partial(_open, file))


def _open(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise CanonError(f"{file} cannot be read: {error.strerror}") from None


def member_of_bytes(path: str, content: bytes, *, executable: bool = False) -> Member:
    """The member of a file that lies nowhere."""
    return Member(path, len(content), executable, read=partial(BytesIO, content))


def link(path: str, target: str, top: str) -> Member:
    """The member of a symbolic link. Raises CanonError when it points out of ``top``, or may do so by way of another link.

    In `a/..`, `a` may be a link itself: then what follows lies elsewhere than its text says.
    """
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    parts = [part for part in target.split("/") if part not in {"", "."}]
    up = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    if posixpath.isabs(target) or not (place == top or place.startswith(f"{top}/")):
        raise CanonError(f"{path} is a link to {target!r}, which is not in the image; put the file itself there")
    if ".." in parts[up:]:
        raise CanonError(f"{path} is a link to {target!r}, which goes up again after a name; write it without that")
    return Member(path, target=target)


def check_cases(members: Iterable[Member]) -> None:
    """Raise CanonError for two paths that differ in case alone: on other file systems one takes the place of the other."""
    known: dict[str, str] = {}
    both: list[str] = []
    for member in members:
        for path in (member.path, *_parents(member.path)):
            other = known.setdefault(path.casefold(), path)
            if other != path:
                both.append(f"{other} and {path}")
    if both:
        raise CanonError(
            f"names that differ in case alone, of which some file systems keep one: {listed(both, 3)}; rename one"
        )


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
