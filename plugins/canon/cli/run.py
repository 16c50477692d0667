"""`canon run`: the pipeline, independent stages side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canon.cli.complete import complete_pipeline
from canon.cli.console import put_json, put_table, say
from canon.model.errors import CanonError, listed
from canon.model.project import Project, load_project
from canon.model.root import find_root

if TYPE_CHECKING:
    from canon.running.run import Ran


def run(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME] [TARGET]…",
            help="The pipeline, which may be left out where there is one, and stages of it: they and what they need.",
            show_default=False,
            autocompletion=complete_pipeline,
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, help="Most stages at once; 0: as many as there are cores.")
    ] = 0,
    pull: Annotated[
        bool, typer.Option("--pull", help="Take from the remote what is missing, the run-cache too.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Run all, also what did not change.")] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", "-k", help="After a failure run all that does not depend on it.")
    ] = False,
    render: Annotated[
        bool, typer.Option("--render", help="Write the generated files first, as `canon render`.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, run nothing.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Run what changed, as `dvc repro` would, independent stages side by side. A failing stage's exit code is the command's."""
    from canon.cli.run_lines import Lines
    from canon.dvc.reproduction.stages import Options
    from canon.running.run import Asked, choose, foresee, run_pipeline

    root = find_root(Path.cwd())
    project = load_project(root)
    pipeline, targets = choose(project, words or ())
    _check_rendered(project, render=render and not dry_run)
    asked = Asked(pipeline, targets, jobs, keep_going, Options(force=force, pull=pull))
    if dry_run:
        foreseen = foresee(project, asked, say)
        if json_:
            put_json(
                {"pipeline": pipeline.name, "stages": [{"stage": each.stage, "does": each.does} for each in foreseen]}
            )
        else:
            put_table(("stage", ""), ((each.stage, each.does) for each in foreseen))
        return
    lines = Lines(say)
    ran = run_pipeline(project, asked, lines.tell, say)
    lines.close(ran.events)
    if json_:
        put_json(_document(root, pipeline.name, ran))
    if ran.interrupted is not None:
        say("canon: interrupted; what has finished is kept")
    if ran.code:
        raise typer.Exit(ran.code)


def _check_rendered(project: Project, *, render: bool) -> None:
    """Raise CanonError where generated files are not what the declarations say; with ``render`` write them."""
    from canon.adapters import render_project
    from canon.output.files import changed_files, foreign_files, write_files

    files = render_project(project)
    changed = [file.path for file in changed_files(project.root, files)]
    if not changed:
        return
    if not render:
        raise CanonError(f"{listed(changed)}: stale; run `canon render`, or say --render")
    if foreign := foreign_files(project.root, files):
        raise CanonError(
            f"{listed(foreign)} was not written by Canon, and would be overwritten; see `canon render --force`"
        )
    for path in write_files(project.root, files):
        say(f"canon: rendered {path}")


def _document(root: Path, name: str, ran: Ran) -> dict[str, Any]:
    from canon.running.run import log_of

    return {
        "pipeline": name,
        "code": ran.code,
        "stages": [
            {
                "stage": event.stage,
                "state": event.state.value,
                "seconds": round(event.took, 3),
                "code": event.code,
                "why": event.why,
                "log": log_of(root, event),
                "metrics": dict(event.metrics),
            }
            for event in ran.events.values()
        ],
        "warnings": list(ran.trespasses),
    }


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)
