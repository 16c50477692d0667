"""Projects with a profile that runs in a cluster, as files: nothing of Git or DVC is needed to render them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from canon.argo.sweep import build_sweep_template
from canon.model.project import Project, load_project
from canon.output.files import RenderedFile
from canon.output.yaml import load_yaml
from canon.sweeps.layout import Layout, block_tasks, build_layout
from canon.sweeps.variants import load_points
from canon.workflows.adapter import render_workflows
from canon.workflows.sites import build_site, load_remote

DIGEST = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
COMMON = f"""
[tool.canon]
default_profile = "local"
tools_image = "registry.example.com/ml/canon@{DIGEST}"
git = {{url = "https://git.example.com/ml/toy.git"}}
[tool.canon.profiles.local]
"""
CLUSTER = """
[tool.canon.profiles.cluster]
remote = "store"
namespace = "ml"
registry = "registry.example.com/ml"
"""
SERVICES = CLUSTER + 'mlflow = "http://mlflow.mlops:5000"\n'
REMOTE = "['remote \"store\"']\n    url = s3://bucket/dvc\n"
HEAD = f"name: toy\nenvironment: {{image: registry.example.com/ml/toy@{DIGEST}}}\n"
STAGES = """\
stages:
  prepare: {cmd: sh p.sh, deps: [p.sh], outs: [prepared]}
  train: {cmd: sh t.sh, deps: [t.sh, prepared], outs: [model]}
"""
SWEPT = """\
stages:
  prepare: {cmd: sh p.sh, deps: [p.sh], params: [{p.yaml: [seed]}], outs: [prepared], pod: {memory: 1Gi}}
  train: {cmd: sh t.sh, deps: [t.sh, prepared], params: [{p.yaml: [lr]}], outs: [model], pod: {gpu: 1, retries: 0}}
  judge: {cmd: sh j.sh, deps: [j.sh, model], outs: [verdict], pod: {memory: 1Gi}}
"""
SWEPT_PARAMS = "seed: 1\nlr: 0.5\n"


def make_clustered(
    root: Path, declaration: str = HEAD + STAGES, *, settings: str = COMMON + CLUSTER, remote: str = REMOTE, name: str = "toy"
) -> Path:  # fmt: skip
    """Write a project with one declaration, or one more declaration."""
    (root / ".dvc").mkdir(parents=True, exist_ok=True)
    (root / "pipelines").mkdir(exist_ok=True)
    (root / "pyproject.toml").write_text(settings)
    (root / ".dvc/config").write_text(remote)
    (root / f"pipelines/{name}.yaml").write_text(declaration)
    return root


def tree(stages: int) -> str:
    """The stages of a binary tree, each of which reads what the one above it writes."""
    lines = ["stages:"]
    for number in range(stages):
        deps = f"step.py, out/{(number - 1) // 2}.txt" if number else "step.py"
        lines.append(f"  stage-{number}: {{cmd: python step.py, deps: [{deps}], outs: [out/{number}.txt], pod: {{cpu: 1, memory: 1Gi}}}}")  # fmt: skip
    return "\n".join(lines) + "\n"


def rendered(root: Path, names: Sequence[str] = ()) -> dict[str, str]:
    """Path → text of the files that the adapter renders for a project."""
    project: Project = load_project(root, names)
    files: tuple[RenderedFile, ...] = render_workflows(project)
    return {file.path: file.text for file in files}


def workflow_of(root: Path, file: str = "argo/toy/workflow/cluster.yaml") -> dict[str, Any]:
    """The mapping of one rendered manifest."""
    manifest: dict[str, Any] = load_yaml(rendered(root)[file], file)
    return manifest


def template_of(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    """A template of a WorkflowTemplate by its name."""
    found: dict[str, Any] = next(each for each in manifest["spec"]["templates"] if each["name"] == name)
    return found


def sweep_of(
    root: Path, points: Sequence[Mapping[str, Mapping[str, Any]]], name: str = "toy"
) -> tuple[dict[str, Any], Layout]:
    """What a sweep's Workflow is a copy of, in the profile `cluster`, and its layout."""
    project = load_project(root)
    pipeline = project.pipeline(name)
    (root / pipeline.environment_file).write_text("environment: {image: x}\n")
    layout = build_layout(pipeline.declaration, load_points(project, pipeline, points))
    site = build_site(project, pipeline, "cluster", load_remote(root, "store"))
    named = {node.name: (node.point, node.task.name) for node in layout.nodes}
    return build_sweep_template(pipeline, site, block_tasks(layout.nodes), named, layout.dag), layout
