"""`canon history` and `canon diff`: what was released when, and how two releases differ, from Git alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from canon.cli.complete import complete_environment, complete_pipeline
from canon.cli.console import put_json, put_table, say
from canon.model.errors import CanonError, UsageError, printable
from canon.model.project import load_project
from canon.model.root import find_root

if TYPE_CHECKING:
    from canon.releases.history import Row

NameArgument = Annotated[str, typer.Argument(help="The pipeline.", autocompletion=complete_pipeline)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def history(
    name: NameArgument,
    environment: Annotated[
        str, typer.Argument(metavar="ENV", help="The environment.", autocompletion=complete_environment)
    ],
    at: Annotated[
        str | None,
        typer.Option(
            help="Only what was live then: 2026-11-01 (at its end) or 2026-11-01T12:00, in UTC.", show_default=False
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """List what was released in an environment, the newest first, as the clone knows it; `git fetch` brings what is newer."""
    from canon.releases.history import is_shallow, load_history, time_from_text
    from canon.releases.place import history_head
    from canon.releases.rows import COLUMNS, row_cells, row_document

    moment = time_from_text(at) if at else None
    project = load_project(find_root(Path.cwd()))
    project.pipeline(name)
    _check_environment(environment)
    head, where = history_head(project)
    found = load_history(project.root, head, name, environment)
    shallow = is_shallow(project.root)
    rows = found if moment is None else _live(found, moment)
    if not rows and moment is None:
        known = ", ".join(project.pipeline(name).declaration.deploy) or "none"
        raise CanonError(
            f"{where} has no release of {name} in `{environment}` (declared: {known}); `git fetch` brings newer ones"
        )
    if shallow:
        say(
            "canon: this clone is shallow: releases before its first commit are missing; `git fetch --unshallow` brings them"
        )
    if not rows:
        why = "is not known in this shallow clone" if shallow else "was nothing yet"
        raise CanonError(f"what was live in `{environment}` of {name} on {at} {why}")
    if json_:
        documents = [row_document(row) for row in rows]
        put_json(documents[0] if moment is not None else documents)
        return
    put_table(COLUMNS, ([_cell(cell) for cell in row_cells(row)] for row in rows))
    say(f"canon: as of {where} ({head[:12]})")


def diff(
    name: NameArgument,
    first: Annotated[
        str, typer.Argument(metavar="FROM", help="ENV, ENV@N or #N.", autocompletion=complete_environment)
    ],
    second: Annotated[str, typer.Argument(metavar="TO", help="ENV, ENV@N or #N.", autocompletion=complete_environment)],
    all_: Annotated[bool, typer.Option("--all", "-a", help="Also what is the same.")] = False,
    json_: JsonOption = False,
) -> None:
    """Show two releases side by side: image, code, data, params and metrics; what differs, and with --all the rest."""
    from canon.releases.compare import compare_releases, find_release
    from canon.releases.place import history_head

    project = load_project(find_root(Path.cwd()))
    project.pipeline(name)
    head, _ = history_head(project)
    releases = [find_release(project.root, head, name, each) for each in (first, second)]
    differences, notes = compare_releases(project.root, *releases)
    for note in notes:
        say(f"canon: {printable(note)}")
    if json_:
        put_json([
            {"section": each.section, "name": each.name, "from": each.first, "to": each.second, "differs": each.differs} for each in differences
        ])  # fmt: skip
        return
    shown = [each for each in differences if all_ or each.differs or each.section == "release"]
    rows = ((each.section, each.name, each.first or "-", each.second or "-") for each in shown)
    put_table(("what", "", first, second), ([_cell(cell) for cell in row] for row in rows))


def _live(rows: Iterable[Row], moment: datetime) -> tuple[Row, ...]:
    from canon.releases.history import released_at

    found = released_at(rows, moment)
    return () if found is None else (found,)


def _check_environment(environment: str) -> None:
    import re

    from canon.model.fields import DNS_LABEL

    if not re.fullmatch(DNS_LABEL, environment):
        raise UsageError(f"{environment!r} is no name of an environment")


def _cell(text: str) -> str:
    """A text of somebody else's in one cell of a table."""
    return printable(" ".join(text.split()))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(history)
    app.command()(diff)
