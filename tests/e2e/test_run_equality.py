"""After `canon run -j 4 --keep-going` a checkout is what `dvc repro -k` would have made of it, byte for byte."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.e2e import graphs
from tests.e2e.projects import write

pytestmark = pytest.mark.usefixtures("quick")


def held_against_dvc(
    run: Run, root: Path, *targets: str, dvc: tuple[str, ...] = (), more: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Run a project in a copy by DVC, here by Canon, and compare; return stage → what Canon says of it."""
    other = root.with_name(f"{root.name}-dvc")
    shutil.rmtree(other, ignore_errors=True)
    shutil.copytree(root, other, symlinks=True)
    code = graphs.repro(other, *more, *(dvc or targets))
    done = run(root, "canon", "run", "-j", "4", "-k", "--json", *more, *targets, code=None)
    assert (done.returncode != 0) == (code != 0), done.stderr
    assert graphs.state(root) == graphs.state(other)
    assert not (root / ".dvc/tmp/canon/pending.jsonl").exists()
    return {each["stage"]: each for each in json.loads(done.stdout)["stages"]}


def check_random(run: Run, factory: pytest.TempPathFactory, folder: Path, seed: int, size: int) -> None:
    """A first run, and one with other params where nothing fails, but stages are frozen that may have no outs."""
    root = graphs.make_project(factory, folder / str(seed), graphs.random_pipeline(seed, size))
    held_against_dvc(run, root)
    declared = (root / "pipelines/g.yaml").read_text().replace("exit 4; ", "")
    for name in random.Random(seed).sample(re.findall(r"^  (s\d+):$", declared, re.MULTILINE), 2):
        declared = declared.replace(f"  {name}:\n", f"  {name}:\n    frozen: true\n")
    write(root, {"params.yaml": "lr: 0.2\n", "pipelines/g.yaml": declared})
    run(root, "canon", "render")
    held_against_dvc(run, root)


@pytest.mark.parametrize("seed", range(10))
def test_random_graphs(run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    check_random(run, tmp_path_factory, tmp_path, seed, 7)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 150))
def test_many_random_graphs(run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    check_random(run, tmp_path_factory, tmp_path, seed, 25)
