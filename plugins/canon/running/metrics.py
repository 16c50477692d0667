"""The metrics that a finished stage has written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from canon.model.errors import CanonError

LARGEST = 1 << 20
"""Bytes of a metrics file that is read to be shown."""


def load_stage_metrics(stage: Any) -> Mapping[str, float]:  # noqa: ANN401  DVC's own
    """Name → number of a stage's metrics files, named as in MLflow; what cannot be read is left out: `track` says what is wrong with it."""
    from canon.mlflow.record import flat_metrics
    from canon.results.collect import parse_metrics

    found: dict[str, Any] = {}
    for out in stage.outs:
        path = Path(out.fs_path)
        if not out.metric or not path.is_file():
            continue
        try:
            if path.stat().st_size <= LARGEST:
                found[str(out)] = parse_metrics(path.read_bytes(), str(out))
        except (CanonError, OSError):
            continue
    return flat_metrics(found) if found else {}
