"""One `canon run`, from the question whether anything changed to the summary."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from canon.cli.console import put_json, put_table, say
from canon.model.errors import CanonError, listed
from canon.running.fresh import begin, forget, load_fresh, remember, request_of

if TYPE_CHECKING:
    from canon.dvc.reproduction.reproduction import Reproduction
    from canon.model.project import Project
    from canon.running.engine import Entry
    from canon.running.events import State
    from canon.running.remembered import LookedAt
    from canon.running.run import Asked, Ran
    from canon.running.summary import Summary


@dataclass(frozen=True, slots=True)
class Flags:
    """How it is run, as the command line says it."""

    jobs: int = 0
    pull: bool = False
    force: bool = False
    keep_going: bool = False
    render: bool = False
    logs: bool = False

    def arguments(self) -> list[str]:
        """The same for another `canon run`."""
        given = {
            "--pull": self.pull,
            "--force": self.force,
            "--keep-going": self.keep_going,
            "--render": self.render,
            "--logs": self.logs,
        }
        return [f"--jobs={self.jobs}", *(name for name, value in given.items() if value)]


def run_here(root: Path, words: Sequence[str], flags: Flags, *, json_: bool) -> None:
    """Run in this checkout. Exits with the code of the run."""
    request = request_of(words)
    if not (flags.force or flags.pull) and (known := load_fresh(root, request)) is not None:
        _put_known(known, json_=json_)
        return
    from canon.dvc.reproduction.stages import Options
    from canon.model.project import load_project
    from canon.running.exclusive import check_repository
    from canon.running.run import Asked, choose

    check_repository(root)
    begun = begin(root)
    project = load_project(root)
    pipeline, targets = choose(project, words)
    rendered = check_rendered(project, render=flags.render)
    asked = Asked(pipeline, targets, flags.jobs, flags.keep_going, Options(force=flags.force, pull=flags.pull))
    ran, summary, lines, looked = _run(project, asked, logs=flags.logs)
    document = _document(root, pipeline.name, ran, summary)
    if json_:
        put_json(document)
    says = {"lines": lines, "document": document}
    if looked is None or not remember(
        root, request, says, begun, paths={*looked.paths, *rendered}, shallow=looked.shallow
    ):
        forget(root)
    if ran.interrupted is not None:
        say("canon: interrupted; what has finished is kept")
    if ran.code:
        raise typer.Exit(ran.code)


def _put_known(known: Mapping[str, Any], *, json_: bool) -> None:
    for line in known["lines"]:
        say(str(line))
    if json_:
        put_json(known["document"])


def _run(project: Project, asked: Asked, *, logs: bool) -> tuple[Ran, Summary, list[str], LookedAt | None]:
    """Run, and say what came of it, which is returned too. Where nothing was to do: with what tells that it is so still, if a look at files tells."""
    from canon.cli.run_lines import Lines
    from canon.cli.run_view import opened_view
    from canon.results.sessions import close_session, open_session
    from canon.results.settling import settle_sessions
    from canon.running.metrics import load_metrics
    from canon.running.remembered import all_looked_at
    from canon.running.rows import ENDED, outcome_of, settle_rows
    from canon.running.run import run_pipeline
    from canon.running.summary import build_summary, format_summary
    from canon.running.took import load_took, write_took

    pipeline, began = asked.pipeline, time.monotonic()
    looked: list[LookedAt | None] = []

    def finished(work: Reproduction, ran: Ran) -> None:
        if ran.idle:
            looked.append(all_looked_at(project, work))

    def hear(stage: str, state: State, entry: Entry) -> None:
        if state in ENDED:
            session.ended(stage, ENDED[state], entry)

    settle_sessions(project, say)
    metrics, took = load_metrics(project), load_took(project.root)
    session = open_session(project, pipeline, say)
    with opened_view(pipeline.name, Lines(say).tell, say, logs=logs, own_runs=session.running) as view:
        ran = run_pipeline(project, asked, view.tell, view.say, session.environment, hear, finished)
        tails = not view.told_tails
    write_took(project.root, ran.events.values())
    close_session(project, session, outcome_of(ran), say)
    row = settle_rows(project, pipeline, ran, say)
    summary = build_summary(pipeline.name, ran.events, time.monotonic() - began, took=took, before=metrics, row=row)
    lines = format_summary(summary, tails=tails)
    for line in lines:
        say(line)
    return ran, summary, lines, next(iter(looked), None)


def put_foreseen(root: Path, words: Sequence[str], flags: Flags, *, json_: bool) -> None:
    """Say what would run."""
    from canon.dvc.reproduction.stages import Options
    from canon.model.project import load_project
    from canon.running.run import Asked, choose, foresee

    project = load_project(root)
    pipeline, targets = choose(project, words)
    check_rendered(project, render=False)
    foreseen = foresee(project, Asked(pipeline, targets, options=Options(force=flags.force, pull=flags.pull)), say)
    if json_:
        put_json({"pipeline": pipeline.name, "stages": [{"stage": each.stage, "does": each.does} for each in foreseen]})
    else:
        put_table(("stage", ""), ((each.stage, each.does) for each in foreseen))


def check_rendered(project: Project, *, render: bool) -> frozenset[str]:
    """Return the paths of the generated files. Raises CanonError where they are not what the declarations say; with ``render`` writes them."""
    from canon.adapters import render_project
    from canon.output.files import changed_files, foreign_files, write_files

    files = render_project(project)
    paths = frozenset(file.path for file in files)
    changed = [file.path for file in changed_files(project.root, files)]
    if not changed:
        return paths
    if not render:
        raise CanonError(f"{listed(changed)}: stale; run `canon render`, or say --render")
    if foreign := foreign_files(project.root, files):
        raise CanonError(
            f"{listed(foreign)} was not written by Canon, and would be overwritten; see `canon render --force`"
        )
    for path in write_files(project.root, files):
        say(f"canon: rendered {path}")
    return paths


def _document(root: Path, name: str, ran: Ran, summary: Summary) -> dict[str, Any]:
    """What a script reads."""
    from canon.running.run import log_of
    from canon.running.summary import finite, summary_document

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
                "metrics": {name: finite(value) for name, value in event.metrics.items()},
            }
            for event in ran.events.values()
        ],
        "warnings": list(ran.trespasses),
        **summary_document(summary),
    }
