"""Outs that hold what is not their own."""

from __future__ import annotations

import getpass
import pwd
import subprocess
from pathlib import Path

import pytest

from canon.model.errors import CanonError
from canon.steps.store import check_own, settle_dvc


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("ln -s /etc/passwd out/link", "is a link that leads out of it"),
        ("ln -s ../other out/link", "is a link that leads out of it"),
        ("ln -s ../out out/deep/loop; ln -s ../../other out/deep/link", "is a link that leads out of it"),
        ("ln -s .. out/up; ln -s up/other out/link", "is a link that leads out of it"),
        ("ln other out/hard", "holds another name"),
        ("mkfifo out/pipe", "is neither a file nor a folder"),
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
        check_own(tmp_path / "out", "out")


def test_links_and_names_within_an_out_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "out/deep").mkdir(parents=True)
    (tmp_path / "out/deep/file").write_text("1")
    (tmp_path / "out/link").symlink_to("deep/file")
    (tmp_path / "out/hard").hardlink_to(tmp_path / "out/deep/file")
    check_own(tmp_path / "out", "out")


def test_dvc_works_for_a_user_without_name_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a pod, whose uid nobody has written down; else DVC ends with `uid not found`."""

    def unknown(uid: int) -> object:
        raise KeyError(uid)

    for name in ("HOME", "DVC_SITE_CACHE_DIR", "DVC_NO_ANALYTICS", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    settle_dvc(tmp_path)
    assert Path.home() == tmp_path
    assert getpass.getuser() == "canon"
    from dvc.repo import Repo

    (tmp_path / "root").mkdir()
    with Repo.init(str(tmp_path / "root"), no_scm=True) as repo:
        assert Path(repo.site_cache_dir).is_relative_to(tmp_path)
