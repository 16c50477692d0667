"""The adapter `argocd`: for a project that no cluster runs or serves, nothing."""

from __future__ import annotations

from canon.model.project import Project
from canon.output.files import RenderedFile


def render_deployments(project: Project) -> tuple[RenderedFile, ...]:
    """What Argo CD reads of each pipeline that is deployed, or trained in a cluster.

    Raises ProblemsError for what is missing, for what cannot be deployed, and for releases that were edited into nonsense.
    """
    trained = any(profile.namespace for profile in project.settings.profiles.values())
    if not trained and not any(pipeline.declaration.deploy for pipeline in project.pipelines):
        return ()
    from canon.deployments.delivered import render_delivered  # costs what most projects do not need

    return render_delivered(project)
