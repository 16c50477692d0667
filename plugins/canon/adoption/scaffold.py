"""A small project that runs as it is: a line through points, in plain Python, from a CSV file to a model and its error."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable
from pathlib import Path

from canon.adapters import render_project
from canon.adoption.settings import TABLE
from canon.adoption.written import Edit
from canon.git import ignored_paths, is_checkout
from canon.model.errors import CanonError, listed
from canon.model.project import PIPELINES, load_project
from canon.model.root import SETTINGS_FILE
from canon.output.files import RenderedFile, load_text, write_files

STORED = ("mlflow.db", ".mlflow.db.lock", "mlartifacts/")
"""MLflow's local store, which lies beside the code."""
_HERE = Path(__file__).parent / "template"


def scaffold_files(root: Path, name: str) -> tuple[RenderedFile, ...]:
    """The files of the project, what `canon render` makes of them among them, without the settings. Nothing is written.

    Raises CanonError where one of them is there already: none is overwritten. Lines are added to .gitignore.
    """
    code = [
        RenderedFile(f"{PIPELINES}/{name}/{stage}.py", _template(f"{stage}.py", name)) for stage in ("prepare", "train", "evaluate")
    ]  # fmt: skip
    files = [
        *code,
        RenderedFile(f"params/{name}.yaml", _template("params.yaml", name)),
        RenderedFile(f"data/{name}.csv", _data()),
        # Behind what it names: whoever finds it finds all of it.
        RenderedFile(f"{PIPELINES}/{name}.yaml", _template("declaration.yaml", name)),
    ]
    files += _rendered(files)
    there = [file.path for file in files if load_text(root / file.path, file.path) not in {None, file.text}]
    if there:
        raise CanonError(
            f"{listed(there)}: there already, and nothing is overwritten; choose another name: `canon init --name NAME`"
        )
    return (_with_lines(root, (*STORED, "__pycache__/")), *files)


def _template(file: str, name: str) -> str:
    return (_HERE / f"{file}.txt").read_text(encoding="utf-8").replace("NAME", name)


def _data() -> str:
    """Points near the line y = 2 x + 1: the same ones everywhere."""
    rows = [f"{x},{2 * x + 1 + 3 * math.sin(7 * x):.2f}" for x in range(100)]
    return "\n".join(["x,y", *rows, ""])


def _rendered(files: list[RenderedFile]) -> tuple[RenderedFile, ...]:
    """What `canon render` makes of files that are not there yet: DVC fills in templates from files alone."""
    with tempfile.TemporaryDirectory(prefix="canon-init-") as folder:
        root = Path(folder)
        repository = RenderedFile(".dvc/config", "[core]\n    no_scm = True\n")
        write_files(root, [repository, RenderedFile(SETTINGS_FILE, TABLE), *files])
        return render_project(load_project(root))


def ignored_file(root: Path) -> tuple[RenderedFile, ...]:
    """The .gitignore of a project that is adopted, where MLflow's local store would be committed. Raises CanonError for a link."""
    stored = {line: f"{line}x" if line.endswith("/") else line for line in STORED}
    known = ignored_paths(root, set(stored.values())) if is_checkout(root) else stored.values()
    missing = [line for line, path in stored.items() if path not in known]
    return (_with_lines(root, missing),) if missing else ()


def _with_lines(root: Path, lines: Iterable[str]) -> Edit:
    if (root / ".gitignore").is_symlink():  # Git does not follow it, and it would be replaced
        raise CanonError(".gitignore is a link; replace it by what it points to, then run `canon init` again")
    was = load_text(root / ".gitignore", ".gitignore")
    text = was or ""
    missing = [line for line in lines if line not in text.splitlines()]
    between = "" if not text or text.endswith("\n") else "\n"
    return Edit(".gitignore", f"{text}{between}{''.join(f'{line}{chr(10)}' for line in missing)}", was=was)
