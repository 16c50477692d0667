"""Putting a file or folder in its place whole: built beside it, then renamed; what was there comes back on any failure."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from canon.model.errors import CanonError

NEW, OLD, LOCK, UNLOCKED, GONE = "new", "old", "lock", "unlocked", "gone"
ROUNDS = 5
"""How often another process may put a folder at the same place before this one gives up."""
OCCUPIED = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR})
GRACE = 60
"""Seconds that a scratch folder without its lock may be one that is just being made."""


def _prefix(target: Path) -> str:
    return f".canon-get-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}-"


@contextlib.contextmanager
def scratch_beside(target: Path) -> Iterator[Path]:
    """A folder beside ``target``, on the same file system, to build ``scratch / NEW`` in; gone in the end.

    A lock in it tells others that it is in use: the kernel lets go of it when the process dies in whatever way.
    Folders made above it are removed again if they stay empty. Raises OSError.
    """
    made = [folder for folder in target.parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
    try:
        with (scratch / UNLOCKED).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (scratch / UNLOCKED).rename(scratch / LOCK)  # locked from the moment that `recover` sees it
            yield scratch
    finally:
        _restore(scratch, target)
        shutil.rmtree(scratch, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def recover(target: Path) -> None:
    """Take back what killed processes left beside ``target``: an old folder that stood aside returns, the rest goes."""
    for left in target.parent.glob(f"{_prefix(target)}*"):
        with contextlib.suppress(OSError):
            if not (left / LOCK).exists():
                if time.time() - left.stat().st_mtime > GRACE:
                    shutil.rmtree(left, ignore_errors=True)
                continue
            with (left / LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _restore(left, target)
                shutil.rmtree(left, ignore_errors=True)


def _restore(scratch: Path, target: Path) -> None:
    """Give the old content its place back unless a new one is there. Raises CanonError: it is never thrown away."""
    old = scratch / OLD
    if not os.path.lexists(old) or os.path.lexists(target):
        return
    try:
        old.rename(target)
    except OSError as error:
        if error.errno in OCCUPIED:  # somebody else's new one came in between
            return
        raise CanonError(
            f"cannot put {target} back: {error.strerror or error}; what was there is kept in {old}: move it by hand"
        ) from None


def put_in_place(scratch: Path, target: Path) -> None:
    """Move ``scratch / NEW`` to ``target``, a link there is replaced and not followed. Raises OSError.

    A file takes a file's place in one step. Folders cannot: the old one stands aside in the scratch folder first, from where
    `scratch_beside` and `recover` bring it back.
    """
    new, old = scratch / NEW, scratch / OLD
    for last in (*[False] * (ROUNDS - 1), True):
        if os.path.lexists(target) and (new.is_dir() or (target.is_dir() and not target.is_symlink())):
            if os.path.lexists(old):  # another process was quicker: what it put there is newer
                shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
            with contextlib.suppress(FileNotFoundError):
                target.rename(old)
        try:
            new.replace(target)
        except OSError as error:
            if last or error.errno not in OCCUPIED:
                raise
        else:
            with contextlib.suppress(FileNotFoundError):
                old.rename(scratch / GONE)  # from now on it must not come back
            return
