"""Argo CD's Applications: one for each released environment, one for the training, and the root that holds them."""

from __future__ import annotations

from typing import Any

from canon.argocd.objects import ARGO_CD, build_object, pipeline_labels, release_links
from canon.argocd.site import SERVER, WORKFLOW, Site
from canon.model.cluster import ENVIRONMENT_LABEL, REVISION_ANNOTATION, environment_path
from canon.model.delivery import Sync
from canon.model.forges import commit_page
from canon.model.release import Release

FINALIZER = "resources-finalizer.argocd.argoproj.io"
"""What an Application put into the cluster goes with it."""
RETRY = {"limit": 5, "backoff": {"duration": "10s", "factor": 2, "maxDuration": "5m"}}
NO_RETRY: dict[str, Any] = {}
"""Without one Argo CD repeats a failed hook five times, each time deleting the Workflow that failed; `limit: 0` it drops, and the root would never be
in sync."""
OPTIONS = ["ServerSideApply=true"]
"""A client-side apply ends at 256 KiB."""


def build_environment_application(site: Site, environment: str, sync: Sync, release: Release) -> dict[str, Any]:
    """The Application of an environment."""
    application = _application(
        site,
        site.application(environment),
        project=site.project,
        source=_source(site, environment_path(site.pipeline, environment), site.releases),
        namespace=site.environments[environment],
        policy=_policy(sync, RETRY),
        annotations=release_links(site.git_url, release),
    )
    application["metadata"]["labels"][ENVIRONMENT_LABEL] = environment
    application["spec"]["info"] = _info(site, release)
    return application


def build_workflow_application(site: Site) -> dict[str, Any]:
    """The Application of the training. Where each commit trains, its revision stands on the template: so every commit differs, and starts the hook.

    It has no `argocd.argoproj.io/manifest-generate-paths`: a commit that is compared while a training runs would never be trained.
    """
    source = _source(site, f"{site.folder}/{WORKFLOW}", site.branch)
    if site.synced:
        annotations = {REVISION_ANNOTATION: "${ARGOCD_APP_REVISION}"}
        source["kustomize"] = {"commonAnnotations": annotations, "commonAnnotationsEnvsubst": True}
    return _application(
        site,
        site.workflow,
        project=site.training_project,
        source=source,
        namespace=site.training[0],
        policy=_policy(Sync(), NO_RETRY if site.synced else RETRY),
    )


def build_roots(site: Site) -> list[dict[str, Any]]:
    """The Applications that a platform engineer applies. They hold Applications alone, whichever other kinds of files lie there.

    Without the finalizer: what one of them holds stays where it is removed by hand.
    """
    include, own = "*.yaml", f"{WORKFLOW}.yaml"
    if site.releases_root is None:
        return [_root(site, site.root, site.branch, {"include": include})]
    roots = [_root(site, site.root, site.branch, {"include": own})] if site.training else []
    return [*roots, _root(site, site.releases_root, site.releases, {"include": include, "exclude": own})]


def _root(site: Site, name: str, branch: str, directory: dict[str, str]) -> dict[str, Any]:
    root = _application(
        site,
        name,
        project=site.root,
        source={**_source(site, f"{site.folder}/applications", branch), "directory": directory},
        namespace=site.namespace,
        policy=_policy(Sync(), RETRY),
    )
    del root["metadata"]["finalizers"]
    return root


def _application(
    site: Site,
    name: str,
    *,
    project: str,
    source: dict[str, Any],
    namespace: str,
    policy: dict[str, Any],
    annotations: dict[str, str] | None = None,
) -> dict[str, Any]:
    spec = {
        "project": project,
        "source": source,
        "destination": {"server": SERVER, "namespace": namespace},
        "syncPolicy": policy,
    }
    labels = pipeline_labels(site.pipeline)
    application = build_object(
        ARGO_CD, "Application", name, spec, namespace=site.namespace, labels=labels, annotations=annotations
    )
    application["metadata"]["finalizers"] = [FINALIZER]
    return application


def _source(site: Site, path: str, branch: str) -> dict[str, Any]:
    return {"repoURL": site.git_url, "targetRevision": branch, "path": path}


def _policy(sync: Sync, retry: dict[str, Any]) -> dict[str, Any]:
    """What is false is left out, as Argo CD does: else the root would see a difference."""
    automated = {key: True for key, value in (("prune", sync.prune), ("selfHeal", sync.self_heal)) if value}
    return {**({"automated": automated} if sync.automated else {}), "syncOptions": OPTIONS, "retry": retry}


def _info(site: Site, release: Release) -> list[dict[str, str]]:
    """What Argo CD's user interface shows beside an Application; addresses are links there."""
    known = {
        "Release": f"{release.number}: {release.why}",
        "Commit": commit_page(site.git_url, release.commit) or release.commit,
        "Data": release.data_hash,
        "Model": release.model,
        "MLflow run": release.run,
    }
    return [{"name": name, "value": value} for name, value in known.items() if value]
