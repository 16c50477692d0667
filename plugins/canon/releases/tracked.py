"""The run of a result in MLflow, and the version of its model in the registry there, where a tracking server is declared and answers."""

from __future__ import annotations

import os
from collections.abc import Mapping

from canon.model.errors import StoreUnavailableError
from canon.model.project import Project
from canon.releases.pending import Say


def find_tracked(
    project: Project,
    profile: str,
    name: str,
    result: str,
    artifact: str,
    say: Say,
    environ: Mapping[str, str] = os.environ,
) -> tuple[str | None, str | None]:
    """Address or id of the run, and `name/version` of the model; None for what is not known, which is said."""
    if not (environ.get("MLFLOW_TRACKING_URI") or project.settings.profiles[profile].mlflow):
        say(f"canon: no run is named: the profile `{profile}` declares no `mlflow`")
        return None, None
    from canon.mlflow.log import find_logged
    from canon.mlflow.models import find_version
    from canon.results.track import tracking_store

    uri, home = tracking_store(project, profile, environ)
    try:
        logged = find_logged(name, result, uri, home)
        if logged is None:
            say("canon: no run is named: MLflow has no row of this result; `canon log` makes it")
            return None, None
        return logged.url or logged.run_id, find_version(logged.run_id, artifact, uri, home)
    except StoreUnavailableError as error:
        say(f"canon: no run is named: {error}")
        return None, None
