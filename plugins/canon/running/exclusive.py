"""One `canon run` at a time in a checkout."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from canon.model.errors import CanonError, printable

LOCK = ".dvc/tmp/canon/run.lock"


def check_repository(root: Path) -> None:
    """Raise CanonError where DVC is not there."""
    if not (root / ".dvc").is_dir():
        raise CanonError(f"{root} is no DVC repository; run `dvc init` there")


@contextlib.contextmanager
def only_run(root: Path) -> Iterator[None]:
    """Hold the checkout's lock. Raises CanonError that says who has it, or that DVC is not there. The kernel lets go of it, however its holder ends."""
    check_repository(root)
    path = root / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(
        path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644
    )  # a link may be of a branch
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = printable(os.pread(descriptor, 200, 0).decode("utf-8", "replace")).strip() or "another process"
            raise CanonError(
                f"`canon run` works in {root} already ({holder}); run it again when that has ended, or end it with Ctrl-C there"
            ) from None
        os.ftruncate(descriptor, 0)
        since = dt.datetime.now(dt.UTC).astimezone().isoformat(sep=" ", timespec="seconds")
        os.pwrite(descriptor, f"process {os.getpid()}, since {since}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
