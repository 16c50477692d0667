"""`canon status`: what is declared, held against what runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canon.cli.complete import complete_pipeline
from canon.cli.console import put_json, put_table, say
from canon.model.errors import printable
from canon.model.project import load_project
from canon.model.root import find_root

if TYPE_CHECKING:
    from canon.argocd.live_objects import Application
    from canon.argocd.status import Row

COLUMNS = ("environment", "release", "declared", "sync", "health", "revision", "running", "", "why")


def status(
    name: Annotated[str, typer.Argument(help="The pipeline.", autocompletion=complete_pipeline)],
    kubeconfig: Annotated[
        Path | None,
        typer.Option(help="How the cluster is reached; by default as kubectl does.", show_default=False),
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="A context of the kubeconfig; by default its current one.", show_default=False)
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Take the releases of this checkout, not those of the remote.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Hold what was released against what runs: Argo CD's word and the digests of the pods. Exits 1 on drift, and where something cannot be read."""
    from canon.argocd.live_connection import Reach
    from canon.deployments.live import load_declared, opened_cluster

    project = load_project(find_root(Path.cwd()))
    declared = load_declared(project, name, local=local)
    with opened_cluster(project, Reach(kubeconfig, context)) as opened:
        if not opened.connection.verified:
            say(
                f"canon: the certificate of {printable(opened.connection.host)} is not looked at (insecure-skip-tls-verify)"
            )
        rows = [opened.row(each) for each in declared]
    if json_:
        put_json({"pipeline": name, "environments": [_document(row) for row in rows]})
    else:
        put_table(COLUMNS, ([printable(cell) for cell in _cells(row)] for row in rows))
    if any(row.state in {"drift", "cannot tell"} for row in rows):
        raise typer.Exit(1)


def _cells(row: Row) -> tuple[str, ...]:
    from canon.argocd.status import short

    release, application = row.declared.release, row.live.application
    return (
        row.declared.environment,
        f"#{release.number}" if release else "",
        short(release.digest) if release else "",
        application.sync if application else "",
        application.health if application else "",
        application.revision[:12] if application else "",
        ", ".join(f"{number} of {short(digest)}" for digest, number in row.running),
        row.state,
        "; ".join(each.text for each in row.words),
    )


def _document(row: Row) -> dict[str, Any]:
    release, application = row.declared.release, row.live.application
    return {
        "environment": row.declared.environment,
        "namespace": row.declared.watches.namespace,
        "state": row.state,
        "why": [each.text for each in row.words],
        "release": {"number": release.number, "image": release.image, "digest": release.digest} if release else None,
        "head": row.declared.head,
        "application": _application(row.declared.application, application) if application else None,
        "running": [{"digest": digest or None, "pods": number} for digest, number in row.running],
        "pods": [
            {
                "name": pod.name,
                "replica_set": pod.replica_set or None,
                "image": pod.image,
                "digest": pod.digest or None,
                "ready": pod.is_ready,
                "trouble": pod.trouble or None,
            }
            for pod in row.live.pods
        ],
    }


def _application(name: str, application: Application) -> dict[str, Any]:
    return {
        "name": name,
        "sync": application.sync,
        "health": application.health,
        "revision": application.revision or None,
        "operation": application.operation or None,
    }


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)
