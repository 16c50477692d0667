"""Another user gets the same image."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import BIN
from tests.e2e.served import DATE, served_project
from tests.e2e.test_image_bake import GOLDEN

pytestmark = pytest.mark.root
UID = 12345


def test_another_user_gets_the_same_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_AUTHOR_DATE", DATE)
    monkeypatch.setenv("GIT_COMMITTER_DATE", DATE)
    served_project(tmp_path)
    open_to_all = Path("/tmp") / f"canon-{os.getpid()}"  # noqa: S108  pytest's own folder is root's alone
    shutil.copytree(tmp_path, open_to_all, symlinks=True)
    try:
        for path in (open_to_all, *open_to_all.rglob("*")):
            os.chown(path, UID, UID, follow_symlinks=False)
        command = ("canon", "image", "bake", "p", "--from", "oci:../below", "--to", "oci:../made")
        done = subprocess.run(
            ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", *command),
            cwd=open_to_all / "project", env={"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(open_to_all)},
            capture_output=True, text=True, check=False, umask=0o077,
        )  # fmt: skip
        assert done.stdout.strip() == f"oci:../made@{GOLDEN}", done.stderr
    finally:
        shutil.rmtree(open_to_all)
