"""What the layers above the code may hold: the model that the code declares to be served, the provenance, params files as they were applied."""

from __future__ import annotations

from collections.abc import Iterator

from canon.baking.code import SOURCE
from canon.baking.evidence import Evidence, Finding
from canon.baking.provenance import PROVENANCE
from canon.baking.serving import served
from canon.model.errors import CanonError
from canon.model.pins import folder_md5
from canon.model.project import Pipeline
from canon.results.rows import recorded_outs
from canon.workspaces.profiles import params_files


def applicable(pipeline: Pipeline) -> tuple[str, ...]:
    """The files that a profile or an experiment may change: params files of the stages, the pins, the environment's."""
    return (*params_files(pipeline), pipeline.pins_file, pipeline.environment_file)


def known(pipeline: Pipeline | CanonError) -> Pipeline:
    """The declaration; raises what stood in the way of it."""
    if isinstance(pipeline, CanonError):
        raise pipeline
    return pipeline


def model_findings(evidence: Evidence, pipeline: Pipeline | CanonError) -> Iterator[Finding]:
    """The model is what the declaration serves; its files are those of the result, by sha256, and nothing else lies beside them."""
    model = evidence.provenance.model
    serving, path = served(known(pipeline))
    if (model.artifact, model.path) != (serving.artifact, path):
        yield (
            False,
            f"it holds {model.artifact} at {model.path}, and {serving.artifact} at {path} is declared to be served",
        )
    yield from _stored(evidence, known(pipeline))
    recorded = evidence.provenance.artifacts.get(model.artifact)
    if recorded != {path: file.sha256 for path, file in model.files.items()}:
        yield False, f"the provenance names other files of {model.artifact} than its result does"
    there = dict(evidence.model)
    for path, file in model.files.items():
        full = f"{SOURCE}/{model.path}/{path}".rstrip("/")
        found = there.pop(full, None)
        if found is None:
            yield False, f"/{full} is missing"
        elif found.sha256 != file.sha256 or found.size != file.size:
            yield False, f"/{full} has the sha256 {found.sha256[:12]}…, and the result recorded {file.sha256[:12]}…"
    for path in sorted(there):
        yield False, f"/{path} lies in the model's layer, and is no part of the model"
    yield from _beside(evidence, known(pipeline))
    if not evidence.plain:
        yield (
            False,
            "the layers of model and provenance are not what Canon makes of these files: names, order, owners, times or modes are others",
        )
    yield True, f"{len(model.files)} files of {model.artifact}, {model.hash[:12]}…"


def _beside(evidence: Evidence, pipeline: Pipeline) -> Iterator[Finding]:
    """With the provenance lie params files, over the code, as they were applied, and nothing else."""
    there = dict(evidence.beside)
    there.pop(PROVENANCE, None)
    allowed = applicable(pipeline)
    for path, sha256 in evidence.provenance.applied.items():
        full = f"{SOURCE}/{path}"
        if path not in allowed:
            yield False, f"/{full} is no params file of a stage, and lies over the code"
        if full in evidence.model:
            yield False, f"/{full} lies over a file of the model"
        found = there.pop(full, None)
        if found is None or found.sha256 != sha256:
            yield False, f"/{full} is not the params file that was applied"
    for path in sorted(there):
        yield False, f"/{path} lies beside the provenance, and is no params file that was applied"


def _stored(evidence: Evidence, pipeline: Pipeline) -> Iterator[Finding]:
    """The bytes in the layer have the md5 that the stage recorded of its out."""
    model = evidence.provenance.model
    top = f"{SOURCE}/{model.path}"
    there = {
        path.removeprefix(top).strip("/"): found.md5
        for path, found in evidence.model.items()
        if path == top or path.startswith(f"{top}/")
    }
    if any(file.md5 != there.get(path) for path, file in model.files.items()):
        yield False, "the provenance names other md5 of the model's files than they have"
    for stage, path, out in recorded_outs(pipeline, evidence.provenance.entries):
        if path == model.path:
            recorded = str(out.get("md5"))
            found = folder_md5(sorted(there.items())) if recorded.endswith(".dir") else there.get("", "")
            if found != recorded:
                yield (
                    False,
                    f"the files of {path} have the md5 {found[:12]}…, and `{stage}` recorded {recorded[:12]}…",
                )
            return
        if model.path.startswith(f"{path}/"):
            yield None, f"{model.path} is a part of {path}, of which no stage recorded a hash of its own"
            return
    yield False, f"no stage recorded {model.path} as an out"
