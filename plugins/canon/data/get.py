"""Bringing pinned data to its path: verified on the way, and put in place whole or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import BinaryIO

from canon.data.errors import TooLongError
from canon.data.interrupts import ended_by_sigterm
from canon.data.place import NEW, put_in_place, recover, scratch_beside
from canon.data.progress import Progress, Silent
from canon.data.sources import SourceFile, SourceReader, open_source
from canon.data.sources.local import LocalReader, local_path
from canon.data.sources.names import Names
from canon.data.transfer import Allowance, Content, Transfer, pin_of, read_all
from canon.model.errors import CanonError, SourceChangedError
from canon.model.pins import Pin, Source

REMEDY = "run `canon data pin` if the new content is meant, and commit the pins"
FILE_MODE, FOLDER_MODE = 0o644, 0o755


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

    A version that was pinned on S3 is read, else what is there now; both must be what was pinned. ``endpoint`` as in
    `pin_source`. Files get mode 0644, folders 0755.
    Raises SourceChangedError when the source has another content than was pinned, CanonError when it cannot be read or
    written; what was at ``target`` is still there then, also when the process is interrupted or killed (a folder that was
    just stepping aside comes back with the next call).
    """
    progress = progress or Silent()
    _check_place(target, root)
    with ended_by_sigterm():
        recover(target)
        if has_content(target, pin, jobs=jobs):
            return False
        _check_link(target, root)
        _check_apart(source.uri, target, root)
        stop = threading.Event()
        try:
            with (
                open_source(
                    source.uri, root=root, endpoint=endpoint, version_id=source.version_id, stop=stop
                ) as reader,
                scratch_beside(target) as scratch,
            ):
                transfer = Transfer(reader, progress, stop, Allowance(pin.size))
                _download(transfer, source.uri, pin, scratch / NEW, jobs)
                put_in_place(scratch, target)
        except OSError as error:
            raise CanonError(
                f"cannot write {target}: {error.strerror or error}; what was there is unchanged: make room or give the "
                "right to write there, then try again"
            ) from None
    return True


def has_content(target: Path, pin: Pin, *, jobs: int = 4) -> bool:
    """Tell whether a file or folder has exactly the pinned content. Links in it, as DVC makes, count as what they point to."""
    stop = threading.Event()
    try:
        reader = LocalReader(str(target.absolute()), target.parent, follow_links=True)
        if reader.kind != pin.kind:
            return False
        files = list(reader.files())
        if sum(file.size or 0 for file in files) != pin.size or len(files) != (pin.nfiles or 1):
            return False
        transfer = Transfer(reader, Silent(), stop, Allowance(pin.size))
        contents = read_all(files, transfer.read, jobs=min(jobs, len(files)), stop=stop)
    except CanonError:
        return False
    return pin_of(contents, is_folder=reader.kind == "folder") == pin


def _check_place(target: Path, root: Path) -> None:
    """Refuse a place outside the repository, by its name or through a link above it."""
    parent, top = target.parent.resolve(), root.resolve()
    if target.name in {"", ".."} or not parent.is_relative_to(top) or target.resolve() == top:
        raise CanonError(
            f"{target} is no place below {root}, and data is brought nowhere else; change the dataset's `path`"
        )


def _check_link(target: Path, root: Path) -> None:
    if target.is_symlink() and not target.resolve().is_relative_to(root.resolve()):
        raise CanonError(f"{target} is a link that leaves the repository; remove the link")


def _check_apart(uri: str, target: Path, root: Path) -> None:
    """Refuse a local source that the new content would replace, or that it would become part of."""
    if "://" in uri and not uri.lower().startswith("file://"):
        return
    source, place = local_path(uri, root).resolve(), target.resolve()
    if source != place and (source.is_relative_to(place) or place.is_relative_to(source)):
        raise CanonError(f"the source {uri} and {target} lie in one another; give the dataset a path of its own")


def _download(transfer: Transfer, uri: str, pin: Pin, new: Path, jobs: int) -> None:
    files = _expected_files(transfer.reader, uri, pin, new)
    transfer.progress.start(pin.size, len(files))

    def read(file: SourceFile) -> Content:
        return transfer.read(file, into=lambda: _create(new / file.relpath if file.relpath else new))

    try:
        found = pin_of(
            read_all(files, read, jobs=min(jobs, len(files)), stop=transfer.stop), is_folder=pin.kind == "folder"
        )
    except TooLongError:
        raise _changed(uri, pin, f"more than {pin.size:,} bytes") from None
    finally:
        transfer.progress.done()
    if found != pin:
        raise _changed(uri, pin, f"sha256 {found.sha256[:12]} ({found.size:,} bytes)")


def _changed(uri: str, pin: Pin, now: str) -> SourceChangedError:
    count = "" if pin.nfiles is None else f" in {pin.nfiles:,} files"
    return SourceChangedError(
        f"the source {uri} changed since it was pinned: {now} now, "
        f"sha256 {pin.sha256[:12]} ({pin.size:,} bytes{count}) pinned; {REMEDY}"
    )


def _expected_files(reader: SourceReader, uri: str, pin: Pin, new: Path) -> list[SourceFile]:
    """List the source as far as it can be what was pinned, and make its folders."""
    if reader.kind != pin.kind:
        raise _changed(uri, pin, f"a {reader.kind}, no {pin.kind},")
    files: list[SourceFile] = []
    names, size = Names(uri), 0
    for file in reader.files():
        files.append(file)
        size += file.size or 0
        if reader.kind == "folder":
            names.add(file.relpath)
        if len(files) > (pin.nfiles or 1) or size > pin.size:
            raise _changed(uri, pin, "more files or bytes")
    if not files:
        raise _changed(uri, pin, "no files")
    if reader.kind == "folder":
        for folder in (new, *(new / name for name in names.folders)):
            folder.mkdir()
            folder.chmod(FOLDER_MODE)
    return files


def _create(path: Path) -> BinaryIO:
    handle = path.open("wb")
    os.fchmod(handle.fileno(), FILE_MODE)
    return handle
