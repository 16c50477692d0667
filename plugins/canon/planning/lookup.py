"""Entries of a remote's run-cache that may be believed: looked up by key, without the data."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

from canon.dvc.runcache import load_entry, run_cache_key, run_cache_path, run_cache_value, without_sizes
from canon.model.errors import CanonError
from canon.planning.known import folder_members
from canon.planning.listing import Data, Entries
from canon.remotes.objects import Objects, all_of

VALUE = re.compile(r"[0-9a-f]{64}")
MADE = "canon/made"
"""Folder of the remote in which pods write where an entry was made, by its value."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that was found. ``others``: the values beside it under its key, which do not stand."""

    key: str
    value: str
    entry: Mapping[str, Any]
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Belief:
    """Which entries are believed: ``any``, or those that were made in pods of one ``image``; with ``workflow`` only those that it made."""

    accept: Literal["pods", "any"] = "any"
    image: str = ""
    workflow: str = ""


class Lookup:
    """Finds entries in a remote. ``count``: how many stages will be looked for; of what is small beside that one list is asked for.

    ``hints``: entries that may be found, as a dvc.lock has them. One that has the key and the value that the remote lists is the entry, and
    is not read there: both are hashes of it. What the remote does not list is not believed, whatever a dvc.lock says.
    """

    def __init__(
        self, objects: Objects, belief: Belief, count: int = 1, hints: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        self._objects, self._belief = objects, belief
        with ThreadPoolExecutor(max_workers=2) as pool:
            entries, data = pool.submit(Entries, objects, count), pool.submit(Data, objects, count)
        self._entries, self._data = entries.result(), data.result()
        self._hints = {(run_cache_key(entry), run_cache_value(entry)): without_sizes(entry) for entry in hints}

    def find(self, key: str, without: Collection[str] = ()) -> Hit | None:
        """The oldest entry of a key that is believed, by time and then by name; None when there is none. Raises CanonError.

        ``without``: values that are passed over.
        """
        listed = sorted(self._entries.listed(key), key=lambda each: (each.modified, each.name))
        values = [each.name for each in listed if VALUE.fullmatch(each.name)]
        for value in values:
            if value not in without and self._is_believed(value):
                found = self.read(key, value)
                if found is not None:
                    return replace(found, others=tuple(each for each in values if each != value))
        return None

    def find_whole(self, key: str, without: Collection[str] = ()) -> Hit | None:
        """The entry that stands for a key: the oldest that is believed and has all its data. Raises CanonError."""
        passed = set(without)
        while (hit := self.find(key, passed)) is not None and not self.is_whole(hit):
            passed.add(hit.value)
        return hit

    def read(self, key: str, value: str) -> Hit | None:
        """An entry by key and value; None where it is not there, or not what it is called. Raises CanonError."""
        hint = self._hints.get((key, value))
        if hint is not None:
            return Hit(key, value, hint)
        content = self._objects.read(run_cache_path(key, value))
        try:
            entry = (
                load_entry(content.decode(), f"{self._objects.name}/{run_cache_path(key, value)}", key=key, value=value)
                if content
                else None
            )
        except UnicodeDecodeError:
            entry = None
        return Hit(key, value, entry) if entry is not None else None

    def is_whole(self, hit: Hit) -> bool:
        """Tell whether all data of an entry is in the remote, the files of folders too. Raises CanonError."""
        wanted: list[str] = []
        for out in hit.entry.get("outs") or ():
            md5 = str(out["md5"])
            if not md5.endswith(".dir"):
                wanted.append(md5)
                continue
            try:
                wanted += [found for _, found in folder_members(self._objects, md5, str(out["path"]))]
            except CanonError:
                return False
        return all(all_of(self._data.has, dict.fromkeys(wanted)))

    def made(self, value: str) -> Mapping[str, Any]:
        """Where an entry was made, as the pod says that made it; nothing where none has said it. Raises CanonError."""
        content = self._objects.read(f"{MADE}/{value}")
        try:
            made = json.loads(content) if content else {}
        except (ValueError, RecursionError):
            return {}
        return made if isinstance(made, dict) else {}

    def _is_believed(self, value: str) -> bool:
        belief = self._belief
        if belief.accept == "any" and not belief.workflow:
            return True
        made = self.made(value)
        if belief.workflow and made.get("workflow") != belief.workflow:
            return False
        return belief.accept == "any" or made.get("image") == belief.image
