"""Declared against live: what is wrong with an environment, in words. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from canon.argocd.live_objects import Application, Pod, Watched
from canon.model.errors import listed
from canon.model.release import Release

State = Literal["as declared", "drift", "cannot tell", "never released"]
DRIFT: State = "drift"
UNKNOWN: State = "cannot tell"
HERE = frozenset({"https://kubernetes.default.svc", "in-cluster", ""})
"""Destinations that are the cluster in which Argo CD itself runs."""


@dataclass(frozen=True, slots=True)
class Declared:
    """An environment as Git has it. ``watches``: what its Application has to follow; ``head``: the commit that was read, None for a checkout.

    ``problem``: why the release cannot be read.
    """

    pipeline: str
    environment: str
    replicas: int
    application: str
    watches: Watched
    release: Release | None = None
    problem: str = ""
    head: str | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """One thing to be said. ``state``: what it makes of the environment; None for what is only worth knowing."""

    text: str
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Live:
    """An environment as the cluster has it. ``unread``: what could not be read; where pods could not, there are none here."""

    application: Application | None = None
    pods: tuple[Pod, ...] = ()
    unread: tuple[Words, ...] = ()
    read_pods: bool = True
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of it."""

    declared: Declared
    live: Live
    words: tuple[Words, ...] = field(default=())

    @property
    def state(self) -> State:
        """The worst that is said."""
        said = {each.state for each in self.words}
        for state in (DRIFT, UNKNOWN):
            if state in said:
                return state
        return "as declared" if self.declared.release else "never released"

    @property
    def running(self) -> tuple[tuple[str, int], ...]:
        """Digests of the pods that serve, or will, and how many there are of each; "" for those that the runtime does not tell."""
        return tuple(sorted(Counter(pod.digest for pod in serving(self.live.pods)).items(), key=lambda each: -each[1]))


def serving(pods: Sequence[Pod]) -> list[Pod]:
    """Pods that serve, or will: neither over nor on their way out."""
    return [pod for pod in pods if not pod.is_over and not pod.is_ending]


def compare(declared: Declared, live: Live) -> Row:
    """Hold an environment as Git has it against what the cluster has."""
    return Row(declared, live, tuple(dict.fromkeys(_words(declared, live))))


def _words(declared: Declared, live: Live) -> Iterator[Words]:
    if declared.problem:
        yield Words(declared.problem, UNKNOWN)
    yield from live.unread
    if declared.release is None:
        if not declared.problem:
            yield from _unreleased(live)
        return
    if live.missing:
        yield Words(live.missing, DRIFT)
    if live.application is not None:
        yield from _application_words(declared, live.application)
    if live.read_pods:
        yield from _pod_words(declared, declared.release, live)


def _unreleased(live: Live) -> Iterator[Words]:
    pods = serving(live.pods)
    if pods:
        yield Words(f"{_count(pods)}, and nothing was released", DRIFT)
    if live.application is not None:
        yield Words("Argo CD has an Application for it, and nothing was released", DRIFT)


def _application_words(declared: Declared, application: Application) -> Iterator[Words]:
    yield from _watched_words(declared, application.watches)
    if application.is_ending:
        yield Words("its Application is being deleted", DRIFT)
    for problem in application.problems:
        yield Words(problem, DRIFT)
    if application.sync == "Unknown":
        yield Words("Argo CD cannot tell whether it is in sync", UNKNOWN)
    elif application.sync != "Synced":
        yield Words(f"Argo CD says {application.sync}", DRIFT)
    if application.health != "Healthy":
        state: State = UNKNOWN if application.health == "Unknown" else DRIFT
        yield Words(f"Argo CD says {application.health}{_after(application.message)}", state)
    if application.operation in {"Failed", "Error"}:
        yield Words(f"the last sync failed{_after(application.operation_message)}", DRIFT)
    elif application.operation in {"Running", "Terminating"}:
        yield Words(f"a sync is going on{_after(application.operation_message)}")


def _watched_words(declared: Declared, found: Watched) -> Iterator[Words]:
    """Where an Application follows something else than what is declared: what it says of it proves nothing then."""
    wanted = declared.watches
    for what, is_, should in (
        ("repository", _plain_url(found.repository), _plain_url(wanted.repository)),
        ("branch", found.branch, wanted.branch),
        ("folder", found.path, wanted.path),
        ("namespace", found.namespace, wanted.namespace),
    ):
        if should and is_ != should:
            yield Words(f"its Application has the {what} {is_ or 'of nobody'}, declared is {should}", DRIFT)
    if found.server not in HERE:
        yield Words(
            f"its Application deploys to the cluster {found.server}; its pods were looked for in another", UNKNOWN
        )


def _plain_url(url: str) -> str:
    return url.removesuffix("/").removesuffix(".git")


def _pod_words(declared: Declared, release: Release, live: Live) -> Iterator[Words]:
    pods = serving(live.pods)
    sets = {pod.replica_set for pod in pods}
    if len(sets) > 1:
        counts = Counter(pod.digest for pod in pods)
        yield Words(f"rolling out: {', '.join(f'{number} of {short(each)}' for each, number in counts.items())}", DRIFT)
    others = [pod for pod in pods if pod.digest and pod.digest != release.digest]
    for digest in dict.fromkeys(pod.digest for pod in others):
        those = [pod for pod in others if pod.digest == digest]
        yield Words(
            f"{_count(those)} {short(digest)}, released is {short(release.digest)}{_hint(declared, live)}", DRIFT
        )
    yield from _spec_words(pods, release)
    yield from _untold_words(pods)
    for pod in pods:
        if pod.trouble:
            yield Words(f"{pod.name}: {pod.trouble}", DRIFT)
    ready = sum(pod.is_ready and pod.digest in {release.digest, ""} for pod in pods)
    if ready < declared.replicas:
        gone = (
            f", {listed([pod.name for pod in live.pods if pod.is_over])} ended"
            if any(p.is_over for p in live.pods)
            else ""
        )
        yield Words(f"{ready} of {declared.replicas} pods are ready with what was released{gone}", DRIFT)


def _spec_words(pods: Sequence[Pod], release: Release) -> Iterator[Words]:
    """What the specs of pods name."""
    by_tag = [pod for pod in pods if pod.serves and not pod.pinned]
    for image in dict.fromkeys(pod.image for pod in by_tag):
        yield Words(f"{image or 'an image without a name'} is named by a tag, not pinned by its digest", DRIFT)
    for pod in pods:
        if pod.pinned and pod.digest and pod.pinned != pod.digest:
            yield Words(f"{pod.name} names {short(pod.pinned)} and runs {short(pod.digest)}", DRIFT)
        elif pod.pinned and not pod.digest and pod.pinned != release.digest:
            yield Words(f"{pod.name} names {short(pod.pinned)}, released is {short(release.digest)}", DRIFT)


def _untold_words(pods: Sequence[Pod]) -> Iterator[Words]:
    """Pods of which nobody says what they run."""
    unknown = [pod.name for pod in pods if not pod.serves]
    if unknown:
        yield Words(f"which of several containers serves cannot be told: {listed(unknown)}", UNKNOWN)
    silent = [pod for pod in pods if pod.serves and not pod.digest and not pod.trouble]
    if silent:
        names = listed([pod.name for pod in silent])
        given = f"{silent[0].image_id} is the digest of no manifest" if silent[0].image_id else "there is no imageID"
        yield Words(f"cannot tell what runs: {given}, as the runtime gives it for {names}", UNKNOWN)


def _hint(declared: Declared, live: Live) -> str:
    seen = live.application.revision if live.application else ""
    return (
        f"; Argo CD has seen {seen[:12]}, not yet {declared.head[:12]}"
        if declared.head and seen and seen != declared.head
        else ""
    )


def _count(pods: Sequence[Pod]) -> str:
    return f"{len(pods)} pod runs" if len(pods) == 1 else f"{len(pods)} pods run"


def _after(text: str) -> str:
    return f": {text}" if text else ""


def short(digest: str) -> str:
    """The beginning of a digest, as people compare them."""
    return digest.removeprefix("sha256:")[:12] or "unknown"
