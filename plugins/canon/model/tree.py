"""The source tree: what a commit holds, without what Canon and DVC write."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

GENERATED_NAMES = ("dvc.lock", ".gitignore")
"""DVC writes a line to .gitignore for each out of a first run: with it, the first result of a clean clone would be dirty."""
GENERATED_FOLDER = "argo"


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file of a tree as ``git ls-tree -r`` lists it. ``oid``: 40 or 64 hex digits; ``mode``: octal text."""

    mode: str
    oid: str
    path: str


_Tree: TypeAlias = dict[str, "tuple[str, str] | _Tree"]


def is_source(path: str) -> bool:
    """Tell whether a path belongs to the source tree."""
    return path.split("/", 1)[0] != GENERATED_FOLDER and posixpath.basename(path) not in GENERATED_NAMES


def source_tree(entries: Iterable[TreeEntry]) -> str:
    """Git's own hash of the tree of those entries that are source (gitformat: tree objects); no object is written."""
    root: _Tree = {}
    length = 40
    for entry in entries:
        if not is_source(entry.path):
            continue
        *folders, name = entry.path.split("/")
        here = root
        for folder in folders:
            below = here.setdefault(folder, {})
            if not isinstance(below, dict):
                raise ValueError(f"{entry.path} lies in a file")  # noqa: TRY004  the listing is wrong, not a type
            here = below
        here[name] = (entry.mode, entry.oid)
        length = len(entry.oid)
    return _tree_oid(root, "sha1" if length == 40 else "sha256")  # noqa: PLR2004  hex digits of SHA-1


def _tree_oid(tree: _Tree, algorithm: str) -> str:
    lines: list[tuple[bytes, bytes]] = []
    for name, item in tree.items():
        encoded = name.encode("utf-8", "surrogateescape")
        if isinstance(item, dict):
            mode, oid, order = "40000", _tree_oid(item, algorithm), encoded + b"/"
        else:
            mode, oid, order = item[0], item[1], encoded
        lines.append((order, mode.lstrip("0").encode() + b" " + encoded + b"\0" + bytes.fromhex(oid)))
    body = b"".join(line for _, line in sorted(lines))
    digest = hashlib.new(algorithm, usedforsecurity=False)
    digest.update(b"tree %d\0" % len(body) + body)
    return digest.hexdigest()
