"""Outs that hold what is not their own, and folders on the way to them that are none."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from canon.model.errors import CanonError
from canon.steps.own import make_executable, opened_parent, remove, take_out


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("ln -s /etc/passwd out/link", "is a link that leads out of it"),
        ("ln -s ../other out/link", "is a link that leads out of it"),
        ("ln -s ../out out/deep/loop; ln -s ../../other out/deep/link", "is a link that leads out of it"),
        ("ln -s .. out/up; ln -s up/other out/link", "is a link that leads out of it"),
        ("ln -s ../out2 out/link; mkdir out2", "is a link that leads out of it"),
        ("ln other out/hard", "holds another name"),
        ("mkfifo out/pipe", "is neither a file nor a folder"),
        ("rm -r out; mkfifo out", "is neither a file nor a folder"),
        ("rm -r out; ln -s other out", "is a link that leads out of it"),
        ("rm -r out; ln other out", "holds another name"),
        ("rm -r out", "its stage did not write it"),
    ],
)
def test_what_is_not_its_own_is_refused(tmp_path: Path, command: str, says: str) -> None:
    (tmp_path / "out/deep").mkdir(parents=True)
    (tmp_path / "out/deep/file").write_text("1")
    (tmp_path / "other").write_text("2")
    subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, check=True)
    with pytest.raises(CanonError, match=says):
        take_out(tmp_path, "out", tmp_path / "copy")


@pytest.mark.parametrize("leads", ["/proc/self", "../private", "../private/deep"])
def test_a_folder_on_the_way_that_leads_out_of_the_workspace_is_refused(tmp_path: Path, leads: str) -> None:
    """A stage that says `data/environ` and makes `data` a link to /proc/self would have the credentials of `push` sent to the remote."""
    (tmp_path / "work").mkdir()
    (tmp_path / "private/deep").mkdir(parents=True)
    (tmp_path / "work/data").symlink_to(leads)
    with pytest.raises(CanonError, match="data/environ: a folder on the way is a link that leads out of the workspace"):
        take_out(tmp_path / "work", "data/environ", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_link_to_another_folder_of_the_workspace_is_a_way(tmp_path: Path) -> None:
    (tmp_path / "work/real").mkdir(parents=True)
    (tmp_path / "work/real/file").write_text("1")
    (tmp_path / "work/data").symlink_to("real")
    take_out(tmp_path / "work", "data/file", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "1"


def test_a_copy_has_the_bytes_the_links_and_the_right_to_be_executed(tmp_path: Path) -> None:
    out = tmp_path / "work/out"
    (out / "deep/empty").mkdir(parents=True)
    (out / "deep/file").write_text("1")
    (out / "deep/tool").write_text("2")
    (out / "deep/tool").chmod(0o555)
    (out / "link").symlink_to(out / "deep/file")
    (out / "deep/up").symlink_to("../link")
    (out / "hard").hardlink_to(out / "deep/file")
    copy = tmp_path / "private/copy"
    copy.parent.mkdir()
    take_out(tmp_path / "work", "out", copy)
    shutil.rmtree(out)
    assert {path: (copy / path).read_text() for path in ("deep/file", "link", "deep/up", "hard")} == dict.fromkeys(
        ("deep/file", "link", "deep/up", "hard"), "1"
    )
    assert (copy / "link").is_symlink()
    assert (copy / "deep/empty").is_dir()
    assert os.access(copy / "deep/tool", os.X_OK)
    assert not (copy / "deep/file").stat().st_mode & 0o111


def test_a_socket_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as open_socket:
        open_socket.bind("out/socket")
        with pytest.raises(CanonError, match="out out: socket cannot be read as a file"):
            take_out(tmp_path, "out", tmp_path / "copy")


@pytest.mark.parametrize("path", ["out/file", "out"])
def test_what_becomes_a_link_after_it_was_looked_at_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A process that a stage left behind exchanges a file between the look at it and the reading."""
    (tmp_path / "work/out").mkdir(parents=True)
    (tmp_path / "work/out/file").write_text("1")
    (tmp_path / "secret").write_text("s")
    look = os.stat

    def exchange(name: str, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        status = look(name, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        if dir_fd is not None and name == "file":
            os.unlink(name, dir_fd=dir_fd)
            os.symlink(tmp_path / "secret", name, dir_fd=dir_fd)
        return status

    monkeypatch.setattr(os, "stat", exchange)
    with pytest.raises(CanonError, match="file cannot be read as a file"):
        take_out(tmp_path / "work", path, tmp_path / "copy")


def test_a_folder_that_becomes_a_link_on_the_way_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work/data").mkdir(parents=True)
    (tmp_path / "private").mkdir()
    (tmp_path / "private/state").write_text("s")
    resolve = os.path.realpath

    def exchange(path: str | Path) -> str:
        found = resolve(path)
        if Path(path).name == "data":
            (tmp_path / "work/data").rmdir()
            (tmp_path / "work/data").symlink_to(tmp_path / "private")
        return found

    monkeypatch.setattr(os.path, "realpath", exchange)
    with pytest.raises(CanonError, match="data/state: data, a folder on the way, is none any more"):
        take_out(tmp_path / "work", "data/state", tmp_path / "copy")


def test_a_link_is_not_followed_to_what_becomes_executable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    with opened_parent(tmp_path, "file") as folder:
        with pytest.raises(OSError, match="symbolic links"):
            make_executable(folder, "link")
        assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
        make_executable(folder, "file")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o751


@pytest.mark.parametrize("path", ["out", "out/file"])
def test_a_fault_of_the_machine_is_not_the_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Else its pod were not tried again."""
    (tmp_path / "work/out").mkdir(parents=True)
    (tmp_path / "work/out/file").write_text("1")
    opened = os.open

    def fail(name: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if name == ("file" if path == "out" else "out"):
            raise OSError(errno.EMFILE, "Too many open files")
        return opened(name, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(OSError, match="Too many open files"):
        take_out(tmp_path / "work", path, tmp_path / "copy")


def test_folders_are_made_and_files_removed_below_an_opened_one(tmp_path: Path) -> None:
    with opened_parent(tmp_path, "a/b/file", make=True) as folder:
        (tmp_path / "a/b/file").mkdir()
        (tmp_path / "a/b/file/inner").write_text("1")
        (tmp_path / "a/b/link").symlink_to(tmp_path)
        remove(folder, "file")
        remove(folder, "link")
        remove(folder, "nothing")
    assert not list((tmp_path / "a/b").iterdir())
    with pytest.raises(FileNotFoundError), opened_parent(tmp_path, "c/file"):
        pass
