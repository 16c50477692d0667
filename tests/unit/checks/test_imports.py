"""What the scan of imports finds is what Python imports."""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canon.checks.imports import ImportScanner
from canon.checks.sources import Source, source_from_text
from tests.unit.checks.scans import plant, scan_command

# Writes down every file whose code is run, by the interpreter's own audit events, also with `-I` and `-E`.
PROBE = """
import os, sys
def note(event, arguments):
    if event == "exec":
        file = getattr(arguments[0], "co_filename", "")
    elif event == "cpython.run_file":
        file = arguments[0]
    else:
        return
    if file and not file.startswith("<"):
        with open(os.environ["RUN_FILES"], "ab", 0) as out:
            out.write(os.path.realpath(file).encode() + b"\\n")
sys.path += filter(None, os.environ.get("INSTALLED", "").split(":"))
sys.addaudithook(note)
"""
Run = Callable[..., set[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a command with a Python that tells which files of the repository it really ran."""
    base = tmp_path_factory.mktemp("python")
    venv.create(base / "v", symlinks=True, with_pip=False)
    packages = next((base / "v" / "lib").glob("python*")) / "site-packages"
    (packages / "probe.py").write_text(PROBE)
    (packages / "probe.pth").write_text("import probe\n")
    told = base / "told"

    def really(
        root: Path, cmd: str, wdir: str = ".", installed: str = "", scripts: Mapping[str, str] | None = None
    ) -> set[str]:
        told.write_bytes(b"")
        for name, module in (scripts or {}).items():
            script = base / "v" / "bin" / name
            script.write_text(f"#!{base}/v/bin/python\nimport {module}\n{module}.main()\n")
            script.chmod(0o755)
        environment = {
            "PATH": f"{base}/v/bin:/usr/bin:/bin",
            "RUN_FILES": str(told),
            "PYTHONDONTWRITEBYTECODE": "1",
            "INSTALLED": str(root / installed) if installed else "",
        }
        subprocess.run(
            ["/bin/sh", "-c", cmd], cwd=root / wdir, env=environment, check=False, capture_output=True, timeout=60
        )
        inside = os.path.realpath(root) + "/"
        return {file.removeprefix(inside) for file in told.read_text().splitlines() if file.startswith(inside)}

    return really


def test_a_module_brings_its_packages_and_what_they_import(tmp_path: Path, run: Run) -> None:
    root = plant(
        tmp_path,
        {
            "pkg/__init__.py": "from . import settings",
            "pkg/settings.py": "",
            "pkg/sub/__init__.py": "",
            "pkg/sub/train.py": "import json\nfrom ..shared import *\nfrom . import steps\nfrom .steps import one\nimport other",
            "pkg/sub/steps/__init__.py": "from .one import one",
            "pkg/sub/steps/one.py": "one = 1",
            "pkg/sub/steps/two.py": "",
            "pkg/shared.py": "x = 1",
            "other.py": "import pkg.sub.train",
            "unused.py": "",
        },
    )
    scan = scan_command(root, "python -m pkg.sub.train --lr 1")
    assert not scan.unread
    assert scan.files == {
        "other.py",
        "pkg/__init__.py",
        "pkg/settings.py",
        "pkg/shared.py",
        "pkg/sub/__init__.py",
        "pkg/sub/steps/__init__.py",
        "pkg/sub/steps/one.py",
        "pkg/sub/train.py",
    }
    assert set(scan.files) == run(root, "python -m pkg.sub.train")


# Name: files, command, what the scan finds beyond what one run imports, and how it is run.
Case = tuple[dict[str, str], str, set[str], dict[str, object]]
CASES: dict[str, Case] = {
    "script": ({"s/a.py": "import b", "s/b.py": "", "b.py": ""}, "python s/a.py", set(), {}),
    "script of a package": ({"p/__init__.py": "", "p/a.py": "import b", "p/b.py": ""}, "python p/a.py", set(), {}),
    "module from a folder": ({"w/a.py": "import b", "w/b.py": "", "b.py": ""}, "python -m a", set(), {"wdir": "w"}),
    "cd": ({"w/a.py": "import b", "w/b.py": "", "b.py": ""}, "cd w && python -m a", set(), {}),
    "package": ({"p/__init__.py": "", "p/__main__.py": "from . import a", "p/a.py": ""}, "python -m p", set(), {}),
    "namespace's main": ({"p/__main__.py": "from . import a", "p/a.py": ""}, "python -m p", set(), {}),
    "folder": ({"d/__main__.py": "import a", "d/a.py": ""}, "python d", set(), {}),
    "code": ({"a.py": "import b", "b.py": ""}, "python -c 'import a'", set(), {}),
    "code in a folder": ({"w/a.py": ""}, "cd w; python -c 'from a import *'", set(), {}),
    "namespace": ({"n/m/a.py": "from n.k import b", "n/k/b.py": ""}, "python -m n.m.a", set(), {}),
    "namespace in two places": (
        {"x/n/a.py": "", "y/n/b.py": "", "m.py": "import n.a, n.b"},
        "PYTHONPATH=x:y python m.py",
        set(),
        {},
    ),
    "PYTHONPATH": ({"src/p/__init__.py": "", "src/p/a.py": "import b", "b.py": ""}, "PYTHONPATH=src python -m p.a", set(), {}),
    "PYTHONPATH exported": ({"src/a.py": "", "s/b.py": "import a"}, "export PYTHONPATH=src; python s/b.py", set(), {}),
    "PYTHONPATH with an empty entry": ({"a.py": "", "s/b.py": "import a"}, "PYTHONPATH=:x python s/b.py", set(), {}),
    "package before module": ({"a.py": "", "a/__init__.py": "", "m.py": "import a"}, "python m.py", set(), {}),
    "module before namespace": ({"a.py": "", "a/b.py": "", "m.py": "import a"}, "python m.py", set(), {}),
    "later module before namespace": (
        {"x/a/c.py": "", "y/a/__init__.py": "", "y/a/b.py": "", "m.py": "import a.b"},
        "PYTHONPATH=x:y python m.py",
        set(),
        {},
    ),
    "local before the standard library": ({"colorsys.py": "", "m.py": "import colorsys"}, "python m.py", set(), {}),
    "standard library before a namespace": ({"json/x.py": "", "m.py": "import json\nimport json.x"}, "python m.py", set(), {}),
    "what is loaded before a local file": ({"os.py": "", "time.py": "", "m.py": "import os, time"}, "python m.py", set(), {}),
    "console script of Poetry": (
        {"pyproject.toml": "[tool.poetry.scripts]\ntrain-it = 'p.cli:main'", "src/p/cli.py": "def main(): pass"},
        "train-it",
        set(),
        {"installed": "src", "scripts": {"train-it": "p.cli"}},
    ),
    "submodule by from": ({"p/__init__.py": "", "p/a.py": "", "m.py": "from p import a, b"}, "python m.py", set(), {}),
    "star and __all__": (
        {"p/__init__.py": "__all__ = ['a']\n__all__ += ['b']", "p/a.py": "", "p/b.py": "", "p/c.py": "", "m.py": "from p import *"},
        "python m.py",
        set(),
        {},
    ),
    "relative levels": (
        {"p/__init__.py": "", "p/q/__init__.py": "", "p/q/r/__init__.py": "", "p/q/r/a.py": "from ... import x\nfrom ..y import z",
         "p/x.py": "", "p/q/y.py": "z = 1", "x.py": ""},
        "python -m p.q.r.a",
        set(),
        {},
    ),
    "relative beyond the top": ({"p/__init__.py": "", "p/a.py": "from ... import x", "x.py": ""}, "python -m p.a", set(), {}),
    "relative in a script": ({"s/a.py": "from . import b", "s/b.py": ""}, "python s/a.py", set(), {}),
    "cycle": ({"a.py": "import b", "b.py": "import a"}, "python -m a", set(), {}),
    "import_module": (
        {"p/__init__.py": "", "p/a.py": "", "p/b.py": "", "p/c.py": "", "p/d.py": "",
         "p/m.py": "import importlib\nfrom importlib import import_module as load\nimport importlib as il\n"
         "importlib.import_module('p.a')\nload('.b', package='p')\nil.import_module('..c', 'p.x')\nload(name='p.d')"},
        "python -m p.m",
        set(),
        {},
    ),
    "__import__": ({"p/__init__.py": "", "p/a.py": "", "m.py": "__import__('p.a')"}, "python m.py", set(), {}),
    "a second try": (
        {"p/__init__.py": "", "p/m.py": "try:\n  from config import x\nexcept ImportError:\n  from .config import x", "p/config.py": "x = 1"},
        "python -m p.m",
        set(),
        {},
    ),
    "a chain": ({f"m{at}.py": f"import m{at + 1}" for at in range(60)}, "python m0.py", set(), {}),
    "resources": (
        {"p/__init__.py": "import q", "q.py": "", "a.py": "from importlib import resources\nresources.files('p')"},
        "python a.py",
        set(),
        {},
    ),
    "only type checkers": (
        {"a.py": "import typing as t\nfrom typing import TYPE_CHECKING, TYPE_CHECKING as TC\nif TYPE_CHECKING:\n  import b\n"
         "elif True:\n  import c\nif t.TYPE_CHECKING:\n  import b\nif TC:\n  import b\nelse:\n  import d",
         "b.py": "", "c.py": "", "d.py": ""},
        "python a.py",
        set(),
        {},
    ),
    "conditions, functions, exceptions": (
        {"a.py": "import os\nif os.environ.get('NO'):\n  import b\ntry:\n  import nothing\nexcept ImportError:\n  import c\n"
         "def f():\n  import d\nclass E:\n  import e\nwith open(__file__):\n  import g\nwhile False:\n  import h",
         **{f"{name}.py": "" for name in "bcdegh"}},
        "python a.py",
        {"b.py", "d.py", "h.py"},
        {},
    ),
    "main of another module": (
        {"a.py": "import b\nif __name__ == '__main__':\n  import c", "b.py": "if '__main__' == __name__:\n  import d\nelse:\n  import e",
         **{f"{name}.py": "" for name in "cde"}},
        "python a.py",
        set(),
        {},
    ),
    "several programs": ({"a.py": "", "b.py": "", "c.py": ""}, "python a.py && (python b.py | cat); sh -c 'python c.py'", set(), {}),
    "src layout": (
        {"setup.py": "", "src/p/__init__.py": "", "src/p/a.py": "", "s/m.py": "import p.a", "p.py": ""}, "python s/m.py", set(), {"installed": "src"}
    ),
    "hatch": (
        {"pyproject.toml": "[project]\nname = 'p'\n[tool.hatch.build.targets.wheel]\npackages = ['lib/p']", "lib/p/__init__.py": "", "s/m.py": "import p"},
        "python s/m.py",
        set(),
        {"installed": "lib"},
    ),
    "setuptools, where": (
        {"pyproject.toml": "[project]\nname = 'p'\n[tool.setuptools.packages.find]\nwhere = ['lib']", "lib/p/__init__.py": "", "s/m.py": "import p"},
        "python s/m.py",
        set(),
        {"installed": "lib"},
    ),
    "setuptools, package-dir": (
        {"pyproject.toml": "[project]\nname = 'p'\n[tool.setuptools.package-dir]\n'' = 'lib'", "lib/p/__init__.py": "", "s/m.py": "import p"},
        "python s/m.py",
        set(),
        {"installed": "lib"},
    ),
    "a package called src": (
        {"setup.py": "", "src/__init__.py": "", "src/a.py": "from src import b", "src/b.py": ""},
        "python src/a.py",
        set(),
        {"installed": "."},
    ),
    "flat layout": (
        {"pyproject.toml": "[project]\nname = 'p'", "p/__init__.py": "", "colorsys.py": "", "s/m.py": "import p, colorsys"},
        "python s/m.py",
        set(),
        {"installed": "."},
    ),
    "no project": ({"p/__init__.py": "", "s/m.py": "import p"}, "python s/m.py", set(), {}),
    "console script": (
        {"pyproject.toml": "[project]\nname = 'p'\n[project.scripts]\ntrain-it = 'p.cli:main [extra]'",
         "src/p/__init__.py": "", "src/p/cli.py": "from . import a\ndef main(): import p.b", "src/p/a.py": "", "src/p/b.py": "", "p.py": ""},
        "train-it --lr 1",
        set(),
        {"installed": "src", "scripts": {"train-it": "p.cli"}},
    ),
    "console script does not see the current folder": (
        {"pyproject.toml": "[project]\nname = 'p'\n[project.scripts]\ntrain-it = 'cli:main'", "src/cli.py": "import a\ndef main(): pass", "a.py": ""},
        "train-it",
        set(),
        {"installed": "src", "scripts": {"train-it": "cli"}},
    ),
    "latin-1 with a declaration": ({"a.py": "# -*- coding: latin-1 -*-\nimport b", "b.py": ""}, "python a.py", set(), {}),
    "byte order mark": ({"a.py": "\ufeffimport b", "b.py": ""}, "python a.py", set(), {}),
    "invalid escape": ({"a.py": "x = '\\d'\nimport b", "b.py": ""}, "python a.py", set(), {}),
    "identifiers": ({"a.py": "import größe", "größe.py": ""}, "python a.py", set(), {}),
    "twice under two names": ({"p/__init__.py": "", "p/a.py": "import b\nimport p.b", "p/b.py": ""}, "PYTHONPATH=. python p/a.py", set(), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_scan_is_what_python_imports(name: str, tmp_path: Path, run: Run) -> None:
    files, cmd, beyond, how = CASES[name]
    root = plant(tmp_path, files)
    for file in root.rglob("a*"):
        file.chmod(0o755)
    scan = scan_command(root, cmd, str(how.get("wdir", ".")))
    really = run(root, cmd, **how)
    assert set(scan.files) == really | beyond
    assert really


def test_links_are_read_under_the_file_s_own_name(tmp_path: Path, run: Run) -> None:
    root = plant(
        tmp_path / "repo",
        {"lib/p/__init__.py": "from . import a", "lib/p/a.py": "", "code/m.py": "import p\nimport n", "code/n.py": ""},
    )
    (root / "code" / "p").symlink_to("../lib/p")
    (root / "run.py").symlink_to("code/m.py")
    expected = {"code/m.py", "code/n.py", "lib/p/__init__.py", "lib/p/a.py"}
    assert set(scan_command(root, "python run.py").files) == expected == run(root, "python run.py")
    (tmp_path / "link").symlink_to(root)
    assert set(scan_command(tmp_path / "link", f"python {tmp_path}/link/run.py").files) == expected


def test_nothing_outside_is_read(tmp_path: Path) -> None:
    plant(tmp_path, {"out/a.py": "import b", "out/b.py": "", "c.py": "", "repo/m.py": "import a, q.b, c"})
    root = tmp_path / "repo"
    (root / "a.py").symlink_to("../out/a.py")
    (root / "q").symlink_to(tmp_path / "out")
    scan = scan_command(root, "python m.py")
    assert scan.files == {"m.py"}
    assert len(scan.unread) == 2
    for cmd in (
        "python a.py",
        "python ../c.py",
        f"python {tmp_path}/c.py",
        "cd .. && python c.py",
        "cd ..; python -m c",
        "PYTHONPATH=.. python -m c",
    ):
        scan = scan_command(root, cmd)
        assert not scan.files
        assert len(scan.unread) == 1
    assert not scan_command(root, "python -m c", "..").files


def test_the_nearest_project_s_script_counts(tmp_path: Path) -> None:
    root = plant(
        tmp_path,
        {
            "pyproject.toml": "[project.scripts]\nfit = 'outer:main'",
            "outer.py": "",
            "team/pyproject.toml": "[project.scripts]\nfit = 'inner:main'\n[tool.setuptools.packages.find]\nwhere = ['code']",
            "team/code/inner/__init__.py": "from . import a",
            "team/code/inner/a.py": "",
        },
    )
    assert scan_command(root, "fit").files == {"outer.py"}
    assert scan_command(root, "fit", "team").files == {"team/code/inner/__init__.py", "team/code/inner/a.py"}


def test_each_file_is_parsed_once_for_all_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = plant(
        tmp_path,
        {
            "p/__init__.py": "",
            "p/a.py": "from p import b, c",
            "p/b.py": "import p.c",
            "p/c.py": "",
            "s/d.py": "import p.c",
        },
    )
    parsed: list[str] = []

    def counted(text: bytes | str, place: str, *, main: bool) -> Source:
        parsed.append(place)
        return source_from_text(text, place, main=main)

    monkeypatch.setattr("canon.checks.imports.source_from_text", counted)
    scanner = ImportScanner(root)
    for number in range(50):
        assert len(scanner.scan(f"python -m p.a --n {number}").files) == 4
        assert len(scanner.scan(f"PYTHONPATH=. python s/d.py {number}").files) == 3
    assert sorted(parsed) == ["p/__init__.py", "p/a.py", "p/b.py", "p/c.py", "s/d.py"]


NAMES = ("a", "b", "c")
DOTTED = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(".".join)
STATEMENTS = st.one_of(
    DOTTED.map(lambda name: f"import {name}"),
    st.tuples(DOTTED, st.sampled_from((*NAMES, "*"))).map(lambda pair: f"from {pair[0]} import {pair[1]}"),
    st.tuples(st.integers(1, 3), st.one_of(st.just(""), DOTTED), st.sampled_from((*NAMES, "*")))
    .map(lambda three: f"from {'.' * three[0]}{three[1]} import {three[2]}"),
    DOTTED.map(lambda name: f"importlib.import_module('{name}')"),
    st.tuples(st.integers(1, 3), DOTTED).map(lambda pair: f"importlib.import_module('{'.' * pair[0]}{pair[1]}', 'a.b')"),
    DOTTED.map(lambda name: f"__import__('{name}')"),
)  # fmt: skip
MODULES = st.dictionaries(
    st.tuples(DOTTED, st.booleans()).map(
        lambda pair: f"{pair[0].replace('.', '/')}{'/__init__' if pair[1] else ''}.py"
    ),
    st.tuples(st.lists(STATEMENTS, max_size=3), st.lists(st.sampled_from(NAMES), max_size=2)),
    min_size=3,
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(modules=MODULES, data=st.data())
def test_any_tree_is_covered(
    modules: dict[str, tuple[list[str], list[str]]],
    data: st.DataObject,
    run: Run,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for path, (statements, exports) in modules.items():
        lines = [
            "import importlib, sys",
            "sys.setrecursionlimit(200)",
            f"__all__ = {exports}" if exports else "",
        ]
        for statement in statements:
            lines += ["try:", f"    {statement}", "except Exception: pass"]
        plant(root, {path: "\n".join(lines)})
    entry = data.draw(st.sampled_from(sorted(modules)))
    dotted = entry.removesuffix(".py").replace("/", ".")
    cmd = data.draw(st.sampled_from((f"python {entry}", f"python -m {dotted}", f"PYTHONPATH=a:. python {entry}")))
    scan = scan_command(root, cmd)
    really = run(root, cmd)
    assert really <= set(scan.files)
    assert set(scan.files) <= set(modules)
