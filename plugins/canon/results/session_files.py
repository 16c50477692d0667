"""The small files that open sessions have: one a session, locked while it lasts, so that a `kill -9` of it is known by the lock alone.

A lock is no number of a process that another one may get, and holds between containers that share a checkout. What becomes of a stage is a line
that is put behind the rest: to write the file anew for each would take the time of its stages once more.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from canon.mlflow.own_runs import FAILED, FINISHED, KILLED
from canon.model.errors import CanonError
from canon.model.fields import NAME
from canon.output.files import write_bytes

SESSIONS = ".dvc/tmp/canon/sessions"
"""Below the checkout that holds the store: a temporary copy is gone after its session."""
NOTES = ".dvc/tmp/canon/own_runs"
"""What else is kept of them; nothing there keeps the next command from saying that nothing is to do."""
ID = re.compile(r"[0-9a-f]{32}")
ENDS = frozenset({FINISHED, FAILED, KILLED})
"""How a run ends."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file says, of `Ending`'s fields as they are there. ``store``: the tracking URI without credentials; ``pid``: for whoever reads it."""

    session: str
    pipeline: str
    store: str
    stages: Mapping[str, str]
    other: str
    result: str | None = None
    entries: Mapping[str, str] = field(default_factory=dict)
    pid: int = 0

    def document(self) -> bytes:
        """The file's content."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__}, sort_keys=True).encode()


def load_kept(content: bytes, session: str) -> Kept:
    """What a file says, with the lines that were put behind it. Raises ValueError for one that no session of ours wrote."""
    first, *lines = content.split(b"\n")
    return _with_lines(_kept(json.loads(first), session), lines)


def _with_lines(kept: Kept, lines: Iterable[bytes]) -> Kept:
    """Take in what became of stages; a line that there was no time, or no room, to end is left out."""
    stages, entries = dict(kept.stages), dict(kept.entries)
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            stage, status, entry = json.loads(line)
            if isinstance(stage, str) and status in ENDS:
                stages[stage] = status
                entries.pop(stage, None)
                if isinstance(entry, str):
                    entries[stage] = entry
    return replace(kept, stages=stages, entries=entries)


def _kept(found: Any, session: str) -> Kept:  # noqa: ANN401  whatever the file holds
    if not isinstance(found, dict) or not ID.fullmatch(session) or found.get("session") != session:
        raise ValueError("it is of another session")
    stages, entries, result, pid = (found.get(name) for name in ("stages", "entries", "result", "pid"))
    texts = [found.get(name) for name in ("pipeline", "store", "other")]
    if (
        not isinstance(stages, dict)
        or not isinstance(entries, dict)
        or not all(isinstance(text, str) for text in (*texts, *stages.values(), *entries.values(), result or ""))
    ):
        raise ValueError("something is missing in it")
    if not {*stages.values(), found["other"]} <= ENDS:
        raise ValueError("runs do not end so")
    pipeline, store, other = map(str, texts)
    if not re.fullmatch(NAME, pipeline):  # it becomes part of a path and of a search
        raise ValueError(f"{pipeline!r} is no name of a pipeline")
    return Kept(session, pipeline, store, stages, other, result, entries, pid if isinstance(pid, int) else 0)


class SessionFile:
    """A file whose lock is held."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @property
    def days(self) -> float:
        """How long ago something was written into it."""
        return (time.time() - os.fstat(self._descriptor).st_mtime) / 86400

    def add(self, stage: str, status: str, entry: str | None) -> None:
        """Put down what became of a stage: one write, so that a `kill -9` leaves all of the line or, on a full disk, a part that is left out."""
        with contextlib.suppress(OSError):
            os.write(self._descriptor, f"\n{json.dumps([stage, status, entry])}".encode())

    def replace(self, kept: Kept) -> None:
        """Write it anew; it is not locked any more, but by whoever takes it. Raises CanonError."""
        write_bytes(self.path, kept.document())
        self.release()

    def remove(self) -> None:
        """Remove it."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let it lie."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def done_note(home: Path, session: str) -> Path:
    """Says that `track` found nothing of a session that is left to do."""
    return home / NOTES / f"{session}.done"


def waiting_note(home: Path, pipeline: str) -> Path:
    """Says that runs of a pipeline's stages wait for the row of a result: without it no command asks a store for them."""
    return home / NOTES / f"{pipeline}.waiting"


def write_note(note: Path, *, there: bool = True) -> None:
    """Write a note, or take it away. One that cannot be written costs a look into the store, or a parent."""
    with contextlib.suppress(CanonError, OSError):
        if there:
            note.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(note, b"")
        else:
            note.unlink(missing_ok=True)


def create_file(home: Path, kept: Kept) -> SessionFile:
    """Write the file of a session that begins: whoever sees it finds it locked. Raises CanonError."""
    path, new = home / SESSIONS / f"{kept.session}.json", home / NOTES / f"{kept.session}.new"
    try:
        for folder in (path.parent, new.parent):
            folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, kept.document())
            new.rename(path)
        except BaseException:
            os.close(descriptor)
            new.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CanonError(f"{path} cannot be written: {error.strerror or error}; is the disk full?") from None
    return SessionFile(path, descriptor)


def over_files(home: Path) -> Iterator[tuple[SessionFile, Kept]]:
    """Take the files of sessions that are over, one after the other; those of others are left alone.

    One that cannot be read is removed: it was not written by a session, or is damaged.
    """
    try:
        found = sorted(path for path in (home / SESSIONS).iterdir() if path.suffix == ".json")
    except OSError:
        return
    for path in found:
        try:
            file = _taken(path)
        except OSError:  # its lock is held, or another command has just settled it
            continue
        try:
            kept = load_kept(path.read_bytes(), path.stem)
        except (OSError, ValueError, RecursionError):
            file.remove()
            continue
        try:
            yield file, kept
        finally:
            file.release()


def _taken(path: Path) -> SessionFile:
    """Raises OSError where it is another's, or gone."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(descriptor)
        # Reading what is no file may have no end.
        same = found.st_ino == path.stat().st_ino and stat.S_ISREG(found.st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    if not same:
        os.close(descriptor)
        raise FileNotFoundError(path)
    return SessionFile(path, descriptor)
