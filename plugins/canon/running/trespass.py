"""Stages that write what is another's, or read what is being written and say so nowhere.

What is known without tracing every call: outs of stages that are final and are other files afterwards, by their stat; and on Linux the files that
the processes of running stages hold open, looked at now and then. So a write is found when a stage ends, a read only where it takes its time.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from canon.dvc.reproduction.planning import DeclaredPaths
from canon.running.open_files import OpenFile, open_files

MOST_ENTRIES = 1000
"""Entries of a folder up to which each is looked at; of one with more the folder alone."""
_SHARE = 20
"""A look at all outs is waited for this many times as long as the last one took."""
Stamp = tuple[tuple[int, ...], ...]
Say = Callable[[str], None]


class Guard:
    """Looks at what stages do to one another's files, and says it. ``spoiled``: running stages whose outs another one has open for writing, and why."""

    def __init__(self, paths: Mapping[str, DeclaredPaths], say: Say) -> None:
        self._paths, self._say = paths, say
        self._stamps: dict[str, Stamp] = {}
        self._since: dict[str, set[str]] = {}
        self._told: set[tuple[str, str]] = set()
        self._next = 0.0
        self.spoiled: dict[str, str] = {}
        self.found: list[str] = []
        """All that was said."""

    def settle(self, name: str, running: Iterable[str]) -> None:
        """Take the outs of a stage that is final as they are now, while ``running`` run."""
        self._stamps[name] = stamp(self._paths[name].outs)
        self._since[name] = set(running)

    def started(self, name: str) -> None:
        """A stage runs: what changes from now on may be its doing. What an earlier run of it left is forgotten."""
        for others in self._since.values():
            others.add(name)
        self.spoiled.pop(name, None)

    def look(self, running: Iterable[str], *, last: bool = False) -> None:
        """Say which final stages have other outs than when they became final. Seldom, where that takes long, and ``last`` in any case."""
        began = time.monotonic()
        if began < self._next and not last:
            return
        left = set(running)
        for name, before in self._stamps.items():
            now = stamp(self._paths[name].outs)
            suspects = sorted(self._since[name] - {name})
            if now != before:
                self._stamps[name] = now
                by = " or ".join(f"`{each}`" for each in suspects) or "something else"
                self._tell(
                    f"an out of `{name}` ({', '.join(self._paths[name].outs)}) was changed after that stage, by {by}; "
                    "let one stage write a file, the others read it as a dep"
                )
            self._since[name] = set(left)
        took = time.monotonic() - began
        self._next = began + took * (1 + _SHARE)

    def look_open(self, sessions: Mapping[str, int]) -> None:
        """Say which running stage has a file of another running stage open, and does not declare it; of one that writes, both are spoiled."""
        names = {session: name for name, session in sessions.items()}
        owners = {out: name for name in sessions for out in self._paths[name].outs}
        for file in open_files(names) if len(names) > 1 else ():
            name = names[file.session]
            owner = next((owners[each] for each in _and_above(file.path) if each in owners), name)
            declared = any(each in self._paths[name].deps for each in _and_above(file.path))
            if owner != name and not declared and (name, owner) not in self._told:
                self._told.add((name, owner))
                self._open(name, owner, file)

    def _open(self, name: str, owner: str, file: OpenFile) -> None:
        if file.writes:
            why = f"`{name}` has {file.path} open for writing, an out of `{owner}`, which runs beside it"
            self.spoiled[name] = self.spoiled[owner] = f"{why}; let one stage write a file"
            self._tell(why)
        else:
            self._tell(
                f"`{name}` reads {file.path}, which `{owner}` is writing, and does not declare it: what it makes of it is chance; add it to its deps"
            )

    def _tell(self, text: str) -> None:
        self.found.append(text)
        self._say(f"canon: {text}")


def stamp(paths: Iterable[str]) -> Stamp:
    """What tells that outs are others than before."""
    found: list[tuple[int, ...]] = []
    for path in paths:
        below = list(islice(_below(path), MOST_ENTRIES + 1))
        for each in sorted(below) if len(below) <= MOST_ENTRIES else [path]:
            try:
                seen = os.stat(each, follow_symlinks=False)  # noqa: PTH116  many at a time
            except OSError:
                found.append(())
            else:
                found.append((stat.S_IFMT(seen.st_mode), seen.st_ino, seen.st_size, seen.st_mtime_ns))
    return tuple(found)


def _below(path: str) -> Iterator[str]:
    yield path
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path)
            else:
                yield entry.path


def _and_above(path: str) -> Iterator[str]:
    yield path
    while (folder := os.path.dirname(path)) != path:  # noqa: PTH120
        yield folder
        path = folder
