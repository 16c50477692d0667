"""Rendered files, and the one writer: atomic, and only what changed."""

from __future__ import annotations

import contextlib
import difflib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from canon.model.errors import CanonError, Problem, ProblemsError


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """The text that a file should have. ``path`` is relative to the repository's root, with ``/``."""

    path: str
    text: str


def load_text(path: Path, name: str = "") -> str | None:
    """Return a file's text, ``None`` when there is no such file; ``name`` stands for the file in messages.

    Raises ProblemsError when it is not UTF-8 text, or cannot be read.
    """

    def problem(message: str, remedy: str, line: int = 0) -> ProblemsError:
        return ProblemsError([Problem(file=name or str(path), line=line, message=message, remedy=remedy)])

    try:
        content = path.read_bytes()
        return content.decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise problem(f"is not UTF-8 text (byte {error.start})", "save it as UTF-8", line) from None
    except IsADirectoryError:
        raise problem("is a folder where a file is expected", "move it away") from None
    except OSError as error:
        raise problem(
            f"cannot be read: {error.strerror or error}", "give the right to read it, or mend the link"
        ) from None


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that every reader finds the old content or the new, never a part, and a crash leaves one of both.

    A link is replaced, never written through: what it points to may lie outside of the repository.
    Raises CanonError when the file cannot be written (disk full, no right to); all is as it was then.
    """
    parent = path.parent
    made = [folder for folder in path.parents if not folder.exists()]
    temporary: str | None = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.is_file() and not path.is_symlink() else 0o666 & ~_umask()
        handle, temporary = tempfile.mkstemp(dir=parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)  # noqa: PTH101  a path that mkstemp gave as text
        os.replace(temporary, path)  # noqa: PTH105
        temporary, made = None, []
    except OSError as error:
        raise CanonError(
            f"cannot write {path}: {error.strerror or error}; nothing was changed there: make room, or give the right to write"
        ) from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current


def write_text(path: Path, text: str) -> bool:
    """Write ``text`` atomically where the file differs; return whether it did."""
    content = text.encode()
    with contextlib.suppress(OSError):
        if not path.is_symlink() and path.read_bytes() == content:
            return False
    write_bytes(path, content)
    return True


def _place(root: Path, file: RenderedFile) -> Path:
    """Where a rendered file lies. Raises CanonError for a path outside of the repository, by a link too, or in `.git`."""
    steps = file.path.split("/")
    inside = not file.path.startswith("/") and not {"", ".", "..", ".git"} & set(steps)
    if not inside or not (root / file.path).parent.resolve().is_relative_to(root.resolve()):
        raise CanonError(
            f"the file {file.path!r} that was rendered lies outside of the repository, or in .git; nothing was written: "
            "give it another place, or replace the link by what it points to"
        )
    return root / file.path


def changed_files(root: Path, files: Iterable[RenderedFile]) -> tuple[RenderedFile, ...]:
    """Return those files whose text on disk differs, and those that are links. Raises CanonError as `write_files` does."""
    places = [(file, _place(root, file)) for file in files]
    return tuple(file for file, place in places if place.is_symlink() or load_text(place, file.path) != file.text)


def write_files(root: Path, files: Iterable[RenderedFile]) -> tuple[str, ...]:
    """Write each file that differs; return the paths written.

    Raises CanonError, before anything is written, when one lies outside of the repository.
    """
    places = [(file, _place(root, file)) for file in files]
    return tuple(file.path for file, place in places if write_text(place, file.text))


def format_diff(root: Path, files: Iterable[RenderedFile]) -> str:
    """Return a unified diff from what is on disk to what is rendered."""
    parts: list[str] = []
    for file, place in [(file, _place(root, file)) for file in files]:
        old = load_text(place, file.path)
        if old != file.text:
            lines = difflib.unified_diff(
                StringIO(old or "").readlines(),  # by line feeds alone
                StringIO(file.text).readlines(),
                f"a/{file.path}" if old is not None else "/dev/null",
                f"b/{file.path}",
            )
            parts += (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return "".join(parts)
