"""Hashes of what stages read: of files in a checkout as they lie there, of what other stages make as their entries say, without the data."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from canon.dvc.entries import hashes_of_entry
from canon.dvc.hashes import Hash, hash_path, is_md5
from canon.dvc.ignore import IgnoreRules
from canon.dvc.objects import object_path
from canon.model.errors import CanonError
from canon.model.pins import folder_md5
from canon.model.stage import Stage
from canon.remotes.objects import Objects

OBJECTS = "files/md5"
"""Folder of a remote's objects (the layout of DVC 3)."""


def remote_path(md5: str) -> str:
    """Path of an object below the remote's URL."""
    return object_path(Path(OBJECTS), md5).as_posix()


def folder_members(objects: Objects, md5: str, name: str) -> tuple[tuple[str, str], ...]:
    """The files of a folder whose list is in the remote: path in it, md5. Raises CanonError where it is missing, damaged or hostile."""
    content = objects.read(remote_path(md5))
    if content is None:
        raise CanonError(
            f"the list of the files of {name} ({md5[:12]}….dir) is not in the remote {objects.name}; run `dvc push`"
        )
    try:
        members = tuple((str(each["relpath"]), str(each["md5"])) for each in json.loads(content))
    except (ValueError, KeyError, TypeError, RecursionError):
        members = (("", ""),)
    if folder_md5(members) != md5 or not all(is_md5(found) and _is_inside(path) for path, found in members):
        raise CanonError(
            f"{remote_path(md5)} in the remote {objects.name} is not the list of files that it is called; remove it, run `dvc push`"
        )
    return members


def _is_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(path) and not pure.is_absolute() and ".." not in pure.parts


class Known:
    """Hashes by path from the root. ``outs``: paths that stages make, which are never looked for in the checkout.

    Without a checkout (``root`` None) it knows what is given, and what is added.
    """

    def __init__(
        self, root: Path | None, outs: Collection[str], objects: Objects, found: Mapping[str, Any] | None = None
    ) -> None:
        self._root, self._outs, self._objects = root, outs, objects
        self._rules = IgnoreRules(root) if root is not None else None
        given = found or {}
        self._made = {path: Hash(**each) for path, each in given.get("made", {}).items()}
        self._here = {path: Hash(**each) for path, each in given.get("here", {}).items()}
        self._beside: dict[str, list[tuple[str, str]]] = {
            path: [(name, md5) for name, md5 in each] for path, each in given.get("beside", {}).items()
        }
        self._lock = threading.Lock()

    def document(self) -> dict[str, Any]:
        """All that is known, as JSON has it: what to give to a later one."""
        return {
            "made": {path: asdict(each) for path, each in self._made.items()},
            "here": {path: asdict(each) for path, each in self._here.items()},
            "beside": self._beside,
        }

    def add(self, stage: Stage, entry: Mapping[str, object]) -> None:
        """Take what a stage made, by its entry."""
        self._made.update(hashes_of_entry(stage, entry))

    def look(self, stage: Stage) -> None:
        """Find out now what of a stage's deps lies in the checkout; what stages make need not be known yet. Raises CanonError."""
        for path in stage.dep_paths:
            if self._is_around(path):
                self.files_beside(path)
            elif not self.is_made(path):
                self._of_checkout(path, stage)

    def hashes(self, stage: Stage) -> dict[str, Hash]:
        """The hashes of a stage's deps, whose makers are all added. Raises CanonError for a dep that is not there."""
        return {path: self._hash(path, stage) for path in stage.dep_paths}

    def placements(self, stage: Stage) -> list[tuple[str, Hash]]:
        """Path and hash of what other stages made of a stage's deps: what has to be brought for it. Raises CanonError."""
        found: dict[str, Hash] = {}
        for path in stage.dep_paths:
            folder = next((str(each) for each in PurePosixPath(path).parents if str(each) in self._made), None)
            if path in self._made:
                found[path] = self._made[path]
            elif folder is not None:
                for member, md5 in folder_members(self._objects, self._made[folder].md5, folder):
                    place = f"{folder}/{member}"
                    if place == path or place.startswith(f"{path}/"):
                        found[place] = Hash(md5)
            else:
                found |= {out: self._made[out] for out in self._outs if out.startswith(f"{path}/")}
        return sorted(found.items(), key=lambda placed: placed[0])

    def files_beside(self, path: str) -> list[tuple[str, str]]:
        """The files of a folder in the checkout, by path in it and md5, without what stages make in it."""
        known = self._beside.get(path)
        if known is not None or self._root is None or self._rules is None:
            return known or []
        found: list[tuple[str, str]] = []
        top = self._root / path
        with self._lock:
            for file in sorted(each for each in top.rglob("*") if each.is_file()) if top.is_dir() else ():
                from_root = file.relative_to(self._root).as_posix()
                if not self.is_made(from_root) and not self._rules.is_ignored(from_root):
                    found.append((file.relative_to(top).as_posix(), hash_path(self._root, from_root, self._rules).md5))
            self._beside[path] = found
        return found

    def is_made(self, path: str) -> bool:
        """Tell whether a stage makes a path, or what it lies in."""
        return any(str(each) in self._outs for each in (path, *PurePosixPath(path).parents))

    def _is_around(self, path: str) -> bool:
        return any(out.startswith(f"{path}/") for out in self._outs)

    def _hash(self, path: str, stage: Stage) -> Hash:
        made = self._made.get(path)
        if made is not None:
            return made
        if self.is_made(path):
            for folder in map(str, PurePosixPath(path).parents):
                if folder in self._made:
                    return self._part(path, folder)
        if self._is_around(path):
            return Hash(folder_md5([*self.files_beside(path), *self._members(path)]))
        return self._of_checkout(path, stage)

    def _of_checkout(self, path: str, stage: Stage) -> Hash:
        found = self._here.get(path)
        if found is None:
            missing = CanonError(
                f"dep `{path}` of stage `{stage.name}` is neither in the repository nor made by a stage; commit it, or declare it under `data:`"
            )
            if self._root is None:
                raise missing
            with self._lock:  # the rules of .dvcignore are read as they are needed
                try:
                    found = self._here[path] = hash_path(self._root, path, self._rules)
                except FileNotFoundError:
                    raise missing from None
        return found

    def _part(self, path: str, folder: str) -> Hash:
        """What lies in a folder that a stage made."""
        below = path[len(folder) + 1 :]
        members = folder_members(self._objects, self._made[folder].md5, folder)
        for member, md5 in members:
            if member == below:
                return Hash(md5)
        inside = [(member[len(below) + 1 :], md5) for member, md5 in members if member.startswith(f"{below}/")]
        if not inside:
            raise CanonError(f"{folder} has no {below}; its stage made other files")
        return Hash(folder_md5(inside), nfiles=len(inside))

    def _members(self, path: str) -> Iterator[tuple[str, str]]:
        """The files of a folder that stages made in it."""
        for out in sorted(out for out in self._outs if out.startswith(f"{path}/")):
            made, below = self._made[out], out[len(path) + 1 :]
            if not made.md5.endswith(".dir"):
                yield below, made.md5
                continue
            for member, md5 in folder_members(self._objects, made.md5, out):
                yield f"{below}/{member}", md5
