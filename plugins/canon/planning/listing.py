"""What a remote holds: asked for one by one, or by one list where that takes fewer requests. A list is as old as the lookup that asked for it."""

from __future__ import annotations

from collections.abc import Mapping

from canon.dvc.runcache import run_cache_path
from canon.planning.known import OBJECTS, remote_path
from canon.remotes.objects import Listed, Objects

PAGE = 1000
"""Objects in one answer of S3."""
FEW = 4
"""Stages from which on a list may take fewer requests."""
PARTS = 256
"""Folders that objects lie in, by the first two digits of their md5, which are random: one tells how many objects there are."""


class Entries:
    """The run-cache's entries, by key."""

    def __init__(self, objects: Objects, count: int) -> None:
        self._objects = objects
        self._known = _entries_in(objects, PAGE * (count // 4)) if count >= FEW else None

    def listed(self, key: str) -> tuple[Listed, ...]:
        """The entries of a key, by their values. Raises CanonError."""
        return self._objects.listed(run_cache_path(key)) if self._known is None else tuple(self._known.get(key, ()))


def _entries_in(objects: Objects, most: int) -> Mapping[str, list[Listed]] | None:
    found = objects.below("runs", most)
    if found is None:
        return None
    entries: dict[str, list[Listed]] = {}
    for each in found:
        folder, _, rest = each.name.partition("/")
        key, _, value = rest.partition("/")
        if key.startswith(folder) and value:
            entries.setdefault(key, []).append(Listed(value, each.modified, each.size))
    return entries


class Data:
    """The objects, by md5."""

    def __init__(self, objects: Objects, count: int) -> None:
        self._objects = objects
        self._known = _objects_in(objects, PAGE * count // 8) if count >= FEW else None

    def has(self, md5: str) -> bool:
        """Tell whether an object is there. Raises CanonError."""
        return self._objects.size(remote_path(md5)) is not None if self._known is None else md5 in self._known


def _objects_in(objects: Objects, most: int) -> frozenset[str] | None:
    part = objects.below(f"{OBJECTS}/00", PAGE)
    if part is None or len(part) * PARTS > most:
        return None
    found = objects.below(OBJECTS, max(PAGE, 2 * most))
    return None if found is None else frozenset(each.name.replace("/", "", 1) for each in found)
