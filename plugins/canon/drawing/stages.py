"""The stages of a picture, what they read and what they write."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from canon.drawing.inputs import Inputs
from canon.drawing.picture import MOST_LISTED, Kind, Sketch
from canon.model.graph import Graph
from canon.model.paths import is_url
from canon.model.project import Pipeline, Project
from canon.model.stage import OutKind, Stage

FOLD = 5
"""Members of a `foreach` or `matrix` that are drawn one by one; more are one node."""
MODEL = "model"


@dataclass(frozen=True, slots=True)
class Made:
    """An out. ``stage``: the key of the stage that writes it; ``what``: how DVC lists it, or `model`."""

    path: str
    stage: str
    what: OutKind | str


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn of the stages. ``outs``: path → node; ``unread``: the nodes of outs that end there, with metrics, plots and models, by dvc.yaml."""

    outs: Mapping[str, str]
    unread: Mapping[str, tuple[str, ...]]
    inputs: Inputs


@dataclass
class _Index:
    """Outs by path, and by the folders that they lie in."""

    made: dict[str, Made] = field(default_factory=dict)
    inside: dict[str, list[str]] = field(default_factory=dict)

    def add(self, made: Made) -> None:
        self.made[made.path] = made
        for folder in _above(made.path):
            self.inside.setdefault(folder, []).append(made.path)

    def read_by(self, path: str) -> list[str]:
        """The outs that a dep is, lies in, or holds."""
        return [each for each in (path, *_above(path)) if each in self.made] + self.inside.get(path, [])


def _above(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        if path == "/":
            return
        yield path


def draw_stages(
    sketch: Sketch, project: Project, graph: Graph, chosen: Collection[str], *, fold: int | None = FOLD
) -> Drawn:
    """Draw the stages with the keys ``chosen``, parents first, whatever order they are declared in."""
    order = [key for key in graph.order() if key in chosen]
    stages = {key: graph.stages[key] for key in order}
    index = _index(project, graph)
    inputs = _inputs(sketch, project, index, stages.values())
    nodes = _stage_nodes(sketch, project, graph, order, fold)
    read: dict[str, list[str]] = {key: [] for key in order}
    for key, stage in stages.items():
        for path in _paths(stage):
            read[key] += index.read_by(path)
    outs = _draw_outs(sketch, index, nodes, read)
    pipelines = {pipeline.declaration.dvc_file: pipeline for pipeline in project.pipelines}
    for key, stage in stages.items():
        sketch.link((outs[path] for path in dict.fromkeys(read[key])), nodes[key])
        sketch.link(_declared(inputs, index, pipelines.get(stage.file), stage), nodes[key])
    taken = {path for paths in read.values() for path in paths}
    unread: dict[str, dict[str, None]] = {}
    for path, made in index.made.items():
        if made.stage in nodes and (path not in taken or made.what != "outs"):
            unread.setdefault(stages[made.stage].file, {})[outs[path]] = None
    return Drawn(outs, {file: tuple(found) for file, found in unread.items()}, inputs)


def _paths(stage: Stage) -> tuple[str, ...]:
    return (*stage.dep_paths, *(file for file, _ in stage.param_paths))


def _index(project: Project, graph: Graph) -> _Index:
    index = _Index()
    for key in graph.order():
        stage = graph.stages[key]
        for path, out in zip(stage.out_paths, stage.outs, strict=True):
            index.add(Made(path, key, out.kind))
    for pipeline in project.pipelines:
        for artifact in pipeline.declaration.artifacts.values():
            for path in index.read_by(posixpath.normpath(artifact.path)):
                if artifact.type == MODEL and index.made[path].what == "outs":
                    index.made[path] = Made(path, index.made[path].stage, MODEL)
    return index


def _inputs(sketch: Sketch, project: Project, index: _Index, stages: Iterable[Stage]) -> Inputs:
    files: dict[str, None] = {}
    keys: dict[str, list[str]] = {}
    tools = {
        pipeline.declaration.environment.requirements
        for pipeline in project.pipelines
        if pipeline.declaration.environment
    }
    for stage in stages:
        files.update(dict.fromkeys(path for path in stage.dep_paths if path not in tools and not index.read_by(path)))
        for file, found in stage.param_paths:
            keys.setdefault(file, []).extend(found)
    return Inputs(sketch, project, files, keys)


def _stage_nodes(
    sketch: Sketch, project: Project, graph: Graph, order: Iterable[str], fold: int | None
) -> dict[str, str]:
    """Key of a stage → its node, which many members of one `foreach` or `matrix` have together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for key in order:
        stage = graph.stages[key]
        groups.setdefault((stage.file, stage.name.partition("@")[0]), []).append(key)
    names = {pipeline.declaration.dvc_file: pipeline.name for pipeline in project.pipelines}
    several = len({file for file, _ in groups}) > 1
    found: dict[str, str] = {}
    for (file, name), keys in groups.items():
        owner = [f"pipeline {names.get(file, file)}"] if several else []
        if fold is not None and len(keys) > fold:
            members = [graph.stages[key].name for key in keys]
            node = sketch.add(Kind.AUTOMATED, "stage", f"{file}:{name}@*", f"{name} \u00d7 {len(keys)}", owner, members)
            found.update(dict.fromkeys(keys, node))
            continue
        for key in keys:
            stage = graph.stages[key]
            marks = [word for word in ("frozen", "always_changed") if getattr(stage, word)]
            found[key] = sketch.add(Kind.AUTOMATED, "stage", key, stage.name, [*owner, *marks])
    return found


def _draw_outs(
    sketch: Sketch, index: _Index, nodes: Mapping[str, str], read: Mapping[str, Iterable[str]]
) -> dict[str, str]:
    """Out → its node. Those of one stage that are of one sort, and that the same stages read, are one node; a model is always one of its own."""
    readers: dict[str, dict[str, None]] = {}
    for key, paths in read.items():
        for path in paths:
            readers.setdefault(path, {})[nodes[key]] = None
    groups: dict[tuple[str, ...], list[str]] = {}
    for path, made in index.made.items():
        if made.stage in nodes or path in readers:
            owner = nodes.get(made.stage) or f"not drawn: {made.stage.partition('@')[0]}"
            alike = (path,) if made.what == MODEL else tuple(sorted(readers.get(path, ())))
            groups.setdefault((owner, made.what, *alike), []).append(path)
    found: dict[str, str] = {}
    for (_, what, *_), paths in groups.items():
        if len(paths) == 1:
            node = sketch.add(Kind.ARTIFACT, _word(what), paths[0], paths[0], [] if what == "outs" else [what])
        else:
            key = "\0".join(sorted(paths))
            node = sketch.add(Kind.ARTIFACT, _word(what), key, f"{len(paths)} {what}", _names(paths), sorted(paths))
        found.update(dict.fromkeys(paths, node))
        maker = nodes.get(index.made[paths[0]].stage)
        if maker:
            sketch.link([maker], node)
    return found


def _names(paths: Iterable[str]) -> tuple[str, ...]:
    """The paths, or the folder that all of them are in."""
    names = tuple(sorted(paths))
    if len(names) <= MOST_LISTED:
        return names
    folder = "" if any(map(is_url, names)) else posixpath.commonpath(names)
    return (f"{folder}/\u2026",) if folder.strip("/") else ()


def _word(what: str) -> str:
    return {"outs": "out"}.get(what, what)


def _declared(inputs: Inputs, index: _Index, pipeline: Pipeline | None, stage: Stage) -> Iterator[str]:
    """The nodes of what a stage reads that no stage makes."""
    for path in stage.dep_paths:
        node = None if index.read_by(path) else inputs.of_file(stage, path)
        if node:
            yield node
    params: list[str] = []
    for file, keys in stage.param_paths:
        if not index.read_by(file):
            params += inputs.of_params(file, keys)
    if pipeline is not None:
        params += inputs.variables(pipeline, stage)
        inputs.overlays(pipeline, [node for node in params if node.startswith("params_")])
    yield from params
