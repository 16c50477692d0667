"""From a pipeline's declaration and its releases to what Argo CD reads, and to the cage around that.

`applications/` is held by the root Application, a folder of `environments/` by one of those, `platform/` by nobody: it is applied by hand.
"""

from __future__ import annotations

from collections.abc import Mapping

from canon.argocd.applications import build_environment_application, build_roots, build_workflow_application
from canon.argocd.handbook import POLICY, PROJECTS, ROOT, format_handbook
from canon.argocd.policy import build_policy
from canon.argocd.projects import build_projects
from canon.argocd.service import build_environment, build_network_policy
from canon.argocd.site import WORKFLOW, Site
from canon.manifests.text import format_manifests
from canon.model.cluster import environment_path
from canon.model.errors import CanonError
from canon.model.project import Pipeline
from canon.model.release import Release, release_path
from canon.output.files import RenderedFile


def render_argocd(pipeline: Pipeline, site: Site, releases: Mapping[str, Release]) -> tuple[RenderedFile, ...]:
    """All files of a pipeline; ``releases``: those that there are, by their environment. One that has none has no file, and waits."""
    files: list[RenderedFile] = []
    for name in pipeline.declaration.deploy:
        if name in releases:
            files += render_environment(pipeline, site, releases[name])
    if site.training:
        text = format_manifests(pipeline.file, build_workflow_application(site))
        files.append(RenderedFile(path=f"{site.folder}/applications/{WORKFLOW}.yaml", text=text))
    if serving := pipeline.declaration.serving:
        for name, namespace in site.environments.items():
            text = format_manifests(pipeline.file, build_network_policy(site, name, serving))
            files.append(RenderedFile(path=f"{site.folder}/platform/{namespace}.yaml", text=text))
    manifests = {PROJECTS: build_projects(site), POLICY: build_policy(site), ROOT: build_roots(site)}
    for name, listed in manifests.items():
        text = format_manifests(pipeline.file, *listed)
        files.append(RenderedFile(path=f"{site.folder}/platform/{name}", text=text))
    text = format_handbook(pipeline.file, site)
    return (*files, RenderedFile(path=f"{site.folder}/platform/argocd.md", text=text))


def render_environment(pipeline: Pipeline, site: Site, release: Release) -> tuple[RenderedFile, ...]:
    """What follows from one release: the folder of its environment, and its Application.

    Raises CanonError for one of an environment, or of a pipeline without `serving`, that the declaration does not have.
    """
    name, declaration = release.environment, pipeline.declaration
    environment, source = declaration.deploy.get(name), release_path(pipeline.name, name)
    if environment is None or declaration.serving is None:
        raise CanonError(
            f"{source}: {pipeline.file} declares no environment `{name}`; declare it, or remove the release"
        )
    built = build_environment(site, name, declaration.serving, environment, release)
    folder = environment_path(pipeline.name, name)
    manifests = {f"{folder}/{file}": manifest for file, manifest in built.items()}
    manifests[f"{site.folder}/applications/{name}.yaml"] = build_environment_application(
        site, name, environment.sync, release
    )
    return tuple(
        RenderedFile(path=path, text=format_manifests(pipeline.file, manifest, release=source))
        for path, manifest in manifests.items()
    )
