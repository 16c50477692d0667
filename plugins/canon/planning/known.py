"""Hashes of what stages read: of files in a checkout as they lie there, of what other stages make as their entries say, without the data."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

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
    """Hashes by path from the root. ``outs``: paths that stages make, which are never looked for in the checkout."""

    def __init__(self, root: Path, outs: Mapping[str, str], objects: Objects) -> None:
        self._root, self._outs, self._objects = root, outs, objects
        self._rules = IgnoreRules(root)
        self._made: dict[str, Hash] = {}
        self._here: dict[str, Hash] = {}
        self._lock = threading.Lock()

    def add(self, stage: Stage, entry: Mapping[str, object]) -> None:
        """Take what a stage made, by its entry."""
        self._made.update(hashes_of_entry(stage, entry))

    def hashes(self, stage: Stage) -> dict[str, Hash]:
        """The hashes of a stage's deps, whose makers are all added. Raises CanonError for a dep that is not there."""
        return {path: self._hash(path, stage) for path in stage.dep_paths}

    def _hash(self, path: str, stage: Stage) -> Hash:
        made = self._made.get(path)
        if made is not None:
            return made
        for folder in map(str, PurePosixPath(path).parents):
            if folder in self._made:
                return self._part(path, folder)
        inside = sorted(out for out in self._outs if out.startswith(f"{path}/"))
        if inside:
            return Hash(folder_md5([*self._files_beside(path), *self._members(path, inside)]))
        return self._of_checkout(path, stage)

    def _of_checkout(self, path: str, stage: Stage) -> Hash:
        found = self._here.get(path)
        if found is None:
            with self._lock:  # the rules of .dvcignore are read as they are needed
                try:
                    found = self._here[path] = hash_path(self._root, path, self._rules)
                except FileNotFoundError:
                    raise CanonError(
                        f"dep `{path}` of stage `{stage.name}` is neither in the repository nor made by a stage; commit it, or declare it under `data:`"
                    ) from None
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

    def _members(self, path: str, outs: list[str]) -> Iterator[tuple[str, str]]:
        """The files of a folder that stages made in it."""
        for out in outs:
            made, below = self._made[out], out[len(path) + 1 :]
            if not made.md5.endswith(".dir"):
                yield below, made.md5
                continue
            for member, md5 in folder_members(self._objects, made.md5, out):
                yield f"{below}/{member}", md5

    def _files_beside(self, path: str) -> Iterator[tuple[str, str]]:
        """The files of a folder in the checkout, without what stages make in it."""
        top = self._root / path
        if not top.is_dir():
            return
        with self._lock:
            for file in sorted(each for each in top.rglob("*") if each.is_file()):
                from_root = file.relative_to(self._root).as_posix()
                own = any(from_root == out or from_root.startswith(f"{out}/") for out in self._outs)
                if not own and not self._rules.is_ignored(from_root):
                    yield file.relative_to(top).as_posix(), hash_path(self._root, from_root, self._rules).md5
