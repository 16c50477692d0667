"""Adapters that live outside of the package, installed as distributions of their own, found by the installed command."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.repo import Repo

from canon.adapters import render_project
from canon.model.errors import CanonError
from canon.model.project import load_project
from tests.conftest import ROOT, Run, git

Install = Callable[..., dict[str, str]]
GOOD = """
from canon.output.files import RenderedFile

def render(project):
    names = [pipeline.name for pipeline in project.pipelines]
    return (RenderedFile("flux/list.yaml", f"pipelines: {names}\\n"),)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "tests/golden/plain/project", folder)
    git(folder, "init", "-q")
    Repo.init(os.fspath(folder)).close()
    return folder


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Install a distribution with one adapter; return the environment in which it is found."""

    def call(code: str, name: str = "flux", module: str = "flux_canon", target: str = "render") -> dict[str, str]:
        site = tmp_path / f"site-{name}"
        info = site / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(textwrap.dedent(code))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[canon.adapters]\n{name} = {module}:{target}\n")
        return {"PYTHONPATH": str(site)}

    return call


def test_an_adapters_file_is_rendered_and_checked(project: Path, install: Install, run: Run) -> None:
    env = install(GOOD)
    assert run(project, "canon", "render", env=env).stdout.split() == ["dvc.yaml", "flux/list.yaml"]
    assert (project / "flux/list.yaml").read_text() == "pipelines: ['iris']\n"
    run(project, "canon", "render", "--check", env=env)
    (project / "flux/list.yaml").write_text("edited\n")
    stale = run(project, "canon", "render", "--check", env=env, code=1)
    assert "flux/list.yaml: stale; run `canon render`" in stale.stderr
    assert "-edited\n+pipelines: ['iris']" in stale.stdout
    assert "flux/list.yaml: is not what the declarations say" in run(project, "canon", "check", env=env, code=1).stderr


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nothing_of_this_name\n", "cannot be loaded from flux_canon:render: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("other = 1\n", "cannot be loaded from flux_canon:render: AttributeError"),
        ("raise SystemError('x')\n", "cannot be loaded from flux_canon:render: SystemError: x"),
        ("def render(\n", "cannot be loaded from flux_canon:render: SyntaxError"),
        ("def render(project):\n    raise KeyError('bucket')\n", "failed: KeyError: 'bucket'"),
        ("def render(project, more):\n    pass\n", "failed: TypeError"),
        ("render = 3\n", "failed: TypeError: 'int' object is not callable"),
        ("def render(project):\n    return None\n", "failed: TypeError"),
        ("def render(project):\n    yield 1\n    1 / 0\n", "failed: ZeroDivisionError"),
        ("def render(project):\n    return ['a.yaml']\n", "gave 'a.yaml', which is no RenderedFile"),
        (GOOD.replace("flux/list.yaml", "../list.yaml"), "gave the path '../list.yaml', outside of the repository"),
        (GOOD.replace("flux/list.yaml", "/srv/list.yaml"), "gave the path '/srv/list.yaml', outside of the repository"),
        (GOOD.replace("flux/list.yaml", ".git/hooks/post-commit"), "gave the path '.git/hooks/post-commit', outside of the repository or in .git"),
        (GOOD.replace("flux/list.yaml", "dvc.yaml"), "and `flux` (flux-canon) both generate dvc.yaml; uninstall one of them"),
    ],
)  # fmt: skip
def test_an_adapter_that_goes_wrong_is_named(
    project: Path, install: Install, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.syspath_prepend(install(code)["PYTHONPATH"])
    monkeypatch.delitem(sys.modules, "flux_canon", raising=False)
    with pytest.raises(CanonError, match=re.escape("`flux` (flux-canon)")) as caught:
        render_project(load_project(project))
    assert said in str(caught.value)


def test_a_failure_of_an_adapter_is_one_message_and_changes_nothing(project: Path, install: Install, run: Run) -> None:
    done = run(project, "canon", "render", env=install("def render(project):\n    raise KeyError('bucket')\n"), code=1)
    assert "the adapter `flux` (flux-canon) failed: KeyError: 'bucket'" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert sorted(path.name for path in project.iterdir()) == [
        ".dvc",
        ".dvcignore",
        ".git",
        "pipelines",
        "pyproject.toml",
        "samples",
    ]


def test_two_adapters_of_others_that_claim_one_file_are_both_named(project: Path, install: Install, run: Run) -> None:
    sites = [install(GOOD, name, module)["PYTHONPATH"] for name, module in (("flux", "flux_canon"), ("alpha", "alpha_tool"))]  # fmt: skip
    done = run(project, "canon", "render", env={"PYTHONPATH": os.pathsep.join(sites)}, code=1)
    assert "the adapters `alpha` (alpha-tool) and `flux` (flux-canon) both generate flux/list.yaml" in done.stderr


def test_a_debugged_adapter_shows_where_it_failed(project: Path, install: Install, run: Run) -> None:
    env = install("def render(project):\n    raise KeyError('bucket')\n")
    done = run(project, "canon", "--debug", "render", env=env, code=1)
    assert "flux_canon.py" in done.stderr
    assert "KeyError: 'bucket'" in done.stderr
