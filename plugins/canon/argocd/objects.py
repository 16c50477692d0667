"""What objects of Argo CD and of Kubernetes have in common here, as plain mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from canon.model.cluster import PIPELINE_LABEL
from canon.model.forges import commit_page
from canon.model.release import Release

ARGO_CD = "argoproj.io/v1alpha1"
LINK = "link.argocd.argoproj.io"
"""Annotations of this prefix are links in Argo CD's user interface: `title|URL` (controller/cache/info.go)."""


def build_object(
    version: str,
    kind: str,
    name: str,
    spec: Mapping[str, Any],
    *,
    namespace: str | None = None,
    labels: Mapping[str, str],
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """An object with its metadata."""
    metadata: dict[str, Any] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": dict(spec)}


def pipeline_labels(pipeline: str) -> dict[str, str]:
    """On everything of a pipeline."""
    return {PIPELINE_LABEL: pipeline}


def release_links(git_url: str, release: Release) -> dict[str, str]:
    """Links to the commit that a release is of and to its row in MLflow, where these have pages."""
    found = {}
    if page := commit_page(git_url, release.commit):
        found[f"{LINK}/commit"] = f"commit {release.commit[:12]}|{page}"
    if release.run and release.run.startswith(("http://", "https://")):
        found[f"{LINK}/run"] = f"MLflow run|{release.run}"
    return found
