"""`canon submit`: a commit as a workflow in the cluster."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canon.cli.complete import complete_pipeline, complete_profile
from canon.cli.console import put, put_json, say
from canon.model.errors import CanonError, UsageError, listed
from canon.model.root import find_root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from canon.argo.server import ArgoServer, Created
    from canon.model.tasks import Task
    from canon.workflows.submit import Submission


def submit(
    name: Annotated[str, typer.Argument(help="The pipeline.", autocompletion=complete_pipeline)],
    profile: Annotated[
        str | None,
        typer.Option(
            help="The profile to run in; by default the only one with a namespace.",
            show_default=False,
            autocompletion=complete_profile,
        ),
    ] = None,
    rev: Annotated[
        str | None,
        typer.Option(help="A commit, branch or tag; by default HEAD. It must be pushed.", show_default=False),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--set-param",
            "-S",
            metavar="[FILE:]KEY=VALUE",
            help="Run with another value of a param; as often as needed.",
            show_default=False,
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run all stages anew, whatever is known already.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show the stages until the workflow has ended.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the manifest, submit nothing.")] = False,
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Submit HEAD, and leave out what is not committed.")
    ] = False,
    server: Annotated[
        str | None,
        typer.Option(
            help="Argo Server, HOST:PORT or a URL; else ARGO_SERVER, else `argo` of the profile.", show_default=False
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Run a pushed commit in the cluster, by its template there, or with stages of its own where the branch has others."""
    from canon.output.yaml import format_yaml
    from canon.workflows.submit import Order, build_submission, prepared

    if dry_run and watch:
        raise UsageError("--dry-run submits nothing that --watch could show; leave one out")
    order = Order(name, profile, rev, tuple(options or ()), fresh, allow_dirty)
    with prepared(find_root(Path.cwd()), order, say) as ready:
        argo = connected(server, ready.declared.server, required=not dry_run)
        submission = build_submission(ready, argo, say)
    if dry_run:
        from canon.manifests.text import readable

        manifest = submission.manifest
        put_json(manifest) if json_ else put(format_yaml(readable(manifest), width=1000).rstrip("\n"))
        return
    assert argo is not None  # noqa: S101  it was required
    created = submit_and_say(argo, submission, json_=json_)
    if watch:
        raise typer.Exit(watch_to_its_end(argo, created, task_rows(submission.tasks)))


def connected(flag: str | None, setting: str | None, *, required: bool) -> ArgoServer | None:
    """Argo Server, by what says where it is. Raises CanonError where nothing does."""
    from canon.argo.address import find_address
    from canon.argo.server import ArgoServer

    address = find_address(flag, os.environ, setting)
    if address is None:
        if required:
            raise CanonError(
                'no Argo Server is named; give --server, set ARGO_SERVER, or add `argo = "https://HOST"` to the profile on the declared branch'
            )
        return None
    for warning in address.warnings:
        say(f"canon: {warning}")
    return ArgoServer(address)


def submit_and_say(argo: ArgoServer, submission: Submission, *, json_: bool) -> Created:
    """Submit a workflow, and print its name."""
    from canon.workflows.watch import check_accepted

    created = argo.create(submission.site.namespace, submission.manifest)
    if json_:
        put_json({**asdict(created), "revision": submission.commit})
    else:
        put(created.name)
    say(f"canon: {submission.commit[:12]} is submitted: {created.link}")
    if submission.is_own:
        check_accepted(argo, created)
    return created


def task_rows(tasks: Sequence[Task]) -> list[tuple[str, str]]:
    """What is shown of a workflow: `plan`, its stages, `deliver`."""
    from canon.argo.status import task_path
    from canon.model.cluster import DELIVER, PLAN

    stages = [(task_path(task.name), listed(task.stages, 3)) for task in tasks]
    return [(PLAN, PLAN), *stages, (DELIVER, DELIVER)]


def watch_to_its_end(argo: ArgoServer, created: Created, rows: Sequence[tuple[str, str]]) -> int:
    """Show a workflow until it has ended; return the exit code for that. Ctrl-C ends the watching, not the workflow."""
    from canon.cli.live import Lines, Table
    from canon.cli.tables import shows_tables
    from canon.model.cluster import DELIVER
    from canon.workflows.watch import check_reference, watch_command, watched

    def tail(pod: str, container: str, lines: int) -> Sequence[str]:
        return argo.tail(created.namespace, created.name, pod, container, lines)

    view: Any = Table(rows, tail, created.name) if shows_tables() else Lines(rows, tail)
    found = None
    try:
        with view:
            for found in watched(argo, created):
                view.show(found)
    except KeyboardInterrupt:
        say(
            f"canon: {created.name} goes on; `{watch_command(created)}` shows it, `argo stop -n {created.namespace} {created.name}` ends it"
        )
        return 130
    assert found is not None  # noqa: S101  it has ended
    check_reference(found, created)
    delivered = found.tasks.get(DELIVER)
    for name, text in delivered.told.items() if delivered else ():
        say(f"{name}: {text}")
    if found.exit_code:
        say(
            f"canon: {created.name} has ended: {found.phase.lower()}{f': {found.message}' if found.message else ''}; {created.link}"
        )
    return found.exit_code


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(submit)
