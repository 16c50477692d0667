"""Local sources for tests, and what a transfer tells."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from canon.data.progress import Silent


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def tree(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder: bytes of a file, target of a link, None for a folder."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        found[name] = str(path.readlink()) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
    return found


class Acting(Silent):
    """Does something once, while a source is being read."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act: Callable[[], object] | None = act

    def advance(self, count: int) -> None:
        del count
        if self.act is not None:
            act, self.act = self.act, None
            act()


class Counting(Silent):
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.files: int | None = None
        self.read = 0
        self.ended = 0

    def start(self, total: int | None, files: int | None) -> None:
        self.total, self.files = total, files

    def advance(self, count: int) -> None:
        self.read += count

    def done(self) -> None:
        self.ended += 1


def write(path: Path, content: bytes = b"one\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_folder(folder: Path, count: int = 300) -> dict[str, bytes]:
    files = {f"part-{number % 7}/{number:03}.csv": f"{number}\n".encode() * (number % 5) for number in range(count)}
    for name, content in files.items():
        write(folder / name, content)
    return files
