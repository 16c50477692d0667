"""Projects whose models are deployed by Argo CD, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from canon.deployments.adapter import render_deployments
from canon.model.project import load_project
from canon.model.release import Release, format_release, release_path
from tests.clustered import CLUSTER, COMMON, HEAD, STAGES, make_clustered

SERVED = """\
artifacts: {toy: {path: model, type: model}}
serving: {artifact: toy, cmd: sh serve.sh, pod: {memory: 1Gi}}
"""
DEPLOYED = """\
deploy:
  staging: {namespace: toy-staging}
  production: {namespace: toy-production, from: staging, replicas: 2, gates: ["rmse <= 1.1 * production.rmse"]}
"""
SYNC = "triggers: {sync: cluster}\n"
IMAGE = f"registry.example.com/ml/toy@sha256:{'5' * 64}"


def make_release(environment: str = "staging", **changes: Any) -> Release:
    """A release of the pipeline `toy`."""
    known = {
        "pipeline": "toy", "environment": environment, "number": 3, "image": IMAGE, "version": "v0.0.2", "commit": "1f2e3d4c" * 5,
        "tree": "2" * 40, "experiment": "3" * 40, "result": "4" * 64, "data_hash": "6" * 64, "entries": {"train": "7" * 64},
        "run": "https://mlflow.example.com/#/experiments/1/runs/8", "metrics": {"rmse": 0.5}, "time": "2026-11-20T10:00:00Z",
        "author": "Ada <ada@example.com>", "why": "a new month",
    }  # fmt: skip
    return Release.model_validate({**known, **changes})


def make_deployed(
    root: Path,
    declaration: str = HEAD + STAGES + SERVED + DEPLOYED + SYNC,
    *releases: Release,
    settings: str = COMMON + CLUSTER,
) -> Path:
    """Write a project with one declaration and its releases."""
    make_clustered(root, declaration, settings=settings)
    for release in releases:
        path = root / release_path(release.pipeline, release.environment)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(format_release(release))
    return root


def delivered(root: Path) -> dict[str, str]:
    """Path below `argo/toy/` → text of what the adapter renders for a project."""
    return {file.path.removeprefix("argo/toy/"): file.text for file in render_deployments(load_project(root))}


def objects(text: str) -> list[dict[str, Any]]:
    """The manifests of a file."""
    return [each for each in yaml.safe_load_all(text) if each]
