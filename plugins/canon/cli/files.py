"""`canon check`, `canon render`, `canon schema`: what is declared, and the files that are made from it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from canon.cli.console import put, put_json, say
from canon.model.errors import CanonError, listed
from canon.model.project import load_project
from canon.model.root import find_root

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def check(json_: JsonOption = False) -> None:
    """Find everything that can be wrong, without running anything."""
    from canon.checks.project import check_project

    root = find_root(Path.cwd())
    problems = check_project(root)
    errors = [problem for problem in problems if problem.severity == "error"]
    if json_:
        put_json({"ok": not errors, "problems": [asdict(problem) for problem in problems]})
    else:
        for problem in problems:
            say(f"{problem.severity}: {problem}")
        if not errors:
            put(f"ok: {len(problems)} to know" if problems else "ok")
        else:
            say(f"canon: {len(errors)} {'error' if len(errors) == 1 else 'errors'}")
    if errors:
        raise typer.Exit(1)


def render(
    check_only: Annotated[
        bool, typer.Option("--check", help="Write nothing: print what would change, exit 1 if anything does.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Overwrite a dvc.yaml that Canon did not write, too.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Write the files that are generated from the declarations; only what changed."""
    from canon.adapters import render_project
    from canon.dvc.render import needs_git
    from canon.git import check_repository, is_checkout
    from canon.output.files import changed_files, foreign_files, format_diff, write_files

    root = find_root(Path.cwd())
    project = load_project(root)
    if needs_git(project) and not is_checkout(root):
        check_repository(root)
    files = render_project(project)
    if check_only:
        changed = [file.path for file in changed_files(root, files)]
        if json_:
            put_json({"changed": changed})
        elif changed:
            put(format_diff(root, files).rstrip("\n"))
            say(f"canon: {', '.join(changed)}: stale; run `canon render`")
        if changed:
            raise typer.Exit(1)
        return
    foreign = () if force else foreign_files(root, files)
    if foreign:
        raise CanonError(
            f"{listed(foreign)} was not written by Canon, and would be overwritten; move what it says into the declaration, "
            "then run `canon render --force`"
        )
    written = write_files(root, files)
    if json_:
        put_json({"written": list(written), "files": [file.path for file in files]})
        return
    for path in written:
        put(path)
    if not written:
        say("canon: all generated files are up to date")


def schema(
    settings: Annotated[bool, typer.Option("--settings", help="The schema of [tool.canon] instead.")] = False,
) -> None:
    """Print the JSON Schema of a declaration, for editors."""
    from canon.model.schema import build_schema

    put_json(build_schema(settings=settings))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(check)
    app.command()(render)
    app.command()(schema)
