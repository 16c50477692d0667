"""From a project to its picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from canon.drawing.delivery import Released, draw_delivery
from canon.drawing.picture import Picture, Sketch
from canon.drawing.stages import FOLD, draw_stages
from canon.dvc.render import declared_in
from canon.git import commit_text, is_checkout
from canon.model.errors import CanonError, ProblemsError, UsageError, listed
from canon.model.graph import Graph, graph_problems
from canon.model.project import Pipeline, Project
from canon.model.release import release_from_text, release_path
from canon.output.files import load_text
from canon.planning.pipelines import pipeline_graph
from canon.releases.place import history_head

Releases = Mapping[str, Mapping[str, Released]]
"""Pipeline → environment → what is released there."""


def build_picture(
    project: Project, name: str | None, releases: Releases, *, stages: Collection[str] = (), all_: bool = False
) -> Picture:
    """The picture of one pipeline, with the stages of others that it reads from, or of all.

    ``stages``: names of stages, or of a `foreach` or `matrix`, which alone are drawn with what they read and write, and nothing that follows from
    the result. ``all_``: every member of those, too. Raises CanonError, ProblemsError; UsageError for a stage that there is not.
    """
    pipelines = project.pipelines if name is None else (project.pipeline(name),)
    graph = _graph(project, pipelines)
    problems = project.placed(graph_problems(graph, declared_in(project)))
    if problems:
        raise ProblemsError(problems)
    chosen = _chosen(graph, stages)
    sketch = Sketch()
    drawn = draw_stages(sketch, project, graph, chosen, fold=None if all_ else FOLD)
    if not stages:
        for pipeline in pipelines:
            ends = drawn.unread.get(pipeline.declaration.dvc_file, ())
            environment = drawn.inputs.environment(pipeline)
            draw_delivery(sketch, project, pipeline, ends, environment, releases.get(pipeline.name, {}))
    return sketch.picture(f"Canon: {listed([pipeline.name for pipeline in pipelines])}")


def _graph(project: Project, pipelines: Collection[Pipeline]) -> Graph:
    graphs = [pipeline_graph(project, pipeline) for pipeline in pipelines]
    return Graph(
        {key: stage for graph in graphs for key, stage in graph.stages.items()},
        {key: parents for graph in graphs for key, parents in graph.parents.items()},
    )


def _chosen(graph: Graph, names: Collection[str]) -> Collection[str]:
    if not names:
        return graph.stages
    called: dict[str, list[str]] = {}
    for key, stage in graph.stages.items():
        for name in {key, stage.name, stage.name.partition("@")[0]}:
            called.setdefault(name, []).append(key)
    missing = [name for name in names if name not in called]
    if missing:
        known = listed(sorted({key.partition("@")[0] for key in graph.stages}), 10)
        raise UsageError(f"there is no stage `{missing[0]}` (there is: {known})")
    return {key for name in names for key in called[name]}


def load_releases(project: Project) -> Releases:
    """What the clone knows to be released: at the head of the releases' branch, as `canon history` has it, else in the checkout. Raises nothing."""
    settings, head, known = project.settings.git, None, True
    if settings is not None and is_checkout(project.root):
        try:
            head, _ = history_head(project)
        except CanonError:
            known = settings.releases is None
    unknown = Released(None, "the clone does not know: `git fetch`")
    return {
        pipeline.name: {
            name: _released(project, pipeline.name, name, head) if known else unknown
            for name in pipeline.declaration.deploy
        }
        for pipeline in project.pipelines
    }


def _released(project: Project, pipeline: str, environment: str, head: str | None) -> Released:
    path = release_path(pipeline, environment)
    try:
        text = commit_text(project.root, head, path) if head else load_text(project.root / path, path)
        return Released(release_from_text(text, path) if text is not None else None)
    except CanonError:
        return Released(None, f"{path} cannot be read")
