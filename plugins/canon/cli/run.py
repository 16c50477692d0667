"""`canon run`: the pipeline, independent stages side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from canon.cli.complete import complete_pipeline, complete_profile
from canon.cli.console import put, put_json, say
from canon.cli.running import Flags, put_foreseen, run_here
from canon.model.errors import UsageError
from canon.model.root import find_root


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
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set-param",
            "-S",
            metavar="[FILE:]KEY=VALUE",
            help="Set a param, in a workspace of its own: the result is a DVC experiment.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="Run with another profile, in a workspace of its own: the result is a DVC experiment.",
            show_default=False,
            autocompletion=complete_profile,
        ),
    ] = None,
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="With -S or --profile: leave out what is not committed.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Run again whenever an input changes.")] = False,
    logs: Annotated[
        bool, typer.Option("--logs", help="Show what the stages print, with their names before it.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, run nothing.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Run what changed, as `dvc repro` would, independent stages side by side. A failing stage's exit code is the command's."""
    root, flags = find_root(Path.cwd()), Flags(jobs, pull, force, keep_going, render, logs)
    apart = bool(settings) or profile is not None
    if (apart or watch) and dry_run:
        raise UsageError("--dry-run says what would run in this checkout, once; leave out -S, --profile and --watch")
    if watch and (apart or json_ or force):
        raise UsageError("--watch runs in this checkout what changed; leave out -S, --profile, --json and --force")
    if allow_dirty and not apart:
        raise UsageError("--allow-dirty is about a workspace of its own; add -S or --profile")
    if dry_run:
        put_foreseen(root, words or (), flags, json_=json_)
    elif watch:
        _watch(root, words or [], flags)
    elif apart and not _is_here(root, profile, settings):
        _elsewhere(root, words or [], profile, settings or [], flags, allow_dirty=allow_dirty, json_=json_)
    else:
        run_here(root, words or (), flags, json_=json_)


def _is_here(root: Path, profile: str | None, settings: list[str] | None) -> bool:
    """Tell whether a profile is the one that the workspace has anyway."""
    from canon.model.project import load_project
    from canon.workspaces.profiles import applied_profile

    return not settings and applied_profile(load_project(root)) == profile


def _elsewhere(
    root: Path,
    words: list[str],
    profile: str | None,
    settings: list[str],
    flags: Flags,
    *,
    allow_dirty: bool,
    json_: bool,
) -> None:
    from canon.model.project import load_project
    from canon.running.apart import run_elsewhere
    from canon.running.run import choose
    from canon.workspaces.profiles import applied_profile, check_profile

    project = load_project(root)
    pipeline, targets = choose(project, words)
    if targets:
        raise UsageError("-S and --profile make a result of the whole pipeline; leave out the targets")
    wanted = profile or applied_profile(project)
    check_profile(project, wanted)
    apart = run_elsewhere(project, pipeline.name, wanted, settings, flags.arguments(), say, allow_dirty=allow_dirty)
    if json_:
        from canon.cli.results import as_json

        put_json({"experiment": apart.experiment.name, "commit": apart.experiment.commit, **as_json(apart.tracked)})
    else:
        say(f"canon: `dvc exp apply {apart.experiment.name}` brings it into this workspace")
        put(apart.experiment.name)


def _watch(root: Path, words: list[str], flags: Flags) -> None:
    """Each run is a command of its own: what one has read of DVC's files is not believed by the next."""
    import os
    import sys

    from canon.model.project import load_project
    from canon.processes import run_interruptible
    from canon.running.run import choose
    from canon.running.watch import watch

    pipeline, _ = choose(load_project(root), words)
    command = [sys.executable, "-m", "canon", "run", *words, *flags.arguments()]
    watch(root, pipeline.name, lambda: run_interruptible(command, root, os.environ), say)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)
