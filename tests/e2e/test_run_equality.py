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
from tests.e2e.projects import copy_of_this_repository, write

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


def check_random(
    run: Run, factory: pytest.TempPathFactory, folder: Path, seed: int, size: int, *, again: bool = True
) -> None:
    """A first run, and one with other params where nothing fails, but stages are frozen that may have no outs."""
    root = graphs.make_project(factory, folder / str(seed), graphs.random_pipeline(seed, size))
    held_against_dvc(run, root)
    if not again:
        return
    declared = (root / "pipelines/g.yaml").read_text().replace("exit 4; ", "")
    for name in random.Random(seed).sample(re.findall(r"^  (s\d+):$", declared, re.MULTILINE), 2):
        declared = declared.replace(f"  {name}:\n", f"  {name}:\n    frozen: true\n")
    write(root, {"params.yaml": "lr: 0.2\n", "pipelines/g.yaml": declared})
    run(root, "canon", "render")
    held_against_dvc(run, root)


@pytest.mark.parametrize("seed", range(10))
def test_random_graphs(run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    check_random(run, tmp_path_factory, tmp_path, seed, 7, again=seed % 2 == 0)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 150))
def test_many_random_graphs(run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    check_random(run, tmp_path_factory, tmp_path, seed, 25)


SEVERAL = {
    "pipelines/a.yaml": """\
        name: a
        track: false
        stages:
          first:
            foreach: [x, y]
            do:
              cmd: cat data.txt outside.txt > a-${item}; echo ${item} >> a-${item}
              deps: [data.txt, outside.txt]
              outs: ["a-${item}"]
          both: {cmd: cat a-x a-y > both, deps: [a-x, a-y], outs: [both]}
        """,
    "pipelines/b.yaml": """\
        name: b
        dvc_file: sub/dvc.yaml
        track: false
        stages:
          other: {cmd: cat both folder/one > sub/other, deps: [both, folder], outs: [sub/other]}
          last: {cmd: "cat sub/other > sub/last; date +%N >> sub/extra", deps: [sub/other], outs: [sub/last]}
          alone: {cmd: echo alone > alone, outs: [alone]}
        """,
    "data.txt": "data\n",
    "outside.txt": "outside\n",
    "folder/one": "1\n",
}


@pytest.fixture
def several(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """Two pipelines, of which one reads what the other makes, on data that `.dvc` files track: one added, one imported."""
    root = graphs.make_project(tmp_path_factory, tmp_path / "several", SEVERAL)
    run(root, "git", "rm", "-q", "--cached", "data.txt", "folder/one", "outside.txt")
    run(root, "dvc", "add", "-q", "data.txt", "folder")
    (root / "outside.txt").rename(root / "source.txt")
    run(root, "dvc", "import-url", "-q", "source.txt", "outside.txt")
    imported = root / "outside.txt.dvc"
    imported.write_text(imported.read_text().replace("frozen: true\n", ""))
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "track")
    return root


def test_several_pipelines_on_files_that_dvc_tracks(several: Path, run: Run) -> None:
    ran = held_against_dvc(run, several, "b", dvc=("sub/dvc.yaml",))
    assert {name: each["state"] for name, each in ran.items()} == {
        "data.txt.dvc": "unchanged", "folder.dvc": "unchanged", "outside.txt.dvc": "unchanged", "first@x": "done", "first@y": "done",
        "both": "done", "sub/dvc.yaml:other": "done", "sub/dvc.yaml:last": "done", "sub/dvc.yaml:alone": "done",
    }  # fmt: skip
    (several / "data.txt").write_text("other data\n")
    (several / "source.txt").write_text("other source\n")
    (several / "folder/two").write_text("2\n")
    ran = held_against_dvc(run, several, "b", "other", dvc=("sub/dvc.yaml:other",))
    assert {name for name, each in ran.items() if each["state"] == "cached"} == {
        "data.txt.dvc",
        "folder.dvc",
        "outside.txt.dvc",
    }
    assert "sub/dvc.yaml:last" not in ran


def test_what_stands_in_dvc_lock_keeps_its_place(several: Path, run: Run) -> None:
    """Comments, stages that nothing declares any more, and values that are written once and referred to."""
    run(several, "canon", "run", "a", "both")
    (several / "dvc.lock").write_text(
        (several / "dvc.lock").read_text().replace("stages:\n", "# a word\nstages:\n  gone:\n    cmd: x\n    params:\n      p.yaml:\n        k: &id001 [1]\n        l: *id001\n")
    )  # fmt: skip
    (several / "data.txt").write_text("changed\n")
    held_against_dvc(run, several, "a", dvc=("dvc.yaml",))
    assert (several / "dvc.lock").read_text().startswith("schema: '2.0'\n# a word\nstages:\n  gone:\n")


def test_force_runs_all_and_takes_nothing_from_the_run_cache(several: Path, run: Run) -> None:
    run(several, "canon", "run", "b")
    ran = held_against_dvc(run, several, "b", "other", dvc=("sub/dvc.yaml:other",), more=("--force",))
    assert {each["state"] for each in ran.values()} == {"done", "cached"}
    assert ran["first@x"]["state"] == "done"


def test_pull_takes_from_the_remote_what_is_missing(several: Path, run: Run, tmp_path: Path) -> None:
    run(several, "dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    run(several, "canon", "run", "a")
    run(several, "dvc", "push", "-q", "--run-cache")
    shutil.rmtree(several / ".dvc/cache")
    for name in ("dvc.lock", "a-x", "a-y", "both", "data.txt"):
        (several / name).unlink()
    shutil.rmtree(several / "folder")
    ran = held_against_dvc(run, several, "b", dvc=("sub/dvc.yaml",), more=("--pull",))
    assert ran["first@x"]["state"] == ran["both"]["state"] == "cached"
    assert ran["sub/dvc.yaml:other"]["state"] == "done"


def test_autostage_stages_what_dvc_would(several: Path, run: Run) -> None:
    run(several, "dvc", "config", "core.autostage", "true")
    held_against_dvc(run, several, "b", dvc=("sub/dvc.yaml",))
    staged = [
        run(folder, "git", "diff", "--cached", "--name-only").stdout
        for folder in (several, several.with_name("several-dvc"))
    ]
    assert staged[0] == staged[1]
    assert "sub/dvc.lock" in staged[0]


@pytest.mark.soak
def test_the_pipelines_of_this_repository(run: Run, tmp_path: Path) -> None:
    """co2, with the stage that tracks the result, and sunspots, which has a matrix, a foreach and a dvc.yaml of its own."""
    root = tmp_path / "ours"
    root.mkdir()
    copy_of_this_repository(root)
    for file in root.rglob("dvc.lock"):
        file.unlink()
    for name, made in (("co2", "dvc.yaml"), ("sunspots", "pipelines/sunspots/dvc.yaml")):
        ran = held_against_dvc(run, root, name, dvc=(made,))
        assert {each["state"] for each in ran.values()} == {"done"}
        assert any(each["metrics"] for each in ran.values())
        ran = held_against_dvc(run, root, name, dvc=(made,))
        assert {each["state"] for each in ran.values()} == {"unchanged"}
