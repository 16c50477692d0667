"""The last that `deliver` does: what was delivered is released to the environments that nothing is promoted to, by a commit on the branch of the releases."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from canon.baking.code import source_commit
from canon.git import run_git, try_git
from canon.model import cluster
from canon.model.errors import CanonError
from canon.model.release import Release
from canon.processes import kept_environment
from canon.releases.draft import Draft, Facts, facts_of_result
from canon.releases.publish import Order, publish_release
from canon.releases.state import Released, Target
from canon.releases.tracked import find_tracked
from canon.steps.documents import WorkflowPlan
from canon.steps.outcome import Outcome
from canon.steps.places import Pod
from canon.steps.revision import FETCHED, repository_of_environment

IDENTITY = {"NAME": "canon", "EMAIL": "canon@localhost"}
"""Who releases where nobody is asked: a pod has no identity of its own, and the commit says which it released."""
Say = Callable[[str], None]


def release_outcome(
    outcome: Outcome, plan: WorkflowPlan, pod: Pod, image: str, experiment: str, say: Say
) -> tuple[str, ...]:
    """Release an image to the environments that the manifest names; return the tags of the releases, also of those that stand already.

    Nothing is released of a commit that is not on the declared branch. Raises CanonError where the branch of the releases cannot be written.
    """
    environments = tuple(filter(None, pod.environ.get(cluster.RELEASES_VARIABLE, "").split("\n")))
    if not environments:
        return ()
    root, repository = outcome.project.root, repository_of_environment(pod.environ)
    declared = repository.branches[0]
    if try_git(root, "merge-base", "--is-ancestor", plan.revision, f"{FETCHED}{declared}") is None:
        say(f"not released: {plan.revision[:12]} is not on {declared}")
        return ()
    facts = _facts(outcome, plan, image, experiment, pod.environ, say)
    target = Target(repository.url, pod.environ.get(cluster.RELEASES_BRANCH_VARIABLE) or declared, declared)
    why = run_git(root, "log", "-1", "--format=%s", plan.revision).decode("utf-8", "replace").strip()
    found: list[str] = []
    for environment in environments:
        order = Order(
            plan.pipeline, environment, f"deliver {image} to {environment}", _decide(environment, facts, why, say)
        )
        with _identity():
            published = publish_release(root, target, order, say=say)
        verb = "released" if published.created else "stands:"
        say(f"{verb} {published.release.tag} {published.release.image}")
        found.append(published.release.tag)
    return tuple(found)


def _facts(
    outcome: Outcome, plan: WorkflowPlan, image: str, experiment: str, environ: Mapping[str, str], say: Say
) -> Facts:
    project, pipeline, result = outcome.project, outcome.pipeline, outcome.result
    serving = pipeline.declaration.serving
    artifact = serving.artifact if serving else ""
    run, model = find_tracked(project, plan.profile, pipeline.name, result.digest, artifact, say, environ)
    return facts_of_result(
        result,
        image,
        commit=source_commit(project.root, plan.revision).changed,
        tree=plan.tree,
        experiment=experiment,
        run=run,
        model=model,
    )


def _decide(environment: str, facts: Facts, why: str, say: Say) -> Callable[[Released], Draft | Release]:
    """Release what was never there: content that was rolled back, or that newer code has replaced, stays where it is. Only people bring it back."""

    def decide(released: Released) -> Draft | Release:
        current: Release | None = None
        with contextlib.suppress(CanonError):  # edited into nonsense: it is replaced
            current = released.current(environment)
        if current is None or _content(current) == _content(facts):
            return current or Draft(facts, why)
        if _is_older(released.scratch.root, facts.commit, current.commit):
            say(f"{environment}: {current.tag} is of newer code, and stays")
            return current
        for row in released.history(environment):
            if row.release is not None and _content(row.release) == _content(facts):
                say(
                    f"{environment}: the same code and result was {row.release.tag}, and was replaced since by {current.tag}, which stays"
                )
                return current
        return Draft(facts, why)

    return decide


def _content(of: Facts | Release) -> tuple[str, str]:
    """What an image serves; its digest says more than that."""
    return of.tree, of.result


def _is_older(root: Path, commit: str, other: str) -> bool:
    return commit != other and try_git(root, "merge-base", "--is-ancestor", commit, other) is not None


@contextlib.contextmanager
def _identity() -> Iterator[None]:
    with kept_environment():
        for role in ("AUTHOR", "COMMITTER"):
            for what, value in IDENTITY.items():
                os.environ.setdefault(f"GIT_{role}_{what}", value)
        yield
