"""What the scan of imports cannot read is said, not passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from canon.checks.imports import Scan
from tests.unit.checks.scans import plant, scan_command

UNREAD: dict[str, tuple[str | bytes, str]] = {
    "syntax": ("import b\ndef f(:", "a.py: what it imports is not looked at: not Python"),
    "encoding": (b"import b\nx = '\xff'", "a.py: "),
    "null bytes": (b"import b\0", "a.py: "),
    "no text": ("# coding: nothing\nimport b", "a.py: "),
    "nested": ("x = " + "-" * 100_000 + "1", "a.py: "),
    "nested operators": ("x = " + "1+" * 10_000 + "1", "a.py: "),
    "dynamic": ("import importlib, sys\nimportlib.import_module(sys.argv[1])", "a.py:2: "),
    "dynamic, formatted": ("from importlib import import_module\nx = 1\nimport_module(f'p.{x}')", "a.py:3: "),
    "dynamic, relative": ("import importlib\nimportlib.import_module('.a', __package__)", "a.py:2: "),
    "dynamic, arguments": ("import importlib\nimportlib.import_module(*x)", "a.py:2: "),
    "__import__": ("name = 'b'\n__import__(name)", "a.py:2: "),
    "handed on": ("from importlib import import_module\nlist(map(import_module, ['b']))", "a.py:2: "),
    "run_path": ("import runpy, sys\nrunpy.run_path(sys.argv[1])", "a.py:2: "),
    "run_module": ("from runpy import run_module as run\nrun('b')", "a.py:2: "),
    "loader": ("from importlib.machinery import SourceFileLoader as L\nL('b', x)", "a.py:2: "),
    "sys.path": ("import sys\nsys.path.insert(0, 'lib')", "a.py:2: which modules are found by `sys.path`"),
    "sys.path set": ("import sys as s\ns.path[:0] = ['lib']", "a.py:2: "),
    "sys.path added": ("from sys import path\npath += ['lib']", "a.py:2: "),
    "__path__": ("__path__ = []", "a.py:1: "),
    "exec": ("exec(open('b.py').read())", "a.py:1: "),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_cannot_be_read_in_a_file_is_said(name: str, tmp_path: Path) -> None:
    text, expected = UNREAD[name]
    (tmp_path / "m.py").write_text("import a")
    (tmp_path / "a.py").write_bytes(text if isinstance(text, bytes) else text.encode())
    scan = scan_command(tmp_path, "python m.py")
    assert scan.files == {"m.py", "a.py"}
    (said,) = scan.unread
    assert said.startswith(expected)


NOT_HERE = "is not in the repository: what it"
COMMANDS: dict[str, tuple[set[str], set[str]]] = {
    "python gone.py": (set(), {f"gone.py {NOT_HERE} does is not looked at"}),
    "cd sub && python gone.py": (set(), {f"sub/gone.py {NOT_HERE} does is not looked at"}),
    "python -m gone.train": (set(), {f"the module gone.train {NOT_HERE} imports is not looked at"}),
    "python -m p.gone": ({"p/__init__.py"}, {f"the module p.gone {NOT_HERE} imports is not looked at"}),
    "python -m colorsys.gone": (
        {"colorsys/__init__.py"},
        {f"the module colorsys.gone {NOT_HERE} imports is not looked at"},
    ),
    "python -m p": ({"p/__init__.py"}, {f"the module p {NOT_HERE} imports is not looked at"}),
    "uvicorn gone:app": (set(), {f"the module gone {NOT_HERE} imports is not looked at"}),
    "bash run.sh": ({"run.sh"}, {"run.sh: what it does is not looked at"}),
    "./run.sh": ({"run.sh"}, {"run.sh: what it does is not looked at"}),
    "Rscript fit.R": ({"fit.R"}, {"fit.R: what it does is not looked at"}),
    "papermill n.ipynb out.ipynb": ({"n.ipynb"}, {"n.ipynb: what it does is not looked at"}),
    "dbt build": (set(), {"`dbt`: what it starts and imports is not looked at"}),
    "pytest tests": (set(), {"`pytest`: what it starts and imports is not looked at"}),
    "python -m pip install x && mkdir -p y && python -m json.tool z": (set(), set()),
    "python -m unittest a": (set(), {f"the module unittest {NOT_HERE} imports is not looked at"}),
    "python m.py": (
        {"c.abi3.so", "m.py"},
        {"c.abi3.so: compiled, what it imports is not looked at"},
    ),
}


@pytest.mark.parametrize("cmd", COMMANDS)
def test_what_cannot_be_read_in_a_command_is_said(cmd: str, tmp_path: Path) -> None:
    texts = {"m.py": "import c", "p/__init__.py": "", "colorsys/__init__.py": ""}
    root = plant(tmp_path, texts | dict.fromkeys(("run.sh", "fit.R", "n.ipynb", "c.abi3.so"), ""))
    assert scan_command(root, cmd) == Scan(*map(frozenset, COMMANDS[cmd]))


def test_a_command_with_half_a_character_is_survived(tmp_path: Path) -> None:
    (said,) = scan_command(tmp_path, "python -c 'x = \"\ud800\"'").unread
    assert said.startswith("python -c: ")


def test_a_pyproject_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    root = plant(tmp_path, {"pyproject.toml": "[project", "a.py": ""})
    scan = scan_command(root, "python a.py")
    assert scan.files == {"a.py"}
    assert [note.partition(":")[0] for note in scan.unread] == ["pyproject.toml"]


@pytest.mark.parametrize(
    "text",
    [
        "project = 1",
        "tool = []",
        "[tool]\nsetuptools = 3\npoetry = 'x'\nhatch = [1]",
        "[tool.setuptools]\npackage-dir = ['x']\n[tool.poetry]\npackages = ['x', {include = 1}]\nscripts = 3",
        "[project.scripts]\na = 1\nb = ['x']\n[tool.poetry.scripts]\nc = {x = 1}",
        "[tool.hatch.build]\npackages = [1, '', '/x', '../x']\nsources = {a = 'b'}",
    ],
)
def test_any_pyproject_is_survived(text: str, tmp_path: Path) -> None:
    root = plant(tmp_path, {"pyproject.toml": text, "a.py": "import z"})
    assert scan_command(root, "python a.py; a; b; c").files == {"a.py"}
