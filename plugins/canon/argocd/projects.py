"""Argo CD's AppProjects: what the Applications of a pipeline may read, and what they may put where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from canon.argocd.objects import ARGO_CD, build_object, pipeline_labels
from canon.argocd.site import SERVER, Site

SERVED = (("apps", "Deployment"), ("", "Service"), ("policy", "PodDisruptionBudget"))
"""Groups and kinds of what lies in `environments/`."""


def build_projects(site: Site) -> list[dict[str, Any]]:
    """The AppProjects of a pipeline: exactly the declared repository, namespaces and kinds, and nothing that has no namespace."""
    found = [
        _project(site, site.root, "The Applications of", [site.namespace], [("argoproj.io", "Application")]),
    ]
    if site.environments:
        found.append(_project(site, site.project, "The services of", sorted(site.environments.values()), SERVED))
    if site.training:
        kinds = [("argoproj.io", kind) for kind in site.kinds]
        found.append(_project(site, site.training_project, "The training of", site.training, kinds))
    return found


def _project(
    site: Site, name: str, what: str, namespaces: Sequence[str], kinds: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    spec = {
        "description": f"{what} the pipeline {site.pipeline}",
        "sourceRepos": [site.git_url],
        "destinations": [{"server": SERVER, "namespace": namespace} for namespace in namespaces],
        "clusterResourceWhitelist": [],
        "namespaceResourceWhitelist": [{"group": group, "kind": kind} for group, kind in kinds],
    }
    labels = pipeline_labels(site.pipeline)
    return build_object(ARGO_CD, "AppProject", name, spec, namespace=site.namespace, labels=labels)
