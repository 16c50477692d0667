"""dvc.lock as DVC writes it, stage by stage, without reading and writing all of it for each: that is where DVC's own time goes.

DVC reads the file, puts one entry in and writes it, keeping comments (dvc/dvcfile.py, ``dump_stages``). Its writer gives the same text for an
entry whatever stands around it, so an entry is dumped once, and the file is joined of such texts. Where that does not hold (anchors, a mapping
in braces), the file is kept as DVC's reader gives it and dumped as a whole.

One thing is not copied: of a number like 2.550690257394217e+18, with 16 digits and an exponent, DVC changes the last digits each time that it writes
another stage's entry (ruamel.yaml's ScalarFloat), and takes the stage for changed then. An entry that is dumped once keeps its value.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterable, Mapping
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from canon.model.errors import CanonError

_ANCHOR = re.compile(r"[:\-] &[^\s&]")
_BREAK = re.compile("[\r\x85\u2028\u2029]")
"""What ends a line for libyaml and not for us."""
_HEAD = "schema: '2.0'\nstages:\n"


class _Joined:
    """A text in three parts: what stands before the entries, the entries' texts, what stands after them."""

    def __init__(self, head: str, entries: dict[str, str], tail: str) -> None:
        self.head, self.entries, self.tail = head, entries, tail

    def names(self) -> Iterable[str]:
        return self.entries

    def put(self, name: str, entry: Mapping[str, Any]) -> None:
        self.entries[name] = _dumped(name, entry)

    def text(self) -> str:
        return self.head + "".join(self.entries.values()) + self.tail


class _Whole:
    """A file as DVC's reader gives it."""

    def __init__(self, data: Any) -> None:  # noqa: ANN401  ruamel.yaml's own type
        self.data = data

    def names(self) -> Iterable[str]:
        return tuple(self.data.get("stages") or ())

    def put(self, name: str, entry: Mapping[str, Any]) -> None:
        if not self.data:
            self.data.update({"schema": "2.0"})
        self.data["stages"] = self.data.get("stages", {})
        self.data["stages"].update({name: entry})

    def text(self) -> str:
        from dvc.utils.serialize._yaml import dumps_yaml

        return str(dumps_yaml(self.data))


class LockFile:
    """One dvc.lock. What is put into it is written by `flush`: an entry of a name that is there in its place, a new one in the order of the plan.

    Another process may have written the file since: then it is read again. DVC's repository lock has to be held. `flush` raises CanonError
    where the file is no lock file.
    """

    def __init__(self, path: Path, order: Iterable[str], scratch: Path) -> None:
        self.path, self._scratch = path, scratch
        self._order = tuple(order)
        self._waiting: dict[str, Mapping[str, Any]] = {}
        self._document: _Joined | _Whole | None = None
        self._stamp: tuple[int, ...] | None = None

    def put(self, name: str, entry: Mapping[str, Any]) -> None:
        """Take a stage's entry, as DVC's ``to_lockfile`` gives it."""
        self._waiting[name] = entry

    @property
    def waits(self) -> bool:
        """Whether something that was put is not written yet."""
        return bool(self._waiting)

    def flush(self, is_final: Callable[[str], bool]) -> tuple[str, ...]:
        """Write what may be written; return the names. A new entry waits until all new stages before it are final: so the order is DVC's."""
        if not self._waiting:
            return ()
        document = self._current()
        there = set(document.names())
        ready = [name for name in self._waiting if name in there]
        for name in self._order:
            if name in there:
                continue
            if name in self._waiting:
                ready.append(name)
            elif not is_final(name):
                break
        if not ready:
            return ()
        for name in ready:
            document.put(name, self._waiting[name])
        self._replace(document.text())
        for name in ready:
            del self._waiting[name]
        return tuple(ready)

    def _current(self) -> _Joined | _Whole:
        """The file, read again where somebody else wrote it."""
        stamp = _stamp(self.path)
        if self._document is None or stamp != self._stamp:
            self._document, self._stamp = _load(self.path), stamp
        return self._document

    def _replace(self, text: str) -> None:
        """Let the file be the old one or the new one at any moment; a link is written through, as DVC does."""
        place = self.path.resolve()
        self._scratch.mkdir(parents=True, exist_ok=True)
        new = self._scratch / "dvc.lock.new"
        try:
            new.write_bytes(text.encode())
            with contextlib.suppress(FileNotFoundError):
                new.chmod(place.stat().st_mode & 0o777)
            try:
                new.replace(place)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                from canon.output.files import write_bytes

                write_bytes(place, text.encode())
        except BaseException:
            self._document = None  # it is not what the file says
            raise
        finally:
            new.unlink(missing_ok=True)
        self._stamp = _stamp(self.path)


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  Path.stat is slower, and this is called for each stage
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _dumped(name: str, entry: Mapping[str, Any]) -> str:
    from dvc.utils.serialize._yaml import dumps_yaml

    text: str = dumps_yaml({"stages": {name: entry}})
    return text.partition("\n")[2]


def _load(path: Path) -> _Joined | _Whole:
    from dvc.utils.serialize import YAMLFileCorruptedError
    from dvc.utils.serialize._yaml import dumps_yaml, parse_yaml_for_update

    try:
        data = parse_yaml_for_update(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        return _Joined(_HEAD, {}, "")
    except (YAMLFileCorruptedError, UnicodeDecodeError):
        data = None
    if not isinstance(data, Mapping) or not isinstance(data.get("stages") or {}, Mapping):
        raise CanonError(
            f"{path} is no lock file any more: a stage, or somebody else, has written into it; put it right "
            f"(`git restore {path.name}`, or remove it), and run again: what has finished is kept"
        )
    text: str = dumps_yaml(data) if data else ""
    return _split(text) or _Whole(data)


def _split(text: str) -> _Joined | None:
    """Cut a text where libyaml finds its entries; None where they do not stand for themselves."""
    from yaml import CSafeLoader, MappingNode, YAMLError, compose

    if _ANCHOR.search(text) or _BREAK.search(text):
        return None
    try:
        document = compose(text, Loader=CSafeLoader)
    except (YAMLError, RecursionError):
        return None
    blocks = document.value if isinstance(document, MappingNode) else []
    place = next((index for index, (key, _) in enumerate(blocks) if key.value == "stages"), None)
    if place is None or not isinstance(blocks[place][1], MappingNode) or not blocks[place][1].value:
        return None
    (key, stages), lines = blocks[place], StringIO(text).readlines()
    end = blocks[place + 1][0].start_mark.line if place + 1 < len(blocks) else len(lines)
    starts = {each.value: each.start_mark.line for each, _ in stages.value}
    places = [*starts.values(), end]
    in_lines = len({*places}) == len(stages.value) + 1 and places[0] == key.start_mark.line + 1
    if not in_lines or any(lines[each][:2] != "  " for each in places[:-1]):
        return None
    parts = ["".join(lines[begin:stop]) for begin, stop in pairwise(places)]
    return _Joined("".join(lines[: places[0]]), dict(zip(starts, parts, strict=True)), "".join(lines[end:]))
