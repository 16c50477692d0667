"""`canon track`, `canon log`: results, and the rows that MLflow shows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from canon.cli.console import put, put_json, say
from canon.model.errors import CanonError
from canon.model.project import find_root, load_project

if TYPE_CHECKING:
    from canon.track import Tracked

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def track(
    pipeline: Annotated[str, typer.Argument(help="The pipeline that has just run.")],
    definition: Annotated[
        str, typer.Option(help="Hash of the stages that dvc.yaml was rendered from; another one is refused.")
    ] = "",
    json_: JsonOption = False,
) -> None:
    """Write the result of a pipeline and log it: what the generated last stage runs."""
    from canon.track import check_definition, send_spooled, track_pipeline

    project = load_project(find_root(Path.cwd()))
    chosen = project.pipeline(pipeline)
    check_definition(chosen, definition)
    tracked = track_pipeline(project, chosen, say)
    if not tracked.spooled:
        send_spooled(project, say)
    if json_:
        put_json(asdict(tracked))
    else:
        put(format_tracked(tracked))


def log(
    revision: Annotated[
        str | None,
        typer.Argument(
            metavar="[REV]", help="Commit, branch, tag or DVC experiment; the workspace by default.", show_default=False
        ),
    ] = None,
    pipeline: Annotated[
        list[str] | None, typer.Option("--pipeline", "-p", help="Only this pipeline.", show_default=False)
    ] = None,
    spooled: Annotated[bool, typer.Option("--spooled", help="Only send what was spooled.")] = False,
    json_: JsonOption = False,
) -> None:
    """Log results where their rows are missing, give rows their commit once it exists, send what was spooled."""
    from canon.git import check_repository, resolve_revision
    from canon.track import log_revision, log_workspace, send_spooled, settle

    project = load_project(find_root(Path.cwd()))
    names = pipeline or []
    chosen = [project.pipeline(name) for name in names] if names else list(project.pipelines)
    check_repository(project.root)
    tracked: list[Tracked] = []
    sent = send_spooled(project, say)
    if not spooled:
        settled = settle(project, say)
        if revision is not None:
            tracked += log_revision(project, resolve_revision(project.root, revision), say, names)
        else:
            tracked += log_workspace(project, chosen, say, skip_unfinished=not names)
    else:
        settled = 0
    if json_:
        put_json({"sent": sent, "settled": settled, "results": [asdict(item) for item in tracked]})
    else:
        _put_all(tracked, sent, spooled=spooled)
    if any(item.spooled for item in tracked):
        raise CanonError(
            "the tracking server did not take every result; they are kept, and sent by the next `canon log`"
        )


def _put_all(tracked: Sequence[Tracked], sent: int, *, spooled: bool) -> None:
    if spooled and not sent:
        put("nothing was spooled")
    for item in tracked:
        put(format_tracked(item))


def format_tracked(tracked: Tracked) -> str:
    """One line: pipeline, result, what became of it, metrics, and where to look."""
    what = "spooled" if tracked.spooled else "logged" if tracked.created else "already logged"
    metrics = "".join(f"  {key} {value:g}" for key, value in sorted(tracked.metrics.items()))
    return f"{tracked.pipeline}  result {tracked.result[:8]}  {what}{metrics}" + (
        f"\n  {tracked.url}" if tracked.url and tracked.created else ""
    )


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(track)
    app.command()(log)
