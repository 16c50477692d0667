"""Trees of files to be scanned for imports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from canon.checks.imports import ImportScanner, Scan


def scan_command(root: Path, cmd: str | tuple[str, ...], wdir: str = ".") -> Scan:
    return ImportScanner(root).scan(cmd, wdir)


def plant(root: Path, files: Mapping[str, str]) -> Path:
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root
