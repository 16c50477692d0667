"""`canon experiment save`: a workspace's result as a DVC experiment."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from canon.cli.complete import complete_pipeline
from canon.cli.console import put, put_json, say
from canon.model.errors import listed
from canon.model.project import load_project
from canon.model.root import find_root

experiment_app = typer.Typer(help="Results as DVC experiments.", no_args_is_help=True)


@experiment_app.callback()
def _group() -> None:
    """Keep `save` a command of its own while it is the only one."""


@experiment_app.command()
def save(
    pipeline: Annotated[
        str | None,
        typer.Argument(
            help="Whose result names the experiment; needed when there are several.",
            show_default=False,
            autocompletion=complete_pipeline,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name; by default <pipeline>-<profile>-<8 digits of the result>.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace another experiment of that name.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be saved, save nothing.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Save what the workspace holds as a DVC experiment, by plain Git: no data is needed."""
    from canon.workspaces.saved import save_workspace

    saved, left_out = save_workspace(load_project(find_root(Path.cwd())), pipeline, name, force=force, dry_run=dry_run)
    if left_out:
        say(f"canon: neither committed nor part of the experiment: {listed(left_out)}; `git add` what belongs to it")
    if json_:
        put_json({**asdict(saved), "dry_run": dry_run})
        return
    put(saved.name)
    say(f"canon: {'would save' if dry_run else 'saved' if saved.created else 'already saved'} on {saved.baseline[:12]}; "
        f"`dvc exp push REMOTE {saved.name}` shares it, `dvc exp apply {saved.name}` takes it")  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(experiment_app, name="experiment")
