"""Whether anything changed since a run found nothing to do, by a stat of all that it looked at: neither DVC nor a declaration is loaded for that.

The trust is that of DVC's own state database, which believes a file's inode, size and time of change; here its ctime, too, which nobody can set,
and that of a folder: `tar` and `rsync` put its time back when they have added a file.
A file that changed while the run looked has a ctime after its beginning: then nothing is remembered, and the next run looks again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from canon import __version__
from canon.model.errors import CanonError
from canon.output.files import write_text

FILE = ".dvc/tmp/canon/fresh.json"
_CLOCK = ".dvc/tmp/canon/fresh.clock"
_SLACK = 50_000_000
"""Nanoseconds that a file system's clock may lag behind."""
_SEEN = ("DVC_", "GIT_", "XDG_CONFIG", "HOME")
"""What variables begin with that decide which settings are read."""
_WAITING = (".dvc/tmp/canon/spool", ".dvc/tmp/canon/sessions")
"""Folders of what an earlier command left to the next one: rows to send, runs to close."""
Signature = list[int] | None
_INODES = 3
"""What a signature begins with is no time, and may be larger than any: some file systems number so."""


def request_of(words: Sequence[str], environ: Mapping[str, str] = os.environ) -> str:
    """What is asked for, and by whose settings, as a hash: nothing of the environment is to be read in a file."""
    settings = sorted((key, value) for key, value in environ.items() if key.startswith(_SEEN))
    return hashlib.sha256(json.dumps([__version__, list(words), settings]).encode()).hexdigest()


def load_fresh(root: Path, request: str) -> Mapping[str, Any] | None:
    """What was said when nothing was to do, if that was asked for and nothing has changed since; None where there is any doubt."""
    try:
        document = json.loads((root / FILE).read_bytes())
        says, known = document["says"], document["paths"]
        if document["request"] != request or not isinstance(says, dict) or waits(root):
            return None
        if (root / _CLOCK).stat().st_mtime_ns != document["begun"]:  # of no run here: a commit may have brought it
            return None
        if any(_signature(_path(root, path)) != signature for path, signature in known.items()):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return dict(says)


def begin(root: Path) -> int:
    """The time, by the clock of the file system that the project lies on, in nanoseconds; call it before anything is looked at. Raises OSError."""
    clock = root / _CLOCK
    clock.parent.mkdir(parents=True, exist_ok=True)
    clock.unlink(missing_ok=True)  # a link may be of a branch
    clock.write_bytes(b"")
    return clock.stat().st_mtime_ns


def remember(
    root: Path, request: str, says: Mapping[str, Any], begun: int, *, paths: Iterable[str], shallow: Iterable[str] = ()
) -> bool:
    """Remember that nothing was to do, and what was said, in a run that began at ``begun`` and looked at ``paths``, folders with all that is below.

    ``shallow``: paths of which what is below does not count. Return False, and remember nothing, where something changed meanwhile, or just before.
    """
    known = signatures_of(root, paths)
    for path in {_path(root, each) for each in shallow}:
        known.setdefault(_name(root, path), _signature(path))
    if any(signature is not None and max(signature[_INODES:]) > begun - _SLACK for signature in known.values()):
        forget(root)
        return False
    document = {"request": request, "begun": begun, "says": dict(says), "paths": known}
    try:
        write_text(root / FILE, json.dumps(document, separators=(",", ":")))
    except CanonError:  # the disk is full: the run has done what it should
        forget(root)
        return False
    return True


def signatures_of(root: Path, paths: Iterable[str]) -> dict[str, Signature]:
    """What tells that something is another one than before, by its path, relative where it is in the project; of folders with all that is below."""
    known: dict[str, Signature] = {}
    for path in {_path(root, each) for each in paths}:
        _add(root, path, known)
    return known


def forget(root: Path) -> None:
    """Let the next run look at everything."""
    with contextlib.suppress(OSError):
        (root / FILE).unlink()


def waits(root: Path) -> bool:
    """Tell whether an earlier command left something to the next one. What begins with a dot is no row and no session."""
    for folder in _WAITING:
        with contextlib.suppress(FileNotFoundError), os.scandir(root / folder) as entries:
            if any(not entry.name.startswith(".") for entry in entries):
                return True
    return False


def _add(root: Path, path: str, known: dict[str, Signature]) -> None:
    name = _name(root, path)
    if name in known:
        return
    known[name] = _signature(path)
    with contextlib.suppress(OSError), os.scandir(path) as entries:  # of what is no folder nothing
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _add(root, entry.path, known)
            else:  # DVC follows no link to a folder below a folder either: two that lead up have no end
                known.setdefault(_name(root, entry.path), _signature(entry.path))


def _path(root: Path, name: str) -> str:
    return name if name.startswith("/") else f"{root}/{name}"


def _name(root: Path, path: str) -> str:
    return os.path.relpath(path, root) if path.startswith(f"{root}{os.sep}") else path


def _signature(path: str) -> Signature:
    """What tells that a file, a folder or a link is another one than before; None where there is none.

    Another hard link to a file changes its ctime, so that it says nothing of files that have several: DVC's cache shares them.
    """
    try:
        own = os.lstat(path)
        found = own
        if stat.S_ISLNK(own.st_mode):
            found = Path(path).stat()
    except OSError:
        return None
    if stat.S_ISDIR(found.st_mode):
        return [own.st_mode, own.st_ino, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]
    changed = found.st_ctime_ns if found.st_nlink == 1 else 0
    return [own.st_mode, own.st_ino, found.st_ino, found.st_size, found.st_mtime_ns, changed]
