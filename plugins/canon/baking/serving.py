"""How the service starts."""

from __future__ import annotations

from canon.model.errors import CanonError
from canon.model.project import Pipeline


def serving_command(pipeline: Pipeline) -> tuple[list[str], dict[str, str]]:
    """Argv and environment variables."""
    serving = pipeline.declaration.serving
    if serving is None or serving.cmd is None:
        raise CanonError("no cmd")
    return ["/bin/sh", "-c", f"exec {serving.cmd}"], {}


def health_path(pipeline: Pipeline) -> str:
    """Where it says that it is well."""
    serving = pipeline.declaration.serving
    return serving.health if serving else "/health"
