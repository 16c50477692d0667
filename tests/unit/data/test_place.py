from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from canon.data.place import LOCK, NEW, OLD, put_in_place, recover, scratch_beside


def make_folder(path: Path, content: str) -> None:
    path.mkdir(parents=True)
    (path / "a.csv").write_text(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def left_behind(target: Path, *, old: bool) -> Path:
    """What a process that was killed while its folder stood aside leaves: its scratch folder, the lock let go."""
    with scratch_beside(target) as scratch:
        name = scratch.name
    left = target.parent / name
    left.mkdir(parents=True)
    (left / LOCK).touch()
    make_folder(left / NEW, "half")
    if old:
        target.rename(left / OLD)
    return left


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_folder_that_stood_aside_when_its_process_was_killed_comes_back(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "raw"
    make_folder(target, "old") if kind == "folder" else target.write_text("old")
    left_behind(target, old=True)
    assert not target.exists()
    recover(target)
    assert (target / "a.csv" if kind == "folder" else target).read_text() == "old"
    assert names(tmp_path) == ["raw"]


def test_what_a_killed_process_left_is_removed_and_what_is_there_stays(tmp_path: Path) -> None:
    target = tmp_path / "raw"
    make_folder(target, "old")
    left_behind(target, old=False)
    recover(target)
    assert (target / "a.csv").read_text() == "old"
    assert names(tmp_path) == ["raw"]


def test_a_new_folder_that_was_in_place_already_is_not_undone(tmp_path: Path) -> None:
    target = tmp_path / "raw"
    make_folder(target, "old")
    left_behind(target, old=True)
    make_folder(target, "new")
    recover(target)
    assert (target / "a.csv").read_text() == "new"
    assert names(tmp_path) == ["raw"]


def test_what_a_living_process_uses_and_what_belongs_to_others_stays(tmp_path: Path) -> None:
    target = tmp_path / "raw"
    with scratch_beside(target) as scratch, scratch_beside(tmp_path / "raw.csv") as other:
        (scratch / NEW).mkdir()
        recover(target)
        recover(tmp_path / "raw")
        assert (scratch / NEW).exists()
        assert other.exists()
    assert names(tmp_path) == []


def test_a_scratch_folder_that_has_no_lock_yet_stays_for_a_while(tmp_path: Path) -> None:
    target = tmp_path / "raw"
    left = left_behind(target, old=False)
    (left / LOCK).unlink()
    recover(target)
    assert left.exists()
    os.utime(left, (1, 1))
    recover(target)
    assert not left.exists()


def test_a_failure_brings_the_old_folder_back(tmp_path: Path) -> None:
    target = tmp_path / "raw"
    make_folder(target, "old")
    with pytest.raises(FileNotFoundError), scratch_beside(target) as scratch:  # noqa: PT012  what leaves it is tested
        target.rename(scratch / OLD)
        put_in_place(scratch, target)  # there is no new one
    assert (target / "a.csv").read_text() == "old"
    assert names(tmp_path) == ["raw"]


def test_an_interruption_while_a_folder_stands_aside_brings_it_back(tmp_path: Path) -> None:
    target = tmp_path / "raw"
    make_folder(target, "old")
    with pytest.raises(KeyboardInterrupt), scratch_beside(target) as scratch:  # noqa: PT012  what leaves it is tested
        make_folder(scratch / NEW, "new")
        target.rename(scratch / OLD)
        raise KeyboardInterrupt
    assert (target / "a.csv").read_text() == "old"


def test_folders_that_are_put_in_one_place_at_once_end_as_one_of_them(tmp_path: Path) -> None:
    target = tmp_path / "raw"
    make_folder(target, "old")
    barrier = threading.Barrier(2)
    errors: list[BaseException] = []

    def put(content: str) -> None:
        try:
            with scratch_beside(target) as scratch:
                make_folder(scratch / NEW, content)
                barrier.wait()
                put_in_place(scratch, target)
        except BaseException as error:  # noqa: BLE001  shown below
            errors.append(error)

    for _ in range(20):
        threads = [threading.Thread(target=put, args=(content,)) for content in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert (target / "a.csv").read_text() in {"one", "two"}
        assert names(tmp_path) == ["raw"]


def test_a_very_long_name_has_room_for_a_scratch_folder(tmp_path: Path) -> None:
    with (
        scratch_beside(tmp_path / ("x" * 255)) as scratch,
        (scratch / LOCK).open() as lock,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
