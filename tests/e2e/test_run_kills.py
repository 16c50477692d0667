"""`kill -9` of `canon run` at any moment: the next one goes on, what it leaves is what `dvc repro` would have left, and no MLflow run is open."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from canon.dvc.reproduction.pending import JOURNAL
from canon.results.session_files import SESSIONS
from canon.running.leftovers import GROUPS
from tests.conftest import ROOT, Run, once
from tests.e2e import graphs
from tests.tracking import empty_store

pytestmark = pytest.mark.usefixtures("quick")


def slow_pipeline(seed: int, size: int) -> dict[str, str]:
    """Stages that write the half of an out before they rest, and a flag for each kind of out that could be taken for a result then.

    Every third one has an MLflow run of its own open meanwhile.
    """
    rng = random.Random(seed)
    own_run = "own-run" if shutil.which("own-run") else f"{sys.executable} {ROOT}/tests/own_run.py"
    lines = ["name: g", "track: false", "stages:"]
    for number in range(size):
        deps = rng.sample(range(number), min(number, rng.choice([0, 0, 1, 2])))
        read = " ".join(f"o{each}" for each in deps)
        out = f"o{number}"
        flags = rng.choice([out, out, f"{{{out}: {{cache: false}}}}", f"{{{out}: {{persist: true}}}}"])
        rest = f"0.0{rng.randint(1, 9)}"
        command = f"printf half > {out}; sleep {rest}; cat src.txt {read} > {out}; echo {number} >> {out}"
        if number % 3 == 0:
            command = f"{own_run} {out} {rest} src.txt {read}".rstrip()
        lines += [f"  s{number}:", f"    cmd: {command!r}", f"    deps: [{', '.join(['src.txt', *(f'o{each}' for each in deps)])}]",
                  f"    outs: [{flags}]"]  # fmt: skip
    return {"pipelines/g.yaml": "\n".join(lines) + "\n", "src.txt": "source\n"}


def kill_and_go_on(run: Run, template: Path, wanted: Path, folder: Path, seed: int) -> None:
    """Start a run in a copy, kill it once or twice, run it to the end, and compare."""
    rng = random.Random(seed)
    root = shutil.copytree(template, folder / str(seed), symlinks=True)
    for _ in range(rng.choice([1, 1, 2])):
        with subprocess.Popen(
            ["canon", "run", "-j", "4"], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert process.stderr is not None
            process.stderr.readline()  # the first stage runs
            time.sleep(rng.uniform(0, 0.8))
            process.kill()
    done = run(root, "canon", "run", "-j", "4")
    assert graphs.state(root) == graphs.state(wanted), done.stderr
    outs = sorted(path.name for path in wanted.glob("o*"))
    assert {name: (root / name).read_text() for name in outs} == {name: (wanted / name).read_text() for name in outs}
    assert graphs.stages_alive(root) == []
    assert not (root / GROUPS).exists()
    assert not (root / JOURNAL).exists()
    found = statuses(root)
    assert not found["RUNNING"], done.stderr
    assert found["FINISHED"] >= statuses(wanted)["FINISHED"] > 0
    assert [*(root / SESSIONS).iterdir()] == []
    shutil.rmtree(root)


def statuses(root: Path) -> Counter[str]:
    """How many of a project's MLflow runs have which status (table `runs` of mlflow/store/tracking/dbmodels/models.py)."""
    with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as database:
        return Counter(status for (status,) in database.execute("SELECT status FROM runs"))


def killed_project(run: Run, factory: pytest.TempPathFactory, seed: int, size: int) -> tuple[Path, Path]:
    """A project of which nothing has run, and one where `dvc repro` has."""

    def make(folder: Path) -> None:
        root = graphs.make_project(factory, folder / "template", slow_pipeline(seed, size))
        shutil.copyfile(empty_store(factory), root / "mlflow.db")
        shutil.copytree(folder / "template", folder / "wanted", symlinks=True)
        run(folder / "wanted", "dvc", "repro", "-q")

    folder = once(factory, f"killed-{seed}-{size}", make)
    return folder / "template", folder / "wanted"


def test_what_had_finished_is_not_run_again(run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Also a stage of which the run-cache keeps nothing, while dvc.lock waited for an earlier one."""
    stages = """\
        name: g
        track: false
        stages:
          a: {cmd: touch ready; while ! test -e go; do sleep 0.05; done; echo a > a, outs: [a]}
          b: {cmd: echo b > b; echo b >> ran, outs: [{b: {cache: false}}]}
          c: {cmd: cat b > c; echo c >> ran, deps: [b], outs: [c]}
        """
    root = graphs.make_project(tmp_path_factory, tmp_path / "p", {"pipelines/g.yaml": stages})
    with subprocess.Popen(["canon", "run", "-j", "4"], cwd=root, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 60
            while not (root / JOURNAL).exists() or (root / JOURNAL).read_text().count("\n") < 2:
                assert time.monotonic() < end
                time.sleep(0.01)
        finally:
            process.kill()
    assert not (root / "dvc.lock").exists()
    (root / "go").touch()
    done = run(root, "canon", "run")
    assert (root / "ran").read_text() == "b\nc\n"
    assert "g: 2 unchanged, 1 done" in done.stderr
    assert [
        line for line in (root / "dvc.lock").read_text().splitlines() if line.startswith("  ") and line[2] != " "
    ] == ["  a:", "  b:", "  c:"]
    assert (root / ".gitignore").read_text() == "/a\n/c\n"


def test_a_kill_before_an_entry_of_the_run_cache_is_written(
    run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The folder for it is there then, and DVC itself ends with a TypeError."""
    template, _ = killed_project(run, tmp_path_factory, 1, 8)
    root = shutil.copytree(template, tmp_path / "p", symlinks=True)
    run(root, "canon", "run", "s0")
    entry, *others = [path for path in (root / ".dvc/cache/runs").rglob("*") if path.is_file()]
    assert not others
    entry.unlink()
    (root / "dvc.lock").unlink()
    assert "g: 1 done" in run(root, "canon", "run", "s0", "--dry-run").stderr + run(root, "canon", "run", "s0").stderr
    assert entry.exists()


@pytest.mark.parametrize("seed", range(20))
def test_a_kill_at_any_moment(run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    kill_and_go_on(run, *killed_project(run, tmp_path_factory, 1, 8), tmp_path, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_many_kills(run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    kill_and_go_on(run, *killed_project(run, tmp_path_factory, seed % 10, 12), tmp_path, seed)
