"""The workspace as `push` uses it: the user's command has written there, and what it started may still, so no link is followed out of it."""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from canon.model.errors import OutRefusedError

_AS_IT_IS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A named pipe does not hold up who opens it."""
_FOLDER = _AS_IT_IS | os.O_DIRECTORY
_OF_THE_STAGE = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.EACCES})
"""What makes it no file or folder that can be opened. Everything else is a fault of the machine, for which a pod is tried again."""
_BLOCK = 1 << 20


@contextmanager
def opened_parent(code: Path, path: str, *, make: bool = False) -> Iterator[int]:
    """Open the folder that a path of the workspace lies in; yield its descriptor, which stays that folder whatever becomes of its name.

    A link on the way may lead to another folder of the workspace. ``make``: make folders that are not there.
    Raises OutRefusedError for one that leads out of it, FileNotFoundError.
    """
    top, parent = os.path.realpath(code), os.path.realpath(code / posixpath.dirname(path))
    if parent != top and not parent.startswith(f"{top}/"):
        raise OutRefusedError(f"{path}: a folder on the way is a link that leads out of the workspace, to {parent}")
    folder = os.open(top, _FOLDER)
    try:
        for name in filter(None, parent[len(top) :].split("/")):
            try:
                inner = _open_folder(folder, name, make=make)
            except OSError as error:
                if error.errno not in _OF_THE_STAGE:
                    raise
                raise OutRefusedError(
                    f"{path}: {name}, a folder on the way, is none any more ({error.strerror})"
                ) from None
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _open_folder(parent: int, name: str, *, make: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    os.mkdir(name, dir_fd=parent)
    return os.open(name, _FOLDER, dir_fd=parent)


def take_out(code: Path, path: str, target: Path) -> None:
    """Copy an out of the workspace to a place that its stage cannot reach: what is looked at and what is saved are the same bytes.

    ``target`` must not exist, its folder must. Links within the out stay links, to the copies of what they name. Raises OutRefusedError for an out that
    is not there, that is or holds a link leading out of it, another name of a file that lies elsewhere, or anything but files and folders: it would
    bring in what whoever reads it may read.
    """
    try:
        with opened_parent(code, path) as parent:
            top = os.path.realpath(code / posixpath.dirname(path)) + "/" + posixpath.basename(path)
            _Copy(path, Path(top), target).take(parent)
    except FileNotFoundError as error:
        raise OutRefusedError(
            f"out {path} is not there ({posixpath.basename(str(error.filename))}): its stage did not write it"
        ) from None


class _Copy:
    """One out that is being copied. ``top``: where it lies, for what its links lead to."""

    def __init__(self, path: str, top: Path, target: Path) -> None:
        self._path, self._top, self._target = path, top, target
        self._names: dict[tuple[int, int], int] = {}
        """For each file that has several names those that were not met yet."""

    def take(self, parent: int) -> None:
        """Copy it, from the folder of a descriptor."""
        status = os.stat(self._top.name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            self._take_folder(parent)
        elif stat.S_ISLNK(status.st_mode):
            raise self._leaves(self._top)
        else:
            self._take_file(self._top.name, parent, self._target)
        if any(self._names.values()):
            raise OutRefusedError(
                f"out {self._path} holds another name (a hard link) of a file that lies elsewhere; copy it"
            )

    def _take_folder(self, parent: int) -> None:
        self._target.mkdir()
        # fwalk looks whether a folder that it has opened is the one that it has seen
        for folder, folders, files, here in os.fwalk(self._top.name, dir_fd=parent, onerror=_raise):
            inner = self._target / os.path.relpath(folder, self._top.name)
            for name in (*folders, *files):
                status = os.stat(name, dir_fd=here, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    (inner / name).mkdir()
                elif stat.S_ISLNK(status.st_mode):
                    self._take_link(self._top / os.path.relpath(folder, self._top.name) / name, inner / name)
                else:
                    self._take_file(name, here, inner / name)

    def _take_link(self, link: Path, target: Path) -> None:
        leads = Path(os.path.realpath(link))
        if not leads.is_relative_to(self._top):
            raise self._leaves(link)
        target.symlink_to(os.path.relpath(self._target / leads.relative_to(self._top), target.parent))

    def _take_file(self, name: str, folder: int, target: Path) -> None:
        try:
            opened = os.open(name, _AS_IT_IS, dir_fd=folder)
        except OSError as error:  # a socket cannot be opened, and a link that was no link a moment ago
            if error.errno not in _OF_THE_STAGE:
                raise
            raise OutRefusedError(f"out {self._path}: {name} cannot be read as a file ({error.strerror})") from None
        with os.fdopen(opened, "rb") as source:
            status = os.fstat(source.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OutRefusedError(
                    f"out {self._path}: {name} is neither a file nor a folder; remove it at the end of the stage"
                )
            if status.st_nlink > 1:
                key = (status.st_dev, status.st_ino)
                self._names[key] = self._names.get(key, status.st_nlink) - 1
            with target.open("xb") as copy:
                shutil.copyfileobj(source, copy, _BLOCK)
                os.fchmod(copy.fileno(), 0o600 | (status.st_mode & 0o111))

    def _leaves(self, link: Path) -> OutRefusedError:
        return OutRefusedError(f"out {self._path}: {link} is a link that leads out of it; write the file itself")


def _raise(error: OSError) -> None:
    raise error


def make_executable(folder: int, name: str) -> None:
    """Let everybody execute a file in the folder of a descriptor; nothing else that has its name meanwhile. Raises OSError."""
    opened = os.open(name, _AS_IT_IS, dir_fd=folder)
    try:
        mode = os.fstat(opened).st_mode
        if stat.S_ISREG(mode):
            os.fchmod(opened, stat.S_IMODE(mode) | 0o111)
    finally:
        os.close(opened)


def remove(folder: int, name: str) -> None:
    """Remove a file, a link or a folder with all that it holds from the folder of a descriptor. Nothing there is fine."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)
