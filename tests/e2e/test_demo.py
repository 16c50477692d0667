"""The first command that a user runs: `make demo` in a fresh clone with an empty home; and the locks that it stands on."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

from tests.conftest import BIN, git
from tests.e2e.projects import call, copy_of_this_repository, snapshot

SYSTEM = os.pathsep.join(path for path in os.environ["PATH"].split(os.pathsep) if path != str(BIN))
SITE = sysconfig.get_path("purelib")
DEMO = (
    r"dvc repro\n.*Running stage 'data-raw'.*Running stage 'prepare'.*Running stage 'train'.*Running stage 'evaluate'.*Running stage 'track'"
    r".*results/co2/metrics.json +[0-9.]+ +[0-9]+ +[0-9.]+ +[0-9.]+\n.*mlflow ui --backend-store-uri"
)


def with_this_environment(folder: Path) -> Path:
    """A clone whose .venv is the present one: current, so that make does not install into it."""
    (folder / ".venv").symlink_to(BIN.parent)
    for name in ("requirements-dev.lock", "pyproject.toml"):
        os.utime(folder / name, (0, 0))
    return folder


def empty_home(folder: Path) -> dict[str, str]:
    """The whole environment of a user who has just logged in."""
    home = folder / "home"
    home.mkdir(mode=0o777, exist_ok=True)
    return {"HOME": str(home), "PATH": SYSTEM}


def check_demo(clone: Path, env: dict[str, str], prefix: tuple[str, ...] = (), timeout: float = 230) -> None:
    """The demo runs everything once, and nothing the second time; dvc.lock and all else in Git stay as they are."""
    before, lock = git(clone, "status", "--porcelain"), (clone / "dvc.lock").read_bytes()
    first = call(clone, env, *prefix, "make", "demo", timeout=timeout)
    assert re.search(DEMO, first, re.DOTALL), first
    assert (clone / "dvc.lock").read_bytes() == lock
    made = snapshot(clone)
    second = call(clone, env, *prefix, "make", "demo")
    assert "Running stage" not in second
    assert "Data and pipelines are up to date." in second
    ends = [said.rpartition("results/co2/metrics.json")[2].partition("mlflow.db")[0] for said in (first, second)]
    assert ends[0] == ends[1]
    assert snapshot(clone) == made
    assert git(clone, "status", "--porcelain") == before == ""
    with sqlite3.connect(clone / "mlflow.db") as store:
        assert store.execute("select status from runs").fetchall() == [("FINISHED",)]
    store.close()
    command = next(line.strip() for line in first.splitlines() if "mlflow ui" in line)
    said = subprocess.run(["sh", "-c", f"printf '%s\\n' {command}"], check=True, capture_output=True, text=True).stdout
    assert said.splitlines()[-1] == f"sqlite:///{clone}/mlflow.db"  # what the shell makes of the line
    if "No image is baked here" in first:
        assert "a base takes mmdebstrap and root" in first
    else:
        verify = first.rstrip().splitlines()[-1].strip()
        assert verify == second.rstrip().splitlines()[-1].strip()
        assert "FAILED" not in call(clone, env, *prefix, "sh", "-c", verify)


WITNESS = """
import os, sys

class Witness:
    def find_spec(self, name, path=None, target=None):
        if name == "mlflow":
            with open(os.environ["WITNESS"], "a") as file:
                print(" ".join(os.path.basename(word) for word in sys.argv), file=file)
        return None

sys.meta_path.insert(0, Witness())
"""
"""Notes each process that imports MLflow, which is what tracking costs."""


@pytest.mark.soak
def test_the_demo_runs_once_and_says_where_to_look_whatever_the_folder_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "CO₂ it's - ein Fall"
    folder.mkdir()
    (tmp_path / "sitecustomize.py").write_text(WITNESS)
    witness = {"PYTHONPATH": str(tmp_path), "WITNESS": str(tmp_path / "witness")}
    check_demo(with_this_environment(copy_of_this_repository(folder / "clone")), {**empty_home(tmp_path), **witness})
    # The stage that writes a model in MLflow's format, and the tracking of the whole pipeline; nothing in the second run.
    train, track = (tmp_path / "witness").read_text().splitlines()
    assert train == "train.py"
    assert track.startswith("canon track co2")


def test_make_test_runs_where_the_path_has_blanks(tmp_path: Path) -> None:
    clone = with_this_environment(copy_of_this_repository(tmp_path / "a b"))
    said = call(clone, empty_home(tmp_path), "make", "test", "WORKERS=0", "ARGS=-q --co tests/unit/test_overlays.py")
    assert "tests/unit/test_overlays.py" in said


USER = ("setpriv", "--reuid=65531", "--regid=65531", "--clear-groups", "env")


def interpreter_for_all() -> str | None:
    """A Python of this minor version that another user can start, with what is installed here."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    script = f"import sys, site; assert 'python{{}}.{{}}'.format(*sys.version_info) == {version!r}; site.addsitedir({SITE!r}); import mlflow, dvc"
    for path in (os.path.realpath(sys.executable), f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        if subprocess.run([*USER, path, "-c", script], check=False, capture_output=True, cwd="/").returncode == 0:
            return path
    return None


def borrowed_environment(folder: Path, interpreter: str) -> None:
    """A .venv of that interpreter, with what is installed in the present one."""
    subprocess.run([interpreter, "-m", "venv", "--without-pip", str(folder)], check=True)
    (folder / Path(SITE).relative_to(BIN.parent) / "borrowed.pth").write_text(
        f"import site; site.addsitedir({SITE!r})\n"
    )
    for name in ("canon", "dvc", "mlflow"):
        text = (BIN / name).read_text()
        (folder / "bin" / name).write_text(f"#!{folder}/bin/python\n" + text.partition("\n")[2])
        (folder / "bin" / name).chmod(0o755)
    (folder / ".ready").touch()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_user_without_a_name_and_with_a_strict_umask_gets_the_same_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter = interpreter_for_all()
    if interpreter is None:
        pytest.skip("no interpreter, or nothing of what is installed, can be read by another user")
    with tempfile.TemporaryDirectory(prefix="canon-demo-") as scratch:  # pytest's own folders are for root alone
        folder = Path(scratch)
        folder.chmod(0o755)
        clone = copy_of_this_repository(folder / "clone")
        borrowed_environment(clone / ".venv", interpreter)
        for name in ("requirements-dev.lock", "pyproject.toml"):
            os.utime(clone / name, (0, 0))
        env = empty_home(folder)
        subprocess.run(["chown", "-R", "65531:65531", str(clone), env["HOME"]], check=True)
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(clone))
        check_demo(clone, env, (*USER, "sh", "-c", 'umask 077; exec "$@"', "sh"))
        assert (clone / "results" / "co2" / "metrics.json").stat().st_uid == 65531


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_fresh_clone_makes_its_own_environment_also_after_an_interrupted_install(tmp_path: Path) -> None:
    clone = copy_of_this_repository(tmp_path / "fresh clone")
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").write_text("half\n")
    (clone / ".venv" / "lib").symlink_to("nowhere")
    check_demo(clone, {**empty_home(tmp_path), "PIP_CACHE_DIR": str(tmp_path / "pip")}, timeout=1000)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_the_pipelines_lock_alone_runs_the_stages_and_gives_the_same_bytes(tmp_path: Path) -> None:
    clone = copy_of_this_repository(tmp_path / "clone")
    env = {**empty_home(tmp_path), "PATH": f"{BIN}{os.pathsep}{SYSTEM}"}
    call(clone, env, "canon", "data", "get", "co2/raw")
    call(clone, env, sys.executable, "-m", "venv", "bare")
    bare = clone / "bare" / "bin"
    call(
        clone,
        env,
        str(bare / "python"),
        "-m",
        "pip",
        "install",
        "-q",
        "--require-hashes",
        "-r",
        "requirements.lock",
        timeout=1000,
    )
    alone = {**env, "PATH": f"{bare}{os.pathsep}{SYSTEM}", "PYTHONDONTWRITEBYTECODE": "1"}
    call(
        clone,
        alone,
        "python",
        "-c",
        "import importlib.util as u; assert not u.find_spec('dvc') and not u.find_spec('canon')",
    )
    for stage in ("prepare", "train", "evaluate"):
        call(clone, alone, "python", "-m", f"pipelines.co2.{stage}")
    # DVC takes over what lies there, and finds the bytes that the committed lock names.
    call(clone, env, "dvc", "commit", "-f", "prepare", "train", "evaluate")
    assert git(clone, "diff") == ""
