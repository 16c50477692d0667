"""`canon track`, `canon log`: results, and the rows that MLflow shows of them."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from canon.cli.console import put, put_json, say
from canon.model.errors import CanonError
from canon.model.project import load_project
from canon.model.root import find_root

if TYPE_CHECKING:
    from canon.results.track import Tracked

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def track(
    pipeline: Annotated[str, typer.Argument(help="The pipeline that has just run.")],
    definition: Annotated[
        str, typer.Option(help="Hash of the stages that dvc.yaml was rendered from; another one is refused.")
    ] = "",
    json_: JsonOption = False,
) -> None:
    """Write the result of a pipeline and log it: what the generated last stage runs."""
    from canon.results.noted import note_row
    from canon.results.settling import adopt_tracked, settle_sessions
    from canon.results.track import check_definition, send_spooled, track_pipeline

    project = load_project(find_root(Path.cwd()))
    chosen = project.pipeline(pipeline)
    check_definition(chosen, definition)
    tracked = track_pipeline(project, chosen, say)
    note_row(project.root, tracked)
    if not tracked.spooled:
        send_spooled(project, say)
        settle_sessions(project, say)  # first: runs that a killed session left may wait for this very row
        adopt_tracked(project, chosen, tracked, say)
    if json_:
        put_json(as_json(tracked))
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
    from canon.git import check_repository
    from canon.results.log import log_revision, log_workspace, settle
    from canon.results.revisions import resolve_revision
    from canon.results.settling import adopt_tracked, settle_sessions
    from canon.results.track import send_spooled

    project = load_project(find_root(Path.cwd()))
    names = pipeline or []
    chosen = [project.pipeline(name) for name in names] if names else list(project.pipelines)
    if not spooled:  # sending what is kept needs no Git
        check_repository(project.root)
    commit = None if revision is None else resolve_revision(project.root, revision)
    tracked: list[Tracked] = []
    sent, left = send_spooled(project, say)
    settled = 0
    try:
        if not spooled:
            settled = settle(project, say)
            tracked += (
                log_workspace(project, chosen, say, skip_unfinished=not names)
                if commit is None
                else log_revision(project, commit, say, names)
            )
        settle_sessions(project, say)  # first: runs that a killed session left may wait for these very rows
        for item in tracked if commit is None else ():
            adopt_tracked(project, project.pipeline(item.pipeline), item, say)
    finally:  # what was logged before something failed is said
        if json_:
            put_json({"sent": sent, "left": left, "settled": settled, "results": [as_json(item) for item in tracked]})
        else:
            for item in tracked:
                put(format_tracked(item))
    if spooled and not sent and not left and not json_:
        put("nothing was spooled")
    if left or any(item.spooled for item in tracked):
        raise CanonError(
            "the store did not take every result; what it did not take is kept, and sent by the next `canon log`"
        )


def as_json(tracked: Tracked) -> dict[str, object]:
    """What a script reads; JSON has no NaN and no infinity: they are texts."""
    metrics = {key: value if math.isfinite(value) else str(value) for key, value in tracked.metrics.items()}
    return {**asdict(tracked), "metrics": metrics}


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
