"""What MLflow is told of a sweep."""

from __future__ import annotations

from collections.abc import Mapping

from canon.git import clean_url
from canon.mlflow.record import TAG_COMMIT, TAG_DIRTY, TAG_TREE
from canon.mlflow.sweeps import SweepRecord


def sweep_record(
    pipeline: str, profile: str, sweep: str, space: Mapping[str, str], *, commit: str, tree: str, url: str | None
) -> SweepRecord:
    """The record of a sweep; ``sweep``: the hash that names it, ``commit``: what it was made from, ``url``: of its repository."""
    tags = {
        "canon.pipeline": pipeline,
        "canon.profile": profile,
        TAG_COMMIT: commit,
        TAG_TREE: tree,
        TAG_DIRTY: "false",
        "mlflow.source.type": "PROJECT",
        "mlflow.source.name": clean_url(url) if url else pipeline,
        "mlflow.source.git.repoURL": clean_url(url) if url else "",
    }
    return SweepRecord(pipeline, sweep, space, {key: value for key, value in tags.items() if value})
