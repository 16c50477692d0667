"""What of a pipeline's stages the points of a sweep share: a stage is the same where it, its params and all before it are."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from canon.dvc.params import load_params, tracked_values
from canon.dvc.runcache import reasons_without_entry
from canon.model.canonical import sha256_of
from canon.model.graph import Graph
from canon.model.project import Pipeline, Project
from canon.model.stage import Stage
from canon.output.files import load_text, write_text
from canon.planning.pipelines import pipeline_graph
from canon.steps.settings import Values, apply_settings


@dataclass(frozen=True, slots=True)
class PointStages:
    """The stages of one point. ``variants``: key of a stage → hash of all that decides what it makes."""

    graph: Graph
    variants: Mapping[str, str]


def load_points(project: Project, pipeline: Pipeline, points: Sequence[Values]) -> tuple[PointStages, ...]:
    """Resolve the stages of every point; the checkout, which has the profile, is afterwards as it was. Raises CanonError, ProblemsError."""
    graph = pipeline_graph(project, pipeline)
    swept = {file for point in points for file in point}
    found: list[PointStages] = []
    for number, point in enumerate(points):
        with applied_point(project, pipeline, graph, point) as there:
            found.append(PointStages(there, _variants(project.root, there, swept, number)))
    return tuple(found)


@contextlib.contextmanager
def applied_point(project: Project, pipeline: Pipeline, graph: Graph, point: Values) -> Iterator[Graph]:
    """Give a checkout the params of a point; yield its stages as they are then. ``graph``: those without. Raises CanonError, ProblemsError."""
    before = {file: load_text(project.root / file, file) for file in point}
    try:
        apply_settings(project.root, pipeline, graph, point)
        yield pipeline_graph(project, pipeline)
    finally:
        for file, text in before.items():
            if text is not None:
                write_text(project.root / file, text)


def _variants(root: Path, graph: Graph, swept: Collection[str], number: int) -> dict[str, str]:
    made = {path for stage in graph.stages.values() for path in stage.out_paths}
    found: dict[str, str] = {}
    for key in graph.order():
        stage = graph.stages[key]
        document: list[Any] = [
            asdict(stage),
            _params(root, stage, made),
            _read(root, stage, swept),
            sorted(found[parent] for parent in graph.parents[key]),
        ]
        if reasons_without_entry(stage):  # nothing is known of its results: each point runs it
            document.append(number)
        found[key] = sha256_of(document)
    return found


def _params(root: Path, stage: Stage, made: Collection[str]) -> dict[str, Any]:
    """The values of a stage's params, but for files that another stage makes."""
    return {
        file: tracked_values(load_params(root / place), keys, place)
        for (file, keys), (place, _) in zip(stage.params, stage.param_paths, strict=True)
        if place not in made
    }


def _read(root: Path, stage: Stage, swept: Collection[str]) -> dict[str, str | None]:
    """The swept files that a stage has among its deps, whole."""
    files = (
        file for file in swept for dep in stage.dep_paths if file == dep or file.startswith(f"{dep}/") or dep == "."
    )
    return {file: load_text(root / file, file) for file in files}
