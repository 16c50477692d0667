"""`canon graph`: the dependency graph as a picture."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canon.cli.complete import complete_pipeline
from canon.cli.console import put, put_json, say
from canon.model.errors import UsageError
from canon.model.project import load_project
from canon.model.root import find_root

if TYPE_CHECKING:
    from canon.drawing.picture import Picture


class Format(StrEnum):
    """How a picture is written."""

    MERMAID = "mermaid"
    SVG = "svg"


def graph(
    name: Annotated[
        str | None,
        typer.Argument(
            help="The pipeline; by default all of them.", autocompletion=complete_pipeline, show_default=False
        ),
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="By default svg for an --output of that name, else mermaid.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write this file, instead of stdout.", show_default=False)
    ] = None,
    stages: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Only these stages, with what they read and write.", show_default=False),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", "-a", help="Every member of a large `foreach` or `matrix`, not one for all.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print nodes and edges as JSON for a script.")] = False,
) -> None:
    """Draw what is declared (pink), what is automated (a gear) and what comes out (a disk), up to the image that serves and where it is released.

    Mermaid text, as GitHub draws it in a README, or SVG.
    """
    from canon.drawing.build import build_picture, load_releases

    if json_ and (format_ is not None or output is not None):
        raise UsageError("--json prints nodes and edges; it goes with neither --format nor --output")
    chosen = [each for each in (part.strip() for part in (stages or "").split(",")) if each]
    if stages is not None and not chosen:
        raise UsageError("--stages names no stage; say for example `--stages prepare,train`")
    if output is not None:
        _check_place(output)
    project = load_project(find_root(Path.cwd()))
    picture = build_picture(project, name, load_releases(project), stages=chosen, all_=all_)
    if json_:
        put_json(_document(picture))
        return
    text = _text(picture, format_ or (Format.SVG if output and output.suffix == ".svg" else Format.MERMAID))
    if output is None:
        put(text.rstrip("\n"))
        return
    from canon.output.files import write_text

    say(f"canon: {output} {'written' if write_text(output, text) else 'is up to date'}")


def _check_place(output: Path) -> None:
    """Raise UsageError where no file can be made: it would be replaced, and not written to."""
    if output.is_dir():
        raise UsageError(f"--output {output} is a folder; name a file in it, for example `{output / 'graph.svg'}`")
    if output.exists() and not output.is_file():
        raise UsageError(f"--output {output} is no file; leave --output out, and say `canon graph > {output}`")
    if not output.parent.is_dir():
        raise UsageError(f"--output {output}: there is no folder {output.parent}; make it, or name another")


def _text(picture: Picture, wanted: Format) -> str:
    if wanted is Format.SVG:
        from canon.drawing.svg import format_svg

        return format_svg(picture)
    from canon.drawing.mermaid import format_mermaid, shown_nowhere

    text = format_mermaid(picture)
    why = shown_nowhere(picture, text)
    if why:
        say(f"canon: GitHub does not draw this: {why}; take --format svg, or some stages by --stages")
    return text


def _document(picture: Picture) -> dict[str, Any]:
    return {
        "title": picture.title,
        "nodes": [
            {
                "id": node.id, "kind": node.kind, "what": node.what, "label": node.label,
                "details": list(node.details), "members": list(node.members),
            }
            for node in picture.nodes
        ],
        "edges": [{"from": start, "to": end} for start, end in picture.edges],
    }  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(graph)
