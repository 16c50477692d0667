"""`.dvcignore`, as DVC reads it (dvc/ignore.py): gitignore patterns, by folder, the nearest file last."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from canon.output.files import load_text

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

FILE = ".dvcignore"
ALWAYS = (".hg/", ".git/", ".git", ".dvc/")


class IgnoreRules:
    """Which paths of a repository DVC leaves out. pathspec, which DVC matches with too, does the matching."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._specs: dict[str, GitIgnoreSpec | None] = {}

    def _spec(self, folder: str) -> GitIgnoreSpec | None:
        """The patterns that stand in one folder's own file, with DVC's built-in ones at the root."""
        if folder not in self._specs:
            from pathspec import GitIgnoreSpec

            text = load_text(self.root / folder / FILE) or ""
            lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
            if not folder:
                lines = [*ALWAYS, *lines]
            self._specs[folder] = GitIgnoreSpec.from_lines(lines) if lines else None
        return self._specs[folder]

    def is_ignored(self, path: str, *, is_folder: bool = False) -> bool:
        """Tell whether DVC leaves out a path (relative to the root, with ``/``), or a folder that it lies in."""
        parts = path.split("/")
        return any(
            self._matches("/".join(parts[:depth]), is_folder=is_folder or depth < len(parts))
            for depth in range(1, len(parts) + 1)
        )

    def _matches(self, path: str, *, is_folder: bool) -> bool:
        parts = path.split("/")
        for depth in range(len(parts) - 1, -1, -1):  # the nearest file has the last word
            spec = self._spec("/".join(parts[:depth]))
            if spec is not None:
                inside = "/".join(parts[depth:]) + ("/" if is_folder else "")
                decision = spec.check_file(inside).include
                if decision is not None:
                    return bool(decision)
        return False
