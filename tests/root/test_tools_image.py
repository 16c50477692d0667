"""The tools image with Canon's whole locked environment: it runs in a container, as pods run it. It has 900 MB, hence not in `make test`."""

from __future__ import annotations

from pathlib import Path

import pytest

from canon import __version__
from tests.conftest import Base
from tests.containers import Containers
from tests.e2e.faults import build_project, canon

pytestmark = pytest.mark.root


def test_canon_its_environment_git_and_uv_run_in_the_tools_image(
    tools_base: Base, containers: Containers, tmp_path: Path
) -> None:
    toy = tmp_path / "toy"
    toy.mkdir()
    build_project(toy)
    to = tmp_path / "tools"
    command = ("image", "tools", "--from", f"oci:{tools_base.layout}", "--to", f"oci:{to}")
    digest = canon(toy, *command, seconds=400).stdout.strip().rpartition("@")[2]
    for argv, says in {
        ("--version",): f"canon {__version__}",
        ("schema",): '"$schema"',
    }.items():
        assert says in containers.run(to, digest, *argv).stdout
    assert containers.run(to, digest, "--help").stdout
