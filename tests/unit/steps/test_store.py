"""DVC in a pod."""

from __future__ import annotations

import getpass
import pwd
from pathlib import Path

import pytest

from canon.steps.store import settle_dvc


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
