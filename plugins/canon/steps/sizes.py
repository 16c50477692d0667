"""Sizes of what stages read and made, as dvc.lock has them and the run-cache has not: asked of the remote, without moving data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from canon.dvc.entries import hashes_of_entry
from canon.dvc.hashes import Hash
from canon.model.errors import CanonError
from canon.model.stage import Stage
from canon.planning.known import Known, folder_members, remote_path
from canon.remotes.objects import Objects, all_of


class Sizes:
    """Fills in sizes (bytes) and numbers of files. ``root``: the checkout that ``known`` is of."""

    def __init__(self, root: Path, objects: Objects, known: Known) -> None:
        self._root, self._objects, self._known = root, objects, known
        self._sizes: dict[str, int] = {}
        self._lists: dict[str, tuple[tuple[str, str], ...]] = {}

    def look(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Ask for all that entries say was made, at once. Raises CanonError for data that is not in the remote."""
        made = {str(out["md5"]): str(out["path"]) for entry in entries for out in entry.get("outs") or ()}
        folders = {md5: path for md5, path in made.items() if md5.endswith(".dir")}
        self._lists.update(zip(folders, all_of(lambda md5: self._listed(md5, folders[md5]), folders), strict=True))
        self._ask(self._files((path, md5) for md5, path in made.items()))

    def outs(self, stage: Stage, entry: Mapping[str, Any]) -> dict[str, Hash]:
        """What a stage made, by path from the root. Raises CanonError for data that is not in the remote."""
        made = hashes_of_entry(stage, entry)
        return {path: self._sized(found, [(path, found.md5)]) for path, found in made.items()}

    def deps(self, stage: Stage) -> dict[str, Hash]:
        """What a stage read, by path from the root. Raises CanonError as `Known.hashes` does, and for data that is not in the remote."""
        found = self._known.hashes(stage)
        if all(each.size is not None for each in found.values()):
            return found
        placements = self._known.placements(stage)
        sized: dict[str, Hash] = {}
        for path, each in found.items():
            inside = [(place, one.md5) for place, one in placements if place == path or place.startswith(f"{path}/")]
            sized[path] = each if each.size is not None else self._sized(each, inside, path)
        return sized

    def _sized(self, found: Hash, made: Iterable[tuple[str, str]], around: str = "") -> Hash:
        """A hash with the size of what stages made of it (place, md5), and of the files beside that in a folder ``around``."""
        files = self._files(made)
        self._ask(files)
        beside = self._known.files_beside(around) if around else []
        size = sum(self._sizes[md5] for _, md5 in files)
        size += sum((self._root / around / name).stat().st_size for name, _ in beside)
        return replace(found, size=size, nfiles=len(files) + len(beside) if found.md5.endswith(".dir") else None)

    def _files(self, made: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Name and md5 of every file of what was made."""
        files: list[tuple[str, str]] = []
        for place, md5 in made:
            files += self._listed(md5, place) if md5.endswith(".dir") else [(place, md5)]
        return files

    def _listed(self, md5: str, name: str) -> tuple[tuple[str, str], ...]:
        if md5 not in self._lists:
            members = folder_members(self._objects, md5, name)
            self._lists[md5] = tuple((f"{name}/{path}", member) for path, member in members)
        return self._lists[md5]

    def _ask(self, files: Iterable[tuple[str, str]]) -> None:
        wanted = {md5: name for name, md5 in files if md5 not in self._sizes}
        answers = all_of(lambda md5: self._objects.size(remote_path(md5)), wanted)
        for (md5, name), size in zip(wanted.items(), answers, strict=True):
            if size is None:
                raise CanonError(
                    f"the remote {self._objects.name} has no data of {name} (md5 {md5[:12]}): somebody removed it; run the workflow anew"
                )
            self._sizes[md5] = size
