"""Paths as a declaration may name them, judged by their text alone: links are not looked at."""

from __future__ import annotations

import posixpath
import re
from typing import TypeAlias

Finding: TypeAlias = tuple[str, str]
"""What is wrong with a path, and how to mend it."""
MAX_COMPONENT = 255
"""Bytes of a file's name that common file systems take."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DVC_FILES = ("dvc.yaml", "dvc.lock", ".dvcignore", ".gitignore")


def is_url(path: str) -> bool:
    """Tell whether ``path`` names something outside the file system, or a DVC remote or dataset."""
    return "://" in path


def leaves_repository(path: str) -> bool:
    """Tell whether a path relative to the root is absolute, or goes above it by ``..`` (links are not looked at)."""
    normal = posixpath.normpath(path)
    return path.startswith("/") or normal == ".." or normal.startswith("../")


def path_finding(path: str, *, outside: bool = False) -> Finding | None:
    """What is wrong with a path, relative to the root, that something is read from or written to; ``outside``: it may lie outside."""
    if _CONTROL.search(path):
        return f"{path!r} holds a control character", "rename the file"
    if any(len(part.encode("utf-8", "surrogatepass")) > MAX_COMPONENT for part in path.split("/")):
        return f"`{path[:40]}…` has a name of more than {MAX_COMPONENT} bytes", "give it a shorter name"
    if not outside and leaves_repository(path):
        return (
            f"`{path}` leaves the repository",
            "use a path below the repository's root; declare data from elsewhere under `data:`",
        )
    return None


def out_finding(path: str, dvc_files: tuple[str, ...] = (), *, outside: bool = False) -> Finding | None:
    """What is wrong with a path, relative to the root, as an out; ``dvc_files``: where dvc.yaml files lie.

    ``outside``: it may lie outside of the repository, as DVC allows.
    """
    found = path_finding(path, outside=outside)
    if found or leaves_repository(path):
        return found
    normal = posixpath.normpath(path)
    remedy = "write to a file or folder that holds nothing else"
    parts = normal.split("/")
    if {".git", ".dvc", ".hg"} & set(parts) or parts[-1] in _DVC_FILES or normal.endswith(".dvc"):
        return f"`{path}` belongs to Git or DVC and cannot be an out", remedy
    if normal == "." or any(file.startswith(f"{normal}/") for file in dvc_files):
        return f"`{path}` is a folder that holds a dvc.yaml and cannot be an out", remedy
    return None
