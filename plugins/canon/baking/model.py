"""The model's files as members of a layer: stored bytes, from DVC's cache, each checked by sha256 while it is read."""

from __future__ import annotations

import functools
import hashlib
import os
import posixpath
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Self

from canon.baking.code import SOURCE
from canon.baking.provenance import BakedModel, ModelFile
from canon.dvc.objects import StoredFile
from canon.image.layers import Member
from canon.image.trees import check_cases
from canon.model.errors import CanonError

SMALL = 64 * 1024
"""Bytes that are hashed sooner than handed to a thread."""


def describe_model(artifact: str, path: str, files: Iterable[StoredFile], recorded: dict[str, str]) -> BakedModel:
    """What the model is: the sha256 that its result recorded, and sizes. Raises CanonError where files are not those of the result."""
    stored = {file.relpath: file for file in files}
    if stored.keys() != recorded.keys():
        other = min(stored.keys() ^ recorded.keys())
        raise CanonError(f"the result does not name the files that {path} has ({other!r}); run `dvc repro`")
    if not stored:
        raise CanonError(f"the artifact {path} has no file; there is nothing to serve")
    return BakedModel(
        artifact=artifact,
        path=path,
        files={
            name: ModelFile(sha256=recorded[name], md5=file.md5, size=_size(file.path)) for name, file in stored.items()
        },
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise CanonError(f"{path} cannot be read: {error.strerror}") from None


def model_members(model: BakedModel, files: Iterable[StoredFile], root: Path, cache: Path) -> list[Member]:
    """The model's files at its path in the code. Raises CanonError for a file that a link brings in from elsewhere."""
    members = [
        Member(
            posixpath.join(SOURCE, model.path, file.relpath).rstrip("/"),
            model.files[file.relpath].size,
            read=CheckedReader(_inside(file.path, root, cache), model.files[file.relpath].sha256),
        )
        for file in files
    ]
    check_cases(members)
    return members


def _inside(path: Path, root: Path, cache: Path) -> Path:
    """What is in the cache is DVC's; what lies in the workspace alone must lie there, and not be a link to elsewhere."""
    if not path.is_relative_to(cache) and not path.resolve().is_relative_to(root.resolve()):
        raise CanonError(
            f"{path} is a link to {path.resolve()}, outside of the repository; put the file itself there, run `dvc repro`"
        )
    return path


class CheckedReader:
    """Opens a file to be read and hashed. While it is the same file it is hashed once: a registry, which is sent what was read before, hashes for itself."""

    def __init__(self, path: Path, sha256: str) -> None:
        self._path, self._sha256 = path, sha256
        self._known: tuple[int, ...] | None = None

    def __call__(self) -> CheckedFile | FileIO:
        """Open it. Raises CanonError."""
        try:
            file = FileIO(self._path)
        except OSError as error:
            raise CanonError(f"{self._path} cannot be read: {error.strerror}") from None
        stamp = _stamp(file)
        return file if stamp == self._known else CheckedFile(file, self._path, self._sha256, partial(self._keep, stamp))

    def _keep(self, stamp: tuple[int, ...]) -> None:
        self._known = stamp


def _stamp(file: FileIO) -> tuple[int, ...]:
    """What is another one as soon as anybody writes to a file."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class CheckedFile:
    """A file that is read once; at its end CanonError is raised unless its sha256 is the expected one.

    It is hashed beside the reader, who hashes and writes the same bytes as a part of the layer: on two cores that costs no time.
    """

    def __init__(self, file: FileIO, path: Path, sha256: str, right: Callable[[], None]) -> None:
        self._file, self._path, self._expected, self._right = file, path, sha256, right
        self._hash = hashlib.sha256()
        self._waiting: Future[None] | None = None

    def read(self, size: int, /) -> bytes:
        """Read some bytes; none means the end, and that all were right."""
        try:
            chunk = self._file.read(size) or b""
        except OSError as error:
            raise CanonError(f"{self._path} cannot be read: {error.strerror}") from None
        self._wait()
        if len(chunk) > SMALL:
            self._waiting = _beside().submit(self._hash.update, chunk)
        else:
            self._hash.update(chunk)
        if not chunk and self._hash.hexdigest() != self._expected:
            raise CanonError(
                f"{self._path} is not what the result recorded: its sha256 is {self._hash.hexdigest()}, not {self._expected};"
                " it was changed since: remove it, run `dvc fetch`"
            )
        if not chunk:
            self._right()
        return chunk

    def _wait(self) -> None:
        if self._waiting is not None:
            self._waiting.result()
            self._waiting = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wait()
        self._file.close()


@functools.cache
def _beside() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="canon-hash")
