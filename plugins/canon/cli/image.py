"""`canon image`: the images of a pipeline, made without a daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from canon.cli.complete import complete_pipeline
from canon.cli.console import Transfer, put, put_json, put_table, say
from canon.model.errors import UsageError
from canon.model.project import find_root, load_project

image_app = typer.Typer(help="Make images of code, environment and model, without a daemon.", no_args_is_help=True)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


@image_app.command()
def base(
    name: Annotated[str, typer.Argument(help="The pipeline.", autocompletion=complete_pipeline)],
    origin: Annotated[
        str, typer.Option("--from", help="The image below: oci:DIR or oci:DIR@sha256:…", show_default=False)
    ],
    to: Annotated[str, typer.Option("--to", help="The layout to put it into: oci:DIR", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what the image would be, write nothing.")] = False,
    json_: JsonOption = False,
) -> None:
    """Put the environment and the code of the commit on top of an image; print its digest."""
    from canon.baking.base import make_base
    from canon.image.layout import Layout
    from canon.image.references import parse_reference

    project = load_project(find_root(Path.cwd()))
    pipeline = project.pipeline(name)
    source, target = parse_reference(origin), parse_reference(to)
    for reference, option in ((source, "--from"), (target, "--to")):
        if reference.folder is None:
            raise UsageError(f"{option} takes a layout, oci:DIR; {str(reference)!r} is none")
    if target.digest is not None:
        raise UsageError("--to names a layout; the digest is what comes out")
    transfer = Transfer("image", quiet=json_)
    transfer.start(None, None)
    try:
        made = make_base(
            project, pipeline, Layout(Path(str(source.folder))), source.digest, Layout(Path(str(target.folder))),
            write=not dry_run, progress=transfer.advance,
        )  # fmt: skip
    finally:
        transfer.done()
    if json_:
        put_json(
            {
                "digest": made.digest,
                "revision": made.commit,
                "tree": made.tree,
                "layers": [{"digest": digest, "size": size, "origin": says} for digest, size, says in made.layers],
            }
        )
        return
    put_table(("layer", "bytes", "from"), ((digest, size, says) for digest, size, says in made.layers))
    say(f"{'would be' if dry_run else 'wrote'} oci:{target.folder}@{made.digest}")
    put(made.digest)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(image_app, name="image")
