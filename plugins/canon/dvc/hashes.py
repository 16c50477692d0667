"""DVC 3's md5 of files and folders (dvc_data/hashfile), without DVC."""

from __future__ import annotations

import hashlib
from pathlib import Path


def hash_file(path: Path) -> str:
    """md5, 32 hex digits, of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
