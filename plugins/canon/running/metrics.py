"""The metrics of stages: those that a finished one has written, and those of a workspace before a run, which they are held against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
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


def load_stage_metrics(stage: Any) -> Mapping[str, float]:  # noqa: ANN401  DVC's own
    """Name → number of a stage's metrics files."""
    return _load((str(out), Path(out.fs_path)) for out in stage.outs if out.metric)


def load_metrics(project: Project) -> dict[str, Mapping[str, float]]:
    """Stage, as DVC addresses it, → name → number, of the metrics files that are there. Raises ProblemsError where the stages cannot be resolved."""
    stages = [stage for pipeline in project.pipelines for stage in declared_document(project, pipeline)[1]]
    found = {stage_key(stage): _load(_files(project.root, stage)) for stage in stages}
    return {stage: metrics for stage, metrics in found.items() if metrics}


def _files(root: Path, stage: Stage) -> Iterable[tuple[str, Path]]:
    pairs = zip(stage.out_paths, stage.outs, strict=True)
    return [(path, root / path) for path, out in pairs if out.kind == "metrics"]


def _load(files: Iterable[tuple[str, Path]]) -> Mapping[str, float]:
    """Numbers, named as in MLflow; what cannot be read is left out: `track` says what is wrong with it."""
    found: dict[str, Any] = {}
    for name, path in files:
        try:
            if path.is_file() and path.stat().st_size <= LARGEST:
                found[name] = parse_metrics(path.read_bytes(), name)
        except (CanonError, OSError, RecursionError):
            continue
    return flat_metrics(found) if found else {}
