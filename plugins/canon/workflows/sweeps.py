"""`canon sweep --submit`: all points of a sweep over a pushed commit as one Workflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from canon.argo.submission import build_own
from canon.argo.sweep import build_sweep_template
from canon.model import cluster
from canon.model.cluster import DELIVER
from canon.sweeps.layout import Layout, block_tasks, build_layout
from canon.sweeps.local import PlannedSweep
from canon.sweeps.points import Asked, format_sweep, load_sweep
from canon.sweeps.variants import load_points
from canon.workflows.kept import kept_manifests
from canon.workflows.submit import Order, Prepared, Say, Submission, own_pipeline, prepared


@dataclass(frozen=True, slots=True)
class PreparedSweep:
    """A sweep over a commit that may run in a cluster: its points, and how it is submitted. ``server``: what the declared branch says of Argo's."""

    planned: PlannedSweep
    layout: Layout
    submission: Submission
    server: str | None


@contextmanager
def prepared_sweep(root: Path, order: Order, asked: Asked, say: Say) -> Iterator[PreparedSweep]:
    """All of a sweep before Argo is asked. Raises CanonError, ProblemsError and UsageError for what is in its way."""
    with prepared(root, order, say) as ready:
        there, pipeline = ready.project, ready.pipeline
        sweep = load_sweep(there.root, pipeline, asked)
        points = load_points(there, pipeline, sweep.points)
        layout = build_layout(pipeline.declaration, points)
        site = ready.declared.site
        planned = PlannedSweep(pipeline.name, site.profile, ready.commit, sweep, points)
        parameters = {cluster.REVISION: ready.commit, cluster.POINTS: format_sweep(sweep)}
        manifest = build_own(site, build_template(ready, layout), parameters, ready.description)
        submission = Submission(manifest, True, site, ready.commit, block_tasks(layout.nodes))
        yield PreparedSweep(planned, layout, submission, ready.declared.server)


def build_template(ready: Prepared, layout: Layout) -> Mapping[str, Any]:
    """The template that a sweep's Workflow is a copy of. Raises ProblemsError."""
    named = {node.name: (node.point, DELIVER if node.is_deliver else node.task.name) for node in layout.nodes}
    build = partial(kept_manifests, ready.root)
    return build_sweep_template(
        own_pipeline(ready), ready.declared.site, block_tasks(layout.nodes), named, layout.dag, build
    )
