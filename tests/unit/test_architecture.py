"""The design's rules on modules, as a test: who may import whom, and what a command loads."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from canon.model.schema import build_schema
from tests.conftest import ROOT, Run

PACKAGE = ROOT / "plugins" / "canon"
TOOLS = ("dvc", "data", "argo", "mlflow", "argocd", "image")
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 300
LONG = {
    # file: most lines that it may have, and why
    "checks/commands.py": (330, "the options of the commands that start Python, as data"),
}


def module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path) -> Iterator[str]:
    """Every module that a file imports, inside functions too, for types too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


IMPORTS = {module_of(file): set(imports_of(file)) for file in FILES}


def inside(name: str, folder: str) -> bool:
    return name == folder or name.startswith(f"{folder}.")


def test_the_package_is_looked_at() -> None:
    assert {"canon.model.declaration", "canon.dvc.render", "canon.cli.main"} <= set(IMPORTS)
    assert "canon.output.yaml" in IMPORTS["canon.dvc.render"]


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tools_folder_imports_no_other_tools(tool: str) -> None:
    others = [f"canon.{other}" for other in TOOLS if other != tool]
    wrong = {
        (module, name)
        for module, names in IMPORTS.items()
        if inside(module, f"canon.{tool}")
        for name in names
        if any(inside(name, other) for other in others)
    }
    assert wrong == set()


def test_nothing_but_the_command_line_imports_the_command_line() -> None:
    wrong = {(module, name) for module, names in IMPORTS.items() for name in names if inside(name, "canon.cli")}
    assert {module for module, _ in wrong if not inside(module, "canon.cli")} == {"canon.__main__"}


def test_model_and_output_import_nothing_of_ours_but_each_other() -> None:
    wrong = {
        (module, name)
        for module, names in IMPORTS.items()
        if inside(module, "canon.model") or inside(module, "canon.output")
        for name in names
        if inside(name, "canon") and not inside(name, "canon.model") and not inside(name, "canon.output")
    }
    assert wrong == set()


PURE = {
    "canon.model": {"pydantic", "pydantic_core", "yaml", "canon"},
    "canon.output": {"yaml", "canon"},
}


@pytest.mark.parametrize("folder", PURE)
def test_model_and_output_need_pydantic_and_pyyaml_alone(folder: str) -> None:
    wanted = {name.partition(".")[0] for module, names in IMPORTS.items() if inside(module, folder) for name in names}
    assert wanted - set(sys.stdlib_module_names) <= PURE[folder]


DOES_IO = {
    *("os", "io", "shutil", "socket", "subprocess", "tempfile", "urllib", "http", "requests", "fsspec", "git", "sqlite3", "filelock"),
    *("mlflow", "dvc", "hera", "boto3", "threading", "time", "random", "canon.output.files.write_files", "canon.output.files.write_text"),
}  # fmt: skip
NOT_PURE = {
    # Which sources Git can hold decides the deps of a dataset's stage; templates are filled in from the files that they name;
    # what .dvcignore leaves out is no place for an out.
    "canon.dvc.render": {"canon.dvc.refusals", "canon.dvc.refusals.refusals", "canon.git", "canon.git.committable_files", "canon.dvc.resolve", "canon.dvc.resolve.has_templating", "canon.dvc.resolve.resolve_stages"},
    # Hera builds objects; what it could do with a server is left alone.
    "canon.argo.render": {"hera", "hera.workflows", "hera.workflows.models"},
}  # fmt: skip


@pytest.mark.parametrize(
    "module", [name for name in IMPORTS if name.rpartition(".")[2] in {"render", "record", "layers"}]
)
def test_rendering_and_recording_are_pure(module: str) -> None:
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        for name in IMPORTS[waiting.pop()] - NOT_PURE.get(module, set()):
            if (
                name in IMPORTS
                and name not in reached
                and not inside(name, "canon.model")
                and not inside(name, "canon.output")
            ):
                waiting.append(name)
            reached.add(name)
    assert {name for name in reached if any(inside(name, each) for each in DOES_IO)} == set()


def loaded_by(code: str, *roots: str) -> set[str]:
    """Which of ``roots`` a fresh interpreter has loaded after running some code."""
    script = (
        f"import sys, json\n{code}\njson.dump([name for name in {list(roots)!r} if name in sys.modules], sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stderr.splitlines()[-1]))


HEAVY = (
    "dvc",
    "mlflow",
    "hera",
    "fsspec",
    "git",
    "rich.table",
    "aiohttp",
    "botocore",
    "pandas",
    "numpy",
    "ruamel.yaml",
    "asyncio",
)


@pytest.mark.parametrize(
    "module", ["canon.model.project", "canon.output.files", "canon.cli.main", "canon.adapters", "canon.mlflow.context"]
)
def test_a_module_that_every_command_loads_loads_none_of_the_tools(module: str) -> None:
    """They cost 0.3 s (DVC), 0.5 s (Hera) and 1.3 s (MLflow)."""
    if module == "canon.mlflow.context":  # a plugin inside of MLflow
        assert loaded_by(f"import {module}", "dvc", "hera", "git") == set()
    else:
        assert loaded_by(f"import {module}", *HEAVY) == set()


def test_reading_and_writing_images_loads_neither_keys_nor_bills() -> None:
    """They cost 0.05 s (cryptography) and 0.1 s (CycloneDX)."""
    code = "import canon.image.layout, canon.image.append, canon.image.contents, canon.image.referrers"
    assert loaded_by(code, "cryptography", "cyclonedx", "packageurl", "license_expression", *HEAVY) == set()


RUN = """
import sys
from canon.cli.main import main
sys.argv = {argv!r}
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


@pytest.mark.parametrize(
    ("argv", "never"),
    [
        (["canon", "--version"], HEAVY),
        (["canon", "schema"], HEAVY),
        (["canon", "render", "--check"], ("mlflow", "hera", "aiohttp", "botocore")),
        (["canon", "check", "--json"], ("mlflow", "hera", "aiohttp", "botocore")),
        (["canon", "data", "pin", "--help"], ("mlflow", "hera", "dvc")),
        (["canon", "profile", "--help"], ("mlflow", "hera", "dvc")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_loads_only_the_tools_that_it_needs(argv: list[str], never: tuple[str, ...]) -> None:
    assert loaded_by(RUN.format(argv=argv), *never) == set()


def test_each_command_is_found_in_the_module_that_adds_it() -> None:
    """The command line loads the module of the command that is asked for, and no other."""
    import typer

    from canon.cli import main

    for module, names in main.COMMANDS.items():
        app = typer.Typer()
        importlib.import_module(f"canon.cli.{module}").register(app)
        own = [each.name or each.callback.__name__ for each in app.registered_commands if each.callback]
        assert {*own, *(each.name for each in app.registered_groups)} == set(names)
    adding = {file.stem for file in FILES if file.parent.name == "cli" and "\ndef register(" in file.read_text()}
    assert adding == set(main.COMMANDS)
    assert loaded_by(RUN.format(argv=["canon", "plan", "--help"]), "canon.cli.image", "canon.cli.data") == set()


def test_a_declaration_without_templates_is_rendered_without_dvc(tmp_path: Path, run: Run) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n')
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "a.yaml").write_text("name: a\nstages: {a: {cmd: x, outs: [o]}}\n")
    code = f"import os; os.chdir({str(tmp_path)!r})\n" + RUN.format(argv=["canon", "render"])
    assert loaded_by(code, "dvc", "ruamel.yaml", *HEAVY) == set()
    assert "canon track a" in (tmp_path / "dvc.yaml").read_text()
    assert run(tmp_path, "canon", "render").stderr == "canon: all generated files are up to date\n"


def test_a_file_holds_one_idea() -> None:
    """Past 300 lines, ask which second idea moved in."""
    lines = {file.relative_to(PACKAGE).as_posix(): len(file.read_text().splitlines()) for file in FILES}
    assert {name: count for name, count in lines.items() if count > LONG.get(name, (MOST_LINES,))[0]} == {}
    assert {name for name in LONG if lines.get(name, 0) <= MOST_LINES} == set(), (
        "short enough now: take it from the list"
    )


def test_a_file_says_what_it_is_for() -> None:
    silent = [file for file in FILES if file.read_text().strip() and not ast.get_docstring(ast.parse(file.read_text()))]
    assert silent == []


def test_the_entry_points_are_there_and_load() -> None:
    importlib.import_module("mlflow")  # it loads its plugins itself, and they load it
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for group, points in {**project["entry-points"], "console_scripts": project["scripts"]}.items():
        installed = {
            point.name: point for point in entry_points(group=group) if point.dist and point.dist.name == "canon-ml"
        }
        assert {name: point.value for name, point in installed.items()} == points
        for value in points.values():
            module, _, name = value.partition(":")
            assert callable(getattr(importlib.import_module(module), name))


def test_what_others_build_on_is_exported_where_it_is_documented() -> None:
    """An adapter, ours or another's, is written against these names."""
    import canon
    from canon.adapters import GROUP, Adapter, render_project
    from canon.model.errors import CanonError, Problem, ProblemsError, UsageError
    from canon.model.project import Pipeline, Project, load_project
    from canon.output.files import RenderedFile
    from canon.output.yaml import format_yaml, load_yaml

    assert canon.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert GROUP == "canon.adapters"
    assert issubclass(ProblemsError, CanonError)
    assert issubclass(UsageError, CanonError)
    assert all(
        map(
            callable,
            (Adapter, render_project, load_project, format_yaml, load_yaml, RenderedFile, Project, Pipeline, Problem),
        )
    )
    assert (PACKAGE / "py.typed").exists()


def test_the_committed_json_schema_is_what_the_command_prints(run: Run) -> None:
    printed = run(ROOT, "canon", "schema").stdout
    assert (ROOT / "pipelines" / "pipeline.schema.json").read_text() == printed
    assert json.loads(printed) == build_schema()
    assert json.loads(run(ROOT, "canon", "schema", "--settings").stdout) == build_schema(settings=True)
