"""The tools image: what it needs of the image below, and Canon, git and uv at work in it, pushed, pulled, in a container."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from canon import __version__
from tests.conftest import Base
from tests.containers import Containers
from tests.e2e.faults import assert_said, canon
from tests.images import forge, make_image
from tests.registry import debian_registry

pytestmark = pytest.mark.usefixtures("quick")


def test_an_image_without_git_is_refused(toy: Path, tmp_path: Path) -> None:
    make_image(
        tmp_path / "below",
        {"usr/local/bin/python3.11": b"", "usr/local/bin/python3": "-> python3.11", "usr/bin/sh": b""},
    )
    command = ("image", "tools", "--from", f"oci:{tmp_path}/below", "--to", f"oci:{tmp_path}/made")
    assert_said(canon(toy, *command, code=1).stderr, "has no git on its PATH, which the tools need")
    make_image(tmp_path / "below", {"usr/bin/git": b""})
    assert_said(canon(toy, *command, code=1).stderr, "has no python3, sh on its PATH")
    assert not (tmp_path / "made").exists()


@pytest.mark.soak
def test_canon_git_and_uv_run_in_the_tools_image(
    toy: Path, tools_base: Base, containers: Containers, tmp_path: Path
) -> None:
    with debian_registry(tmp_path / "registry") as host:
        command = ("image", "tools", "--from", f"oci:{tools_base.layout}", "--to", f"{host}/ml/canon")
        reference = canon(toy, *command, seconds=600).stdout.strip()
        assert canon(toy, *command, seconds=600).stdout.strip() == reference
        to = tmp_path / "pulled"
        subprocess.run(
            ["skopeo", "copy", "-q", "--src-tls-verify=false", "--preserve-digests", f"docker://{reference}", f"oci:{to}"],
            check=True, capture_output=True,
        )  # fmt: skip
    digest = reference.rpartition("@")[2]
    assert containers.run(to, digest, "--version").stdout == f"canon {__version__}\n"
    assert '"$schema"' in containers.run(to, digest, "schema").stdout
    bare = forge(to, digest, config=lambda config: config["config"].pop("Entrypoint"))
    for argv, says in {
        ("git", "--version"): "git version",
        ("uv", "--version"): "uv ",
        (
            "python",
            "-I",
            "-c",
            "import canon, dvc, hera, mlflow; print(canon.__file__)",
        ): "/opt/canon/tools/lib/python3.11/site-packages/canon/",
    }.items():
        assert containers.run(to, bare, *argv, env={"HOME": "/tmp"}).stdout.startswith(says)  # noqa: S108  the container's
