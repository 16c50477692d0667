"""What is to be released: an image, what another environment has, or what was there before."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from canon.model.errors import CanonError, listed
from canon.model.gates import Health, Verdict, evaluate_gate, gate_from_text
from canon.model.release import Origin, Release
from canon.releases.draft import Draft, Facts, facts_of
from canon.releases.pending import Say
from canon.releases.publish import Decide
from canon.releases.state import Released

CheckImage = Callable[[str], None]
"""Raises CanonError unless the registry has an image."""
HealthOf = Callable[[Release], Health]
"""Who knows how long a release has been healthy where it runs."""


def decide_release(facts: Facts, why: str | None) -> Decide:
    """Release an image of these facts."""
    return lambda _: Draft(facts, why or f"an image of {facts.commit[:12]}")


def decide_promotion(
    source: str, target: str, why: str | None, check_image: CheckImage, health_of: HealthOf | None, say: Say
) -> Decide:
    """Take what an environment has to the next one. It refuses (CanonError) what does not come from there, and what a gate does not let through."""

    def decide(released: Released) -> Draft:
        released.check_declared(source)
        declared = released.pipeline.declaration.deploy[target]
        if declared.from_ != source:
            comes = f"from `{declared.from_}`" if declared.from_ else "by `canon release`"
            raise CanonError(
                f"{released.pipeline.file}: what is in `{target}` comes {comes}, not from `{source}`; declare `from: {source}` there to change that"
            )
        current = released.current(source)
        if current is None:
            raise CanonError(
                f"`{source}` of {released.name} has no release that could be promoted; `canon release` makes one"
            )
        health = health_of(current) if health_of is not None else None
        check_gates(released, current, target, declared.gates, health, say)
        check_image(current.image)
        reason = why or f"promoted from {source} #{current.number}"
        return Draft(facts_of(current), reason, promoted=Origin(environment=source, number=current.number))

    return decide


def check_gates(
    released: Released, current: Release, target: str, gates: tuple[str, ...], health: Health | None, say: Say
) -> None:
    """Say what came of each gate. Raises CanonError where one does not hold."""
    failed: list[Verdict] = []

    def metrics_of(environment: str) -> Mapping[str, float] | None:
        released.check_declared(environment)
        there = released.current(environment)
        return None if there is None else there.metrics

    for text in gates:
        verdict = evaluate_gate(gate_from_text(text), current.metrics, metrics_of, health)
        say(f"{'ok' if verdict.holds else 'FAILED':<8}{verdict.gate}: {verdict.says}")
        if not verdict.holds:
            failed.append(verdict)
    if failed:
        told = "; ".join(f"{verdict.gate} ({verdict.says})" for verdict in failed)
        raise CanonError(
            f"{current.tag} does not pass the gates of `{target}`: {told}; `deploy.{target}.gates` declares them"
        )


def decide_rollback(environment: str, to: int | None, why: str | None, check_image: CheckImage) -> Decide:
    """Bring an earlier release back: the one of that number, else the last one with another image. Raises CanonError where there is none."""

    def decide(released: Released) -> Draft:
        earlier = _earlier(released, environment, to)
        check_image(earlier.image)
        return Draft(facts_of(earlier), why or f"back to #{earlier.number}", restores=earlier.number)

    return decide


def _earlier(released: Released, environment: str, to: int | None) -> Release:
    where = f"`{environment}` of {released.name}"
    rows = released.history(environment)
    current = rows[0].release.image if rows and rows[0].release is not None else None
    for row in rows:
        if to is not None and not row.may_be(to):
            continue
        release = row.release
        if release is None or row.problem:
            continue
        if release.number == to if to is not None else release.image != current:
            return release
    if to is not None:
        numbers = [f"#{row.release.number}" for row in rows if row.release is not None and not row.problem]
        raise CanonError(
            f"{where} never had a release #{to} (it had: {listed(numbers, 10) or 'none'}){_missing(released)}"
        )
    raise CanonError(f"{where} has no earlier release with another image{_missing(released)}")


def _missing(released: Released) -> str:
    from canon.releases.history import is_shallow

    shallow = is_shallow(released.scratch.root)
    return "; this clone is shallow, `git fetch --unshallow` brings what was before" if shallow else ""
