"""What proves that a service has been healthy for some time: the gate `healthy 24h`.

Argo CD's own word with the time since when it holds, of a comparison that is newer than the release, and every pod: running the released digest, ready, and its
container not started anew, all that long by the API server's clock. A pod that was moved to another node yesterday makes the gate wait: what it was before
is known to nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from canon.argocd.live_objects import Application
from canon.argocd.status import Row, serving
from canon.model.release import Release


class Finding(NamedTuple):
    """Whether it holds, and what is to be said of it."""

    holds: bool
    says: str


def healthy_since(row: Row, duration: timedelta, now: datetime) -> Finding:
    """Whether an environment that was looked at has been healthy for so long. ``now``: by the cluster's clock."""
    release = row.declared.release
    name = row.declared.environment
    if release is None:
        return Finding(False, f"{name} has no release")
    said = [each.text for each in row.words]
    said += _missing(row, release, duration, now)
    if said:
        return Finding(
            False,
            f"{name} is not known to be healthy for {format_duration(duration)}: {'; '.join(dict.fromkeys(said))}",
        )
    number = len(serving(row.live.pods))
    pods = "1 pod" if number == 1 else f"{number} pods"
    return Finding(True, f"{name} runs {release.tag} in {pods}, healthy for more than {format_duration(duration)}")


def _missing(row: Row, release: Release, duration: timedelta, now: datetime) -> Iterator[str]:
    application, pods = row.live.application, serving(row.live.pods)
    if application is not None:
        yield from _application_missing(application, release, duration, now)
    elif not row.live.missing and not row.live.unread:
        yield "nobody knows its Application"
    if not pods and row.live.read_pods:
        yield "no pod serves"
    for pod in pods:
        if pod.digest != release.digest:
            yield f"{pod.name} is not known to run what was released"
        yield from _too_young(f"{pod.name} is ready", pod.ready, duration, now)
        yield from _too_young(f"the container of {pod.name} runs", pod.started, duration, now)


def _application_missing(
    application: Application, release: Release, duration: timedelta, now: datetime
) -> Iterator[str]:
    if application.operation != "Succeeded":
        yield f"Argo CD's last sync is {application.operation or 'unknown'}, not Succeeded"
    if application.reconciled is None:
        yield "Argo CD does not say when it compared last (status.reconciledAt)"
    elif (released := _moment(release.time)) is None or application.reconciled <= released:
        yield "Argo CD has not compared since the release"
    if application.since is None:
        yield "Argo CD does not say since when it is healthy (status.health.lastTransitionTime)"
    else:
        yield from _too_young("Argo CD says Healthy", application.since, duration, now)


def _moment(text: str) -> datetime | None:
    """The time of a release; None for one that no calendar has."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _too_young(what: str, since: datetime | None, duration: timedelta, now: datetime) -> Iterator[str]:
    if since is None:
        yield f"{what} since nobody knows when"
    elif now - since < duration:
        yield f"{what} since {format_duration(max(now - since, timedelta()))} only"


def format_duration(duration: timedelta) -> str:
    """A duration by its two largest units, as `1d 2h`."""
    seconds = int(duration.total_seconds())
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        if seconds >= size:
            parts.append(f"{seconds // size}{unit}")
            seconds %= size
    return " ".join(parts[:2]) or "0s"
