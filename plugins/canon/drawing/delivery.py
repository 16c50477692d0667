"""What follows from the stages of a pipeline: the result and its row in MLflow, the images, and the environments with their releases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from canon.drawing.picture import Kind, Sketch
from canon.model.delivery import Environment
from canon.model.project import Pipeline, Project
from canon.model.release import Release

SHORT = 12
"""Hex digits of a digest that are shown."""


@dataclass(frozen=True, slots=True)
class Released:
    """What is released in an environment; ``problem``: why it cannot be read."""

    release: Release | None
    problem: str = ""


def draw_delivery(
    sketch: Sketch,
    project: Project,
    pipeline: Pipeline,
    ends: Iterable[str],
    environment: str | None,
    released: Mapping[str, Released],
) -> None:
    """Draw it. ``ends``: the outs that a result is made of last; ``environment``: the node of the declared one; ``released``: by environment.

    A result holds the entries of all stages; what it reads from the others goes without an edge.
    """
    ends = tuple(ends)
    models = [node for node in ends if sketch.nodes[node].what == "model"]
    _draw_result(sketch, pipeline, ends)
    declaration = pipeline.declaration
    clustered = any(profile.namespace for profile in project.settings.profiles.values())
    if declaration.serving is None and not (clustered and environment):
        return
    base = _draw_base(sketch, pipeline, environment)
    if declaration.serving is None:
        return
    path = declaration.artifacts[declaration.serving.artifact].path
    baked = [node for node in models if path in {sketch.nodes[node].label, *sketch.nodes[node].members}] or models
    bake = sketch.add(Kind.AUTOMATED, "bake", pipeline.name, "bake", ["canon image bake"])
    sketch.link([base, *(baked or ends)], bake)
    image = sketch.add(Kind.ARTIFACT, "serving image", pipeline.name, "serving image", ["base + model, by digest"])
    sketch.link([bake], image)
    _draw_environments(sketch, pipeline, image, released)


def _draw_result(sketch: Sketch, pipeline: Pipeline, ends: Iterable[str]) -> None:
    name = pipeline.name
    if pipeline.declaration.track:
        tracks = sketch.add(Kind.AUTOMATED, "track", name, "track", ["the last stage"])
        path = f"results/{name}.json"
        sketch.link([tracks], sketch.add(Kind.ARTIFACT, "result", path, path, ["result"]))
    else:
        tracks = sketch.add(Kind.AUTOMATED, "track", name, "log", ["canon log"])
    sketch.link(ends, tracks)
    artifacts = pipeline.declaration.artifacts.items()
    registered = [f"model {artifact}" for artifact, each in artifacts if each.type == "model"]
    sketch.link([tracks], sketch.add(Kind.ARTIFACT, "row", name, "row in MLflow", registered))


def _draw_base(sketch: Sketch, pipeline: Pipeline, environment: str | None) -> str:
    source = sketch.add(Kind.DECLARED, "source tree", "", "source tree", ["what the commit holds"])
    bases = sketch.add(Kind.AUTOMATED, "base", pipeline.name, "base", ["canon image base"])
    sketch.link([environment, source] if environment else [source], bases)
    details = ["image + environment + code"]
    base = sketch.add(Kind.ARTIFACT, "base image", pipeline.name, "base image", details)
    sketch.link([bases], base)
    return base


def _draw_environments(sketch: Sketch, pipeline: Pipeline, image: str, released: Mapping[str, Released]) -> None:
    deploy = pipeline.declaration.deploy
    nodes = {
        name: sketch.add(
            Kind.DECLARED, "deploy", f"{pipeline.name}/{name}", name, _lines(environment, released.get(name))
        )
        for name, environment in deploy.items()
    }
    for name, environment in deploy.items():
        if environment.from_ is None:
            release = sketch.add(Kind.AUTOMATED, "release", pipeline.name, "release", ["canon release"])
            sketch.link([image], release)
            sketch.link([release], nodes[name])
        else:
            details = environment.gates or ("canon promote",)
            promote = sketch.add(Kind.AUTOMATED, "promote", f"{pipeline.name}/{name}", "promote", details)
            sketch.link([nodes[environment.from_]], promote)
            sketch.link([promote], nodes[name])


def _lines(environment: Environment, released: Released | None) -> Iterator[str]:
    yield f"namespace {environment.namespace}"
    release = released.release if released else None
    if released and released.problem:
        yield released.problem
    elif release is None:
        yield "never released"
    else:
        yield f"#{release.number} {release.version}"
        yield release.digest[: len("sha256:") + SHORT]
