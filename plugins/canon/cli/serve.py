"""`canon serve`: the service on this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from canon.cli.complete import complete_pipeline
from canon.cli.console import say
from canon.cli.proof import PlatformOption
from canon.model.errors import CanonError, UsageError
from canon.model.project import Project, load_project
from canon.model.root import find_root


def serve(
    name: Annotated[
        str | None,
        typer.Argument(help="The pipeline; by default the only one that serves.", autocompletion=complete_pipeline),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Another port than the declared one.", min=1, max=65535, show_default=False)
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            help="Serve the model of an image: oci:DIR or oci:DIR@sha256:…, or of a registry.", show_default=False
        ),
    ] = None,
    platform: PlatformOption = "linux/amd64",
) -> None:
    """Run the serving command here, on loopback, on the model of the workspace or of an image."""
    from canon.baking.local import image_service, run_service, workspace_service
    from canon.image.images import load_image
    from canon.image.opening import open_store
    from canon.image.references import parse_reference

    if image is None:
        project = load_project(find_root(Path.cwd()))
        code = run_service(workspace_service(project.root, project.pipeline(_chosen(project, name)), port), say)
    else:
        reference = parse_reference(image)
        source = open_store(reference)
        found = load_image(source, source.name, reference.digest or reference.tag, platform)
        with tempfile.TemporaryDirectory(prefix="canon-serve-") as folder:
            service = image_service(source, found, name, Path(folder).resolve(), port)
            code = run_service(service, say)
    if code:
        raise typer.Exit(code)


def _chosen(project: Project, name: str | None) -> str:
    if name is not None:
        return name
    serving = [pipeline.name for pipeline in project.pipelines if pipeline.declaration.serving is not None]
    if not serving:
        raise CanonError("no pipeline says what serves its model; add `serving:` to one")
    if len(serving) > 1:
        raise UsageError(f"several pipelines serve: {', '.join(serving)}; say which")
    return serving[0]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)
