"""A file system that is full for real: what is there stays, what is missing is said."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.faults import STALE, assert_said, build_project, canon, unchanged, write

pytestmark = pytest.mark.root
SIZE = 4 * 1024 * 1024


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory of a few megabytes, with the project on it."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(mounted)), check=True)
    try:
        root = mounted / "toy"
        root.mkdir()
        build_project(root)
        yield root
    finally:
        subprocess.run(("umount", "--lazy", str(mounted)), check=True)


def fill(root: Path, *, left: int) -> Path:
    """Take all room but ``left`` bytes, beside the project."""
    filler = root.parent / "filler"
    with filler.open("wb", buffering=0) as file:
        while (free := os.statvfs(root).f_bavail * os.statvfs(root).f_frsize) > left:
            file.write(b"\0" * min(free - left, 1024 * 1024))
    return filler


def test_a_full_disk_takes_no_rendered_file_and_no_data_and_keeps_the_old(small: Path) -> None:
    write(small, "data/source.csv", os.urandom(512 * 1024))
    canon(small, "data", "pin")
    write(small, "dvc.yaml", STALE)
    write(small, "raw.csv", "what was there")
    filler = fill(small, left=256 * 1024)
    with unchanged(small):
        done = canon(small, "data", "get", code=1)
    assert_said(
        done.stderr,
        f"canon: cannot write {small / 'raw.csv'}: No space left on device; what was there is unchanged: make room",
    )
    filler.unlink()
    filler = fill(small, left=0)
    with unchanged(small):
        done = canon(small, "render", code=1)
    assert_said(
        done.stderr,
        f"canon: cannot write {small / 'dvc.yaml'}: No space left on device; nothing was changed there: make room",
    )
    filler.unlink()
    canon(small, "data", "get")
    canon(small, "render")
    assert (small / "raw.csv").read_bytes() == (small / "data/source.csv").read_bytes()


def test_a_full_disk_takes_no_result_and_track_succeeds_once_there_is_room(small: Path) -> None:
    subprocess.run(("dvc", "repro", "train"), cwd=small, check=True, capture_output=True)
    filler = fill(small, left=0)
    with unchanged(small):
        done = canon(small, "track", "toy", code=1)
    assert_said(done.stderr, "No space left on device")
    filler.unlink()
    canon(small, "track", "toy")
    assert (small / "results/toy.json").exists()
