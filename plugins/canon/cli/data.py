"""`canon data pin`, `canon data get`, `canon profile`: which content is meant, and how it comes here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from canon.cli.complete import complete_dataset, complete_profile
from canon.cli.console import Transfer, put, put_json, put_table, say
from canon.model.errors import CanonError, listed
from canon.model.project import load_project
from canon.model.root import find_root

data_app = typer.Typer(help="Pin datasets, and bring them.", no_args_is_help=True)
DatasetArgument = Annotated[
    list[str] | None,
    typer.Argument(
        help="DATASET or PIPELINE/DATASET; all by default.", show_default=False, autocompletion=complete_dataset
    ),
]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="Files at once.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


@data_app.command()
def pin(
    datasets: DatasetArgument = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="The profile whose source is pinned; the workspace's by default.", autocompletion=complete_profile
        ),
    ] = None,
    jobs: JobsOption = 4,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read the sources, write nothing.")] = False,
    json_: JsonOption = False,
) -> None:
    """Read each source once and write the hashes of its content to the pins file."""
    from canon.datasets import pin_datasets

    root = find_root(Path.cwd())
    pinned = pin_datasets(
        load_project(root),
        datasets or (),
        profile,
        jobs=jobs,
        write=not dry_run,
        progress=lambda label: Transfer(label, quiet=json_),
    )
    if json_:
        put_json([{"dataset": f"{item.pipeline}/{item.dataset}", "profile": item.profile, "changed": item.changed, "uri": item.source.uri,
                   **item.pin.model_dump(exclude_none=True)} for item in pinned])  # fmt: skip
        return
    put_table(("dataset", "profile", "bytes", "sha256", ""), [
        (f"{item.pipeline}/{item.dataset}", item.profile, item.pin.size, item.pin.sha256[:12], "changed" if item.changed else "as it was") for item in pinned
    ])  # fmt: skip


@data_app.command()
def get(
    datasets: DatasetArgument = None,
    jobs: JobsOption = 4,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be brought, bring nothing.")] = False,
    json_: JsonOption = False,
) -> None:
    """Bring pinned data to its path, and verify every byte; what is there and right is not moved."""
    from canon.datasets import get_datasets

    root = find_root(Path.cwd())
    brought = get_datasets(
        load_project(root),
        datasets or (),
        jobs=jobs,
        write=not dry_run,
        progress=lambda label: Transfer(label, quiet=json_),
    )
    if json_:
        put_json([{"dataset": name, "path": path, "moved": moved} for name, path, moved in brought])
        return
    for name, path, moved in brought:
        put(
            f"{name}: {path} {('would be brought' if dry_run else 'brought and verified') if moved else 'is there already'}"
        )


def profile_command(
    name: Annotated[str, typer.Argument(help="The profile to apply.", metavar="NAME", autocompletion=complete_profile)],
    into: Annotated[
        Path | None,
        typer.Option("--into", help="Make a workspace of its own there: a Git worktree that shares DVC's cache."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, change nothing.")] = False,
    json_: JsonOption = False,
) -> None:
    """Apply a profile to a workspace: its pins become the current ones, its overlay goes into the params files."""
    from canon.workspaces.profiles import apply, check_profile, one_at_a_time, recover

    root = find_root(Path.cwd())
    left_out: tuple[str, ...] = ()
    if into is not None:
        from canon.workspaces.saved import add_workspace

        if dry_run:
            raise CanonError("--dry-run with --into: there would be nothing to look at; leave one of them out")
        project = load_project(root)
        check_profile(project, name)
        target = Path(os.path.abspath(into))  # noqa: PTH100  links stay as they were written
        applied, left_out = add_workspace(project, target, name)
    else:
        target = root
        with one_at_a_time(root):
            if recover(root, write=not dry_run):
                say("canon: an interrupted change of profiles was taken back")
            applied = apply(load_project(root), name, write=not dry_run)
    if left_out:
        say(f"canon: not committed, so not in {target}: {listed(left_out)}")
    if json_:
        put_json(
            {"profile": name, "workspace": str(target), "changed": list(applied.changed), "left_out": list(left_out)}
        )
        return
    for path in applied.changed:
        put(path)
    say(
        f"canon: {target} {'would have' if dry_run else 'has'} the profile `{name}`; "
        + ("run `dvc repro` there" if into else "run `dvc repro`")
    )


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(data_app, name="data")
    app.command("profile")(profile_command)
