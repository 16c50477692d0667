"""What is known of an image that is to be released: proven from the image and Git, and looked up in MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from canon.baking.evidence import load_provenance
from canon.baking.verify import Check, verify_image
from canon.git import commit_text
from canon.image.images import load_image
from canon.image.opening import open_store
from canon.model.errors import CanonError
from canon.model.pins import load_pins
from canon.model.project import Project, pins_file_of
from canon.releases.draft import Facts, facts_of_result
from canon.releases.experiment import find_experiment
from canon.releases.images import released_reference
from canon.releases.pending import Say
from canon.releases.scratch import Scratch
from canon.releases.tracked import find_tracked


def gather_facts(
    project: Project, name: str, image: str, scratch: Scratch, declared: str, say: Say, *, plain_http: bool = False
) -> Facts:
    """Verify an image and find its experiment, run and model. ``declared``: `git.branch`, of the remote.

    Raises UsageError for a reference that no cluster could pull, CanonError for an image of another pipeline, one that is not what it says, and one whose
    result is in no commit of the remote.
    """
    reference = released_reference(image)
    store = open_store(reference, plain_http=plain_http)
    found = load_image(store, store.name, reference.digest or reference.tag, "linux/amd64")
    provenance = load_provenance(store, found)
    if provenance.pipeline != name:
        raise CanonError(f"{image} is an image of the pipeline `{provenance.pipeline}`, not of `{name}`")
    experiment = find_experiment(scratch, provenance, declared)
    _show(verify_image(project.root, store, found), f"{store.name}@{found.digest}", say)
    profile = _profile(project, scratch.root, experiment, name)
    serving = project.pipeline(name).declaration.serving
    run, model = find_tracked(project, profile, name, provenance.result, serving.artifact if serving else "", say)
    made = f"{store.name}@{found.digest}"
    return facts_of_result(
        provenance.recorded_result(),
        made,
        commit=provenance.commit,
        tree=provenance.tree,
        experiment=experiment,
        run=run,
        model=model,
    )


def _show(checks: Iterable[Check], image: str, say: Say) -> None:
    """Say what was not proven. Raises CanonError where something is wrong."""
    failed: list[Check] = []
    for check in checks:
        if check.ok is not True:
            say(f"{check.status:<12}{check.name:<12}{check.detail}")
        if check.ok is False:
            failed.append(check)
    if failed:
        names = ", ".join(check.name for check in failed)
        raise CanonError(f"{image} is not what it says: {names}; it is not released")


def _profile(project: Project, root: Path, experiment: str, name: str) -> str:
    """The profile whose result an experiment has."""
    file = pins_file_of(name)
    text = commit_text(root, experiment, file)
    try:
        applied = load_pins(text, file).profile if text else None
    except CanonError:
        applied = None
    return applied if applied in project.settings.profiles else project.settings.default_profile
