"""The serving image of a delivered result: the image that the stages ran in, and the model on top of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from canon.baking.bake import bake_model
from canon.baking.base import Base, Code
from canon.baking.code import source_commit
from canon.baking.labels import TREE
from canon.baking.places import image_at
from canon.baking.provenance import BakedModel
from canon.baking.serving import served
from canon.baking.trained import BakedLayer, Trained
from canon.dvc.objects import StoredFile
from canon.git import commit_source_tree
from canon.image.images import Image
from canon.image.opening import open_store
from canon.image.references import parse_reference
from canon.model.errors import CanonError
from canon.results.rows import recorded_artifact
from canon.steps.documents import WorkflowPlan
from canon.steps.outcome import Outcome
from canon.steps.planner import PLATFORM


def bake_outcome(
    outcome: Outcome, plan: WorkflowPlan, registry: str, cache: Path, before: BakedLayer | None = None
) -> tuple[str, BakedLayer]:
    """Bake the model onto the base of the plan, push it, and return its reference, by digest, and its layer. The same again pushes nothing.

    ``cache``: folder of the objects that the model's files are among; they are brought unless the registry has the layer that was made of them
    ``before``. Raises CanonError for a base that does not hold the revision's code.
    """
    project, pipeline = outcome.project, outcome.pipeline
    place = f"{registry.rstrip('/')}/{pipeline.name}"
    tree = commit_source_tree(project.root, plan.revision)
    image = _base_image(plan, place, tree)
    code = Code(source_commit(project.root, plan.revision), tree, dirty=False, listed=plan.revision)
    # `plan` builds on the declared image alone, so that the tree is all of the variant.
    base = Base(image, code.commit.changed, tree, dirty=False, layers=(), variant=tree[:12])
    serving, path = served(pipeline)
    artifact = pipeline.declaration.artifacts[serving.artifact]
    target = open_store(parse_reference(place))
    recorded = outcome.result.artifacts.get(serving.artifact, {})  # none of what no stage makes, which is refused below
    if before is not None and not (_is_of(before.model, serving.artifact, path, recorded) and target.has(before.layer)):
        before = None
    files: tuple[StoredFile, ...] = ()
    if before is None:
        outcome.bring()
        files = recorded_artifact(artifact, pipeline, outcome.result.entries, cache, None)
    trained = Trained(outcome.result, serving.artifact, path, files, _applied(plan, outcome), cache, before)
    baked = bake_model(pipeline, code, base, trained, target, project.root, keeps_tags=True)
    return f"{target.name}@{baked.image.digest}", baked.model


def _is_of(model: BakedModel, artifact: str, path: str, recorded: Mapping[str, str]) -> bool:
    """Tell whether a model is the artifact of a result, by the sha256 of its files."""
    files = {name: file.sha256 for name, file in model.files.items()}
    return (model.artifact, model.path, files) == (artifact, path, dict(recorded))


def _base_image(plan: WorkflowPlan, place: str, tree: str) -> Image:
    """The base; the plan is read from the remote, so that what it names must be what it has to be."""
    _, image = image_at(plan.image, PLATFORM)
    if not plan.image.startswith(f"{place}@") or image.labels.get(TREE) != tree or plan.tree != tree:
        raise CanonError(
            f"the plan names the base {plan.image}, which is not {place} with the code of {plan.revision[:12]}; run the workflow anew"
        )
    return image


def _applied(plan: WorkflowPlan, outcome: Outcome) -> Mapping[str, bytes]:
    """Params files that are not the commit's: of those that the profile changed, what this pipeline reads."""
    return {
        path: text.encode("utf-8", "surrogateescape")
        for path, text in sorted(plan.applied.items())
        if path in outcome.result.params
    }
