"""Where the files of an out lie on this machine: in DVC's cache, found by hash, or in the workspace."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from canon.dvc.hashes import hash_file, is_md5
from canon.dvc.repository import open_repository
from canon.model.errors import CanonError, DataMissingError


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of an out: its path below the out (``""`` for the out itself), its md5, and where its bytes are."""

    relpath: str
    md5: str
    path: Path


def cache_folder(root: Path) -> Path:
    """Folder of the objects of DVC's cache for the checkout at ``root``, by DVC's own settings. Raises CanonError."""
    return cache_root(root) / "files" / "md5"


def cache_root(root: Path) -> Path:
    """What DVC's setting `cache.dir` means for the checkout at ``root``: objects lie in it, and the run-cache. Raises CanonError."""
    try:
        with open_repository(root) as repo:
            return Path(repo.cache.local_cache_dir)
    except (sqlite3.Error, OSError) as error:
        raise CanonError(
            f"DVC cannot open its own state for {root} ({error}); is the disk full, or read-only?"
        ) from None


def known_cache_folder(root: Path) -> Path:
    """As `cache_folder`, without loading DVC, which takes half a second, where no settings speak of a cache. Broken ones are not noticed."""
    from dvc.dirs import global_config_dir, system_config_dir

    own = root / ".dvc"
    others = (own / "config.local", Path(global_config_dir()) / "config", Path(system_config_dir()) / "config")
    try:
        plain = (own / "config").is_file() and not any(
            b"cache" in file.read_bytes() for file in (own / "config", *others) if file.exists()
        )
    except OSError:
        plain = False
    return own / "cache" / "files" / "md5" if plain else cache_folder(root)


def object_path(cache: Path, md5: str) -> Path:
    """Path of an object in DVC's cache (``files/md5`` is the layout of DVC 3)."""
    return cache / md5[:2] / md5[2:]


def stored_files(out: Mapping[str, Any], cache: Path, workspace: Path | None) -> Iterator[StoredFile]:
    """Yield every file of an out of a lock entry; ``workspace`` is where the out lies in the checkout, if it is to be used.

    Raises CanonError for an out without an md5, DataMissingError for a file that is neither in the cache nor, unchanged, in the
    workspace.
    """
    md5 = _md5_of(out, str(out["path"]))
    if not md5.endswith(".dir"):
        yield StoredFile("", md5, _locate(str(out["path"]), md5, cache, workspace))
        return
    listing = _locate(f"{out['path']} (its list of files)", md5, cache, None)
    try:
        members = json.loads(listing.read_bytes())
        pairs = [(str(member["relpath"]), _md5_of(member, str(member["relpath"]))) for member in members]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CanonError(
            f"{listing} is no list of files in DVC's format ({error}); remove it and run `dvc fetch`"
        ) from None
    for relpath, member in pairs:
        pure = PurePosixPath(relpath)
        if pure.is_absolute() or ".." in pure.parts:
            raise CanonError(
                f"{listing} names a file outside of its folder: {relpath!r}; whoever wrote that object is not to be trusted"
            )
        yield StoredFile(
            relpath,
            member,
            _locate(f"{out['path']}/{relpath}", member, cache, workspace / relpath if workspace else None),
        )


def files_below(files: Iterable[StoredFile], inside: str) -> Iterator[StoredFile]:
    """Yield those files of an out that lie at or below a path within it (``""``: all), with paths relative to that."""
    for file in files:
        if not inside:
            yield file
        elif file.relpath == inside:
            yield StoredFile("", file.md5, file.path)
        elif file.relpath.startswith(f"{inside}/"):
            yield StoredFile(file.relpath[len(inside) + 1 :], file.md5, file.path)


def _md5_of(item: Mapping[str, Any], name: str) -> str:
    md5 = item.get("md5")
    if not is_md5(md5):
        raise CanonError(f"{name} has no md5 in DVC's format ({md5!r}); run `dvc repro`, which records it anew")
    return str(md5)


def _locate(name: str, md5: str, cache: Path, workspace: Path | None) -> Path:
    path = object_path(cache, md5)
    if path.is_file():
        return path
    if workspace is not None and workspace.is_file() and hash_file(workspace) == md5:
        return workspace
    raise DataMissingError(f"{name} (md5 {md5[:12]}) is not in DVC's cache at {cache}; run `dvc fetch`, or `dvc repro`")
