"""All files or none: what cannot be written, is interrupted, or was edited since it was read leaves every file as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from canon.model.errors import CanonError
from canon.output.files import RenderedFile, changed_files, write_bytes


@dataclass(frozen=True, slots=True)
class Edit(RenderedFile):
    """A file with the text that it is to have. ``was``: the one that this was made from; None: there was no such file."""

    was: str | None


def write_all(root: Path, files: Sequence[RenderedFile]) -> tuple[str, ...]:
    """Write files in this order; return the paths of those that differed. Raises CanonError, and all is as it was then.

    A file is looked at once more just before the new one takes its place: what somebody saves between these two calls of the
    system is lost, since there is no call that does both. Whoever kills the process in between finds the
    first of them written: `canon init` again writes the others.
    """
    changed = changed_files(root, files)
    before = {file.path: _content(root / file.path) for file in changed}
    try:
        for file in changed:
            was = before[file.path]
            if isinstance(file, Edit):
                was = None if file.was is None else file.was.encode()
            write_bytes(root / file.path, file.text.encode(), check=partial(_check_unedited, root, file.path, was))
    except BaseException:
        for file in changed:
            with contextlib.suppress(Exception):
                _restore(root / file.path, file.text.encode(), before[file.path])
        raise
    return tuple(file.path for file in changed)


def _check_unedited(root: Path, path: str, was: bytes | None) -> None:
    if _content(root / path) != was:
        raise CanonError(f"{path} has changed since it was read; nothing was written: run `canon init` again")


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _restore(path: Path, ours: bytes, content: bytes | None) -> None:
    if _content(path) != ours:  # not written yet, or edited since
        return
    if content is None:
        path.unlink(missing_ok=True)
    else:
        write_bytes(path, content)
