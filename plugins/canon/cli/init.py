"""`canon init`: a first project, or the declarations of one that DVC runs already."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from canon.cli.console import put, put_json, say
from canon.model.errors import CanonError, Problem, listed

if TYPE_CHECKING:
    from canon.adoption.hook import Hook
    from canon.adoption.start import Start

MOST_HINTS = 20
"""Lines of hints that are printed."""
_NAMED = re.compile(r"(?<=its out )`[^`]+`|(?<=its dep )`[^`]+`")


def init(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DVC_YAML]…", help="Adopt these alone; all by default.", show_default=False),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the pipeline; by default that of the folder.", show_default=False),
    ] = None,
    hook: Annotated[
        bool, typer.Option("--hook", help="Install a post-commit hook that runs `canon log` in the background.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Overwrite a dvc.yaml whose text is not committed, too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be written, write nothing.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Start a project, or adopt the one that is here: declarations are made from its dvc.yaml, its dvc.lock stays valid."""
    from canon.adoption.hook import install_hook, plan_hook
    from canon.adoption.start import is_empty_of_stages, made_repositories, missing_repositories, plan_start, scaffold
    from canon.adoption.written import write_all
    from canon.output.files import RenderedFile, changed_files, format_diff

    here = Path.cwd()
    root, commands = missing_repositories(here)
    only = [Path(os.path.relpath(here / file, root)).as_posix() for file in files or ()]
    if dry_run and commands and (only or not is_empty_of_stages(root)):
        raise CanonError(f"{root} is no DVC project yet, and DVC reads a dvc.yaml in one alone; run `dvc init` first")
    with made_repositories(root, () if dry_run else commands):
        planned = plan_hook(root) if hook and not (dry_run and "git init" in commands) else None
        start = scaffold(root, name) if dry_run and commands else plan_start(root, name, only, force=force)
        written = [file.path for file in changed_files(root, start.files)] if dry_run else write_all(root, start.files)
        if planned is not None and not dry_run:
            install_hook(planned)
    if json_:
        put_json({
            "root": str(root), "dry_run": dry_run, "ran": commands, "written": list(written), "scaffolded": start.scaffolded,
            "adopted": [asdict(each) for each in start.adopted], "pipelines": start.pipelines,
            "without_stages": start.without_stages, "elsewhere": dict(start.elsewhere), "hints": [asdict(each) for each in start.hints],
            "hook": None if planned is None else str(planned.file),
        })  # fmt: skip
        return
    if dry_run:
        hooks = format_diff(planned.file.parent, [RenderedFile(planned.file.name, planned.text)]) if planned else ""
        put(f"{format_diff(root, start.files)}{hooks}".rstrip("\n"))
    else:
        for path in written:
            put(path)
    if hook:
        _say_hook(planned, dry_run=dry_run)
    _narrate(start, commands, dry_run=dry_run)


def _say_hook(planned: Hook | None, *, dry_run: bool) -> None:
    if planned is None or planned.is_new:
        what = f"post-commit {'would be' if dry_run else 'is'} installed"
        say(f"canon: the hook {what}{f': {planned.file}' if planned else ''}")
    else:
        say(f"canon: {planned.file} has the hook already")


def _narrate(start: Start, commands: tuple[str, ...], *, dry_run: bool) -> None:
    """Say what was done, and what comes next."""
    would = "would be" if dry_run else "is"
    for command in commands:
        say(f"canon: {'would run' if dry_run else 'ran'} `{command}`")
    for each in start.adopted:
        stages = "1 stage" if each.stages == 1 else f"{each.stages} stages"
        comments = "" if each.as_written else "; without its comments, since the declaration had to be written anew"
        say(f"canon: {each.dvc_file} {would} generated from {each.declaration}: {stages}, the same as before{comments}")
    for file in start.without_stages:
        say(f"canon: {file} has no stages, and stays as it is")
    for file, repository in start.elsewhere:
        say(f"canon: {file} lies in the Git repository {repository}, another project, and stays as it is")
    for line in _grouped(start.hints):
        say(f"hint: {line}")
    if start.hints:
        say("canon: hints are for a cluster; here nothing has to change")
    if start.scaffolded:
        say("canon: next: `dvc repro`, then `git add -A && git commit` and `canon log`")
    elif start.adopted:
        say("canon: next: `dvc status`, which says what it said before; then `git add -A && git commit`")
    elif start.pipelines:
        say(f"canon: declared already: {', '.join(start.pipelines)}")
    else:
        say(
            "canon: nothing to adopt; write pipelines/NAME.yaml with `name: NAME` and `stages:`, then run `canon render`"
        )


def _grouped(hints: Sequence[Problem]) -> Iterator[str]:
    """A line for each thing that is said, with the first places that it is said of: a thousand stages may have one fault.

    What is said of an out or a dep is one thing for all of them.
    """
    places: dict[tuple[str, str, str], list[Problem]] = {}
    for hint in hints:
        places.setdefault((hint.file, _NAMED.sub("", hint.message, count=1), hint.remedy), []).append(hint)
    for (file, _, remedy), alike in list(places.items())[:MOST_HINTS]:
        where = listed(list(dict.fromkeys(each.path.removeprefix("stages.") for each in alike if each.path)))
        named = list(dict.fromkeys(found[0] for each in alike if (found := _NAMED.search(each.message))))
        likewise = f"; likewise {listed(named[1:])}" if len(named) > 1 else ""
        yield f"{file}{f' ({where})' if where else ''}: {alike[0].message}{f'; {remedy}' if remedy else ''}{likewise}"
    if len(places) > MOST_HINTS:
        yield f"and {len(places) - MOST_HINTS} more; `canon init --dry-run --json`, before, or `canon check`, now, lists all of them"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)
