"""Bringing pinned data to its path: verified on the way, and put in place whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from canon.data.progress import Progress, Silent
from canon.data.sources import SourceFile, SourceReader, open_source
from canon.data.transfer import Content, TooLongError, pin_of, read_all, read_content
from canon.model.errors import CanonError, SourceChangedError
from canon.model.pins import Pin, Source

PREFIX = ".canon-get-"


def fetch_source(
    source: Source,
    pin: Pin,
    target: Path,
    *,
    root: Path,
    endpoint: str | None = None,
    progress: Progress | None = None,
    jobs: int = 4,
) -> bool:
    """Bring the pinned content to ``target``; return whether anything was moved (not when it is there already).

    Raises SourceChangedError when the source has another content than was pinned, CanonError when it cannot be read or
    written; what was at ``target`` is still there then.
    """
    progress = progress or Silent()
    if not target.parent.resolve().is_relative_to(root.resolve()):
        raise CanonError(f"{target} leaves the repository through a link; remove the link")
    if has_content(target, pin):
        return False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            _scratch(target) as scratch,
            open_source(source.uri, root=root, endpoint=endpoint, version_id=source.version_id) as reader,
        ):
            new = scratch / target.name
            _download(reader, source, pin, new, progress, jobs)
            _put_in_place(new, target, scratch)
    except OSError as error:
        raise CanonError(f"cannot write {target}: {error.strerror or error}; what was there is unchanged") from None
    return True


def has_content(target: Path, pin: Pin) -> bool:
    """Tell whether a file or folder has exactly the pinned content. Links within it count as what they point to."""
    if not target.exists() or target.is_dir() != pin.is_folder:
        return False
    if not pin.is_folder and target.stat().st_size != pin.size:
        return False
    from canon.data.sources.local import LocalReader

    try:
        reader = LocalReader(str(target.absolute()), target.parent)
        files = sorted(reader.files(), key=lambda file: file.relpath)
        if sum(file.size or 0 for file in files) != pin.size or not files:
            return False
        contents = [read_content(reader, file, progress=Silent()) for file in files]
    except CanonError:
        return False
    return pin_of(contents, is_folder=pin.is_folder) == pin


@contextlib.contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """A folder beside the target, on the same file system; what killed commands left there is removed."""
    for left in target.parent.glob(f"{PREFIX}{target.name}-*"):
        if not _is_alive(left):
            shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{target.name}-{os.getpid()}-", dir=target.parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _is_alive(left: Path) -> bool:
    try:
        os.kill(int(left.name.rsplit("-", 2)[1]), 0)
    except (ValueError, IndexError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _download(reader: SourceReader, source: Source, pin: Pin, new: Path, progress: Progress, jobs: int) -> None:
    remedy = "run `canon data pin` if the new content is meant, and commit the pins"
    if reader.is_folder != pin.is_folder:
        raise SourceChangedError(
            f"the source {source.uri} is a {'folder' if reader.is_folder else 'file'}, a {'folder' if pin.is_folder else 'file'} was pinned; {remedy}"
        )
    files = []
    for file in reader.files():
        files.append(file)
        if pin.nfiles is not None and len(files) > pin.nfiles:
            raise SourceChangedError(
                f"the source {source.uri} has more than the {pin.nfiles:,} files that were pinned; {remedy}"
            )
    _check_case(files, source.uri)
    progress.start(pin.size, len(files))

    def read(file: SourceFile, stop: threading.Event) -> Content:
        path = new / file.relpath if file.relpath else new

        def into() -> BinaryIO:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("wb")

        return read_content(reader, file, into=into, limit=pin.size, progress=progress, stop=stop)

    try:
        found = pin_of(read_all(files, read, jobs), is_folder=pin.is_folder)
    except TooLongError:
        raise SourceChangedError(
            f"the source {source.uri} has more than the {pin.size:,} bytes that were pinned; {remedy}"
        ) from None
    finally:
        progress.done()
    if found != pin:
        raise SourceChangedError(
            f"the source {source.uri} changed since it was pinned: sha256 {found.sha256[:12]} ({found.size:,} bytes) now, "
            f"{pin.sha256[:12]} ({pin.size:,} bytes) pinned; {remedy}"
        )


def _check_case(files: list[SourceFile], uri: str) -> None:
    seen: dict[str, str] = {}
    for file in files:
        other = seen.setdefault(file.relpath.casefold(), file.relpath)
        if other != file.relpath:
            raise CanonError(
                f"{uri} holds {other!r} and {file.relpath!r}, which are one file on some machines; rename one of them"
            )


def _put_in_place(new: Path, target: Path, scratch: Path) -> None:
    for path in [new, *new.rglob("*")] if new.is_dir() else [new]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    if target.is_symlink() or target.is_file():
        if new.is_dir():
            target.replace(scratch / "old")
    elif target.is_dir():
        # A folder cannot be replaced in one step: the old one steps aside, and comes back if the new one cannot take its place.
        target.rename(scratch / "old")
        try:
            new.rename(target)
        except OSError:
            (scratch / "old").rename(target)
            raise
        return
    new.replace(target)
