"""Watching a workflow: how it stands, again and again, until it has ended.

It is asked for rather than streamed: each answer is the whole state, so that a connection that breaks costs nothing, and the right to `get` is enough.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from canon.argo.server import ArgoServer, Created
from canon.argo.status import Snapshot
from canon.argo.submission import REFERENCE_MODE
from canon.argo.transport import ArgoMissingError, ArgoUnavailableError
from canon.model.errors import CanonError

SHORTEST, INTERVAL, GROWTH = 0.2, 2.0, 1.5
"""Seconds between two questions, at first and later; a workflow of which the answer takes long is asked for less often."""
SHARE = 5
MOST_FAILURES = 10
"""Questions in a row without an answer, each tried several times: some five minutes."""
LONGEST_PAUSE = 30.0
FIRST_LOOKS = 5
"""Seconds in which a controller says that it does not take a workflow."""
pause = time.sleep


def watched(server: ArgoServer, created: Created) -> Iterator[Snapshot]:
    """The workflow's states until its end. Raises CanonError where it is gone, or the server stays silent."""
    failures, interval = 0, SHORTEST
    while True:
        begun = time.monotonic()
        try:
            found = server.snapshot(created.namespace, created.name, created.uid)
        except ArgoMissingError:
            raise CanonError(
                f"the workflow {created.name} has disappeared from {created.namespace}: somebody deleted it, or its time to live is over and it is in"
                " no archive; what its stages had saved is in the remote"
            ) from None
        except ArgoUnavailableError as error:
            failures += 1
            if failures == MOST_FAILURES:
                raise CanonError(
                    f"{error}, {failures} times in a row; the workflow goes on: `{watch_command(created)}` shows it"
                ) from None
            pause(min(INTERVAL * 2.0**failures, LONGEST_PAUSE))
            continue
        except CanonError as error:
            raise CanonError(f"{error}; the workflow goes on: `{watch_command(created)}` shows it") from None
        failures = 0
        yield found
        if found.is_over:
            return
        pause(max(interval, SHARE * (time.monotonic() - begun)))
        interval = min(interval * GROWTH, INTERVAL)


def check_accepted(server: ArgoServer, created: Created) -> None:
    """Wait a moment for the controller's word on a workflow of its own. Raises CanonError where it refuses such ones."""
    for _ in range(FIRST_LOOKS):
        try:
            found = server.snapshot(created.namespace, created.name, created.uid)
        except (ArgoMissingError, ArgoUnavailableError):
            return
        check_reference(found, created)
        if found.phase not in {"", "Pending"}:
            return
        pause(1)


def check_reference(found: Snapshot, created: Created) -> None:
    """Raise CanonError for a workflow that the cluster does not run because it brings its own spec."""
    if found.phase == "Error" and REFERENCE_MODE in found.message:
        raise CanonError(
            f"the cluster runs workflows of its templates alone (`templateReferencing` of Argo's controller), and {created.name} brings its own stages; merge"
            f" the branch, so that its template is synced to {created.namespace}, and submit it again; a sweep always brings its own: run it here, without --submit"
        )


def watch_command(created: Created) -> str:
    """What shows a workflow when nobody watches it here."""
    return f"argo watch -n {created.namespace} {created.name}"
