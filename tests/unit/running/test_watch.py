"""What `canon run --watch` waits for: what a person writes, not what a stage makes; what changes while it runs counts, too."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from canon.model.errors import CanonError
from canon.model.project import load_project
from canon.running.watch import watch, watched_inputs

FILES = {
    "pyproject.toml": '[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n',
    "pipelines/p.yaml": """\
name: p
track: false
vars: [more.yaml]
stages:
  fit: {cmd: cp code/a.py model, deps: [code, raw.csv], params: [{rates.yaml: [rate]}], outs: [model]}
  use: {cmd: cp model used, deps: [model, code/a.py], outs: [used]}
""",
    "code/a.py": "1\n",
    "code/deep/b.py": "1\n",
    "raw.csv": "1\n",
    ".dvc/config": "[core]\n    no_scm = true\n",
    "raw.csv.dvc": "outs: []\n",
    "rates.yaml": "rate: 1\n",
    "more.yaml": "a: 1\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_inputs_are_what_no_stage_makes(project: Path) -> None:
    assert set(watched_inputs(load_project(project), "p")) == {
        "code", "code/a.py", "more.yaml", "params.yaml", "pipelines", "pyproject.toml", "rates.yaml", "raw.csv", "raw.csv.dvc"
    }  # fmt: skip


def watched(project: Path, *steps: Callable[[], object]) -> tuple[int, list[str]]:
    """Watch, with one change after each run, until a run has none left; return how many runs there were, and what was said."""
    said: list[str] = []
    runs = 0

    def run() -> None:
        nonlocal runs
        runs += 1
        if runs > len(steps):
            raise KeyboardInterrupt
        threading.Timer(0.3, steps[runs - 1]).start()

    with pytest.raises(KeyboardInterrupt):
        watch(project, "p", run, said.append)
    return runs, [line.removeprefix("canon: changed: ") for line in said if "changed: " in line]


def test_each_change_of_an_input_is_another_run(project: Path) -> None:
    runs, changed = watched(
        project,
        lambda: (project / "code/deep/b.py").write_text("2\n"),
        lambda: (project / "code/new.py").write_text("2\n"),
        lambda: (project / "rates.yaml").write_text("rate: 2\n"),
        (project / "raw.csv").unlink,
        lambda: (project / "pipelines/p.yaml").write_text("name: ["),
        lambda: (project / "pipelines/p.yaml").write_text(FILES["pipelines/p.yaml"]),
    )
    assert runs == 7
    assert changed == ["code/deep/b.py", "code/new.py", "rates.yaml", "raw.csv", "pipelines/p.yaml", "pipelines/p.yaml"]


def test_what_stages_make_and_what_python_leaves_is_no_change(project: Path) -> None:
    def others() -> None:
        (project / "model").write_text("2\n")
        (project / "code/__pycache__").mkdir()
        (project / "code/__pycache__/a.pyc").write_text("")
        (project / "README.md").write_text("2\n")
        threading.Timer(0.5, lambda: (project / "more.yaml").write_text("a: 2\n")).start()

    assert watched(project, others) == (2, ["more.yaml"])


def test_what_changes_while_it_runs_counts(project: Path) -> None:
    runs = 0

    def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            (project / "rates.yaml").write_text("rate: 3\n")
            raise CanonError("a stage failed")
        raise KeyboardInterrupt

    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        watch(project, "p", run, said.append)
    assert runs == 2
    assert said[0] == "canon: a stage failed"
