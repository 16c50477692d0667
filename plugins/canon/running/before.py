"""The metrics as a workspace has them before a run: what those of the run are held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from canon.dvc.render import declared_document
from canon.mlflow.record import flat_metrics
from canon.model.errors import CanonError
from canon.model.graph import stage_key
from canon.model.project import Project
from canon.model.stage import Stage
from canon.results.collect import parse_metrics

LARGEST = 1 << 20
"""Bytes of a metrics file that is read to be shown."""


def load_metrics(project: Project) -> dict[str, Mapping[str, float]]:
    """Stage, as DVC addresses it, → name → number, of the metrics files that are there; what cannot be read is left out.

    Raises ProblemsError where the stages cannot be resolved.
    """
    stages = [stage for pipeline in project.pipelines for stage in declared_document(project, pipeline)[1]]
    found = {stage_key(stage): _metrics_of(project, stage) for stage in stages}
    return {stage: metrics for stage, metrics in found.items() if metrics}


def _metrics_of(project: Project, stage: Stage) -> Mapping[str, float]:
    content: dict[str, Any] = {}
    for path, out in zip(stage.out_paths, stage.outs, strict=True):
        file = project.root / path
        try:
            if out.kind == "metrics" and file.is_file() and file.stat().st_size <= LARGEST:
                content[path] = parse_metrics(file.read_bytes(), path)
        except (CanonError, OSError, RecursionError):
            continue
    return flat_metrics(content) if content else {}
