"""All files or none: what cannot be written, or is interrupted, leaves every file as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from canon.output.files import RenderedFile, changed_files, write_bytes, write_files


def write_all(root: Path, files: Sequence[RenderedFile]) -> tuple[str, ...]:
    """Write files in this order; return the paths of those that differed. Raises CanonError, and all is as it was then.

    Whoever kills the process in between finds the first of them written: `canon init` again writes the others.
    """
    changed = changed_files(root, files)
    before = {file.path: _content(root / file.path) for file in changed}
    try:
        return write_files(root, changed)
    except BaseException:
        for path, content in before.items():
            with contextlib.suppress(Exception):
                _restore(root / path, content)
        raise


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _restore(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    elif _content(path) != content:
        write_bytes(path, content)
