"""DVC 3's md5 of files and folders (dvc_data/hashfile), without DVC."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from canon.dvc.ignore import FILE, IgnoreRules
from canon.model.errors import CanonError
from canon.model.paths import leaves_repository
from canon.model.pins import folder_md5

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


def is_md5(value: object) -> bool:
    """Tell whether a value is an md5 as DVC writes it, of a file or (``….dir``) of a folder; a path is made of it."""
    return isinstance(value, str) and _MD5.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Hash:
    """What a lock entry says of a file or folder.

    ``md5`` is 32 hex digits, with ``.dir`` behind them for a folder; ``size`` is in bytes; ``nfiles`` is the number of files
    of a folder; ``isexec`` tells of a file whether anybody may execute it. None: not known.
    """

    md5: str
    size: int | None = None
    nfiles: int | None = None
    isexec: bool = False


def hash_file(path: Path) -> str:
    """md5, 32 hex digits, of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def hash_path(root: Path, path: str, rules: IgnoreRules | None = None) -> Hash:
    """Return the hash of a file or folder of a repository, ignored files of a folder left out.

    ``path`` is relative to the root. As DVC does, links to files are read, links to folders inside of a folder are not.
    Raises FileNotFoundError, for a broken link in a folder too, and CanonError for what DVC refuses.
    """
    full = root / path
    if not full.is_dir():
        status = _regular(full)
        return Hash(hash_file(full), status.st_size, isexec=bool(status.st_mode & 0o111))
    rules = rules or IgnoreRules(root)
    top = os.path.normpath(path)
    outside = leaves_repository(top)  # DVC's rules end at the root
    members: list[tuple[str, str]] = []
    size = 0
    for folder, names, files in os.walk(full):
        inside = Path(folder).relative_to(full)
        if not outside:
            from_root = (Path(top) / inside).as_posix()
            names[:], files = rules.kept("" if from_root == "." else from_root, names, files)  # noqa: PLW2901
        if FILE in files:
            raise CanonError(
                f"{Path(folder) / FILE} lies in a folder that DVC hashes, which DVC refuses; move its patterns to the root's {FILE}"
            )
        for name in files:
            member = Path(folder) / name
            size += _regular(member).st_size
            members.append(((inside / name).as_posix(), hash_file(member)))
    return Hash(folder_md5(members), size, len(members))


def _regular(path: Path) -> os.stat_result:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise CanonError(f"{path} is neither a file nor a folder; remove it: DVC cannot hash it")
    return status
