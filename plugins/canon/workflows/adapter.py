"""The adapter `argo`: for a project that no cluster runs, nothing."""

from __future__ import annotations

from canon.model.project import Project
from canon.output.files import RenderedFile


def render_workflows(project: Project) -> tuple[RenderedFile, ...]:
    """The files of `argo/`, for each pipeline and each profile with a namespace; none without one.

    Raises ProblemsError for what is missing, and for what cannot run in a cluster.
    """
    if not any(profile.namespace for profile in project.settings.profiles.values()):
        return ()
    from canon.workflows.clustered import render_clustered  # costs what most projects do not need

    return render_clustered(project)
