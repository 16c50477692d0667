"""DVC 3's md5 of files and folders (dvc_data/hashfile), without DVC."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from canon.dvc.ignore import IgnoreRules
from canon.model.pins import folder_md5


@dataclass(frozen=True, slots=True)
class Hash:
    """What a lock entry says of a file or folder: md5 (``….dir`` for a folder), size in bytes, number of files of a folder."""

    md5: str
    size: int
    nfiles: int | None = None


def hash_file(path: Path) -> str:
    """md5, 32 hex digits, of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def hash_path(root: Path, path: str, rules: IgnoreRules | None = None) -> Hash:
    """Return the hash of a file or folder of a repository, ignored files left out. Raises FileNotFoundError."""
    full = root / path
    if not full.is_dir():
        return Hash(hash_file(full), full.stat().st_size)
    rules = rules or IgnoreRules(root)
    members: list[tuple[str, str]] = []
    size = 0
    for folder, names, files in os.walk(full, followlinks=True):
        inside = Path(folder).relative_to(root).as_posix()
        names[:] = [name for name in names if not rules.is_ignored(f"{inside}/{name}", is_folder=True)]
        for name in files:
            if not rules.is_ignored(f"{inside}/{name}"):
                member = Path(folder) / name
                members.append((member.relative_to(full).as_posix(), hash_file(member)))
                size += member.stat().st_size
    return Hash(folder_md5(members), size, len(members))
