"""Tags for users' own fluent runs: commit and remote, and the pipeline that a stage or a notebook belongs to."""

from __future__ import annotations

import posixpath
from pathlib import Path

from canon.git import head_commit, remote_url
from canon.model.pins import data_hash
from canon.model.project import Pipeline, Project, load_project
from canon.model.result import data_inputs
from canon.model.root import find_root
from canon.results.collect import collect_pins
from canon.results.locks import declared_stages
from canon.results.track import project_home


def source_tags(cwd: Path) -> dict[str, str]:
    """Commit and remote for a user's own fluent run.

    MLflow's own tag of the remote's URL holds the password that is in it: this one goes over it.
    """
    root = find_root(cwd)
    tags = {"mlflow.source.git.commit": head_commit(root), "mlflow.source.git.repoURL": remote_url(project_home(root))}
    return {key: value for key, value in tags.items() if value}


def pipeline_tags(cwd: Path, stage: str | None) -> dict[str, str]:
    """Pipeline and data hash for a user's own fluent run, and the stage where DVC runs one (``stage``: DVC_STAGE).

    In a notebook the pipeline is known where the project has only one.
    """
    root = find_root(cwd)
    project = load_project(root)
    pipeline, name = _pipeline_of_stage(project, stage) if stage else (None, None)
    if not stage and len(project.pipelines) == 1:
        pipeline = project.pipelines[0]
    if pipeline is not None:
        return {**data_tags(project, pipeline), **({"canon.stage": name} if name else {})}
    return {}


def data_tags(project: Project, pipeline: Pipeline) -> dict[str, str]:
    """Name and data hash of a pipeline. Raises CanonError where a file that tracks data cannot be read."""
    pins = collect_pins(project, pipeline, declared_stages(project, pipeline))
    return {"canon.pipeline": pipeline.name, "canon.data_hash": data_hash(data_inputs(pins))}


def _pipeline_of_stage(project: Project, stage: str) -> tuple[Pipeline | None, str]:
    """Pipeline and name of a stage as DVC_STAGE has it: ``[file:]name``, the file as seen from where DVC was started."""
    file, _, name = stage.rpartition(":")
    known = {
        pipeline.name: pipeline
        for pipeline in project.pipelines
        if any(name == declared.name for declared in declared_stages(project, pipeline))
    }
    for pipeline in known.values():
        if posixpath.normpath(pipeline.declaration.dvc_file) == posixpath.normpath(file or "dvc.yaml"):
            return pipeline, name
    return (next(iter(known.values())) if len(known) == 1 else None), name
