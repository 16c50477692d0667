"""What happens to the stages of a run, as it is told to whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class State(StrEnum):
    """Where a stage is. It begins as WAITING, may be RUNNING, and ends as one of the others."""

    WAITING = "waiting"
    RUNNING = "running"
    UNCHANGED = "unchanged"
    """Nothing of it changed: nothing was done."""
    CACHED = "cached"
    """Its outs were taken from DVC's run-cache."""
    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"
    """A stage that it needs failed, or the run ended before its turn."""
    STOPPED = "stopped"
    """It ran when the run was interrupted."""


FINAL = frozenset(State) - {State.WAITING, State.RUNNING}


@dataclass(frozen=True, slots=True)
class Event:
    """A stage's new state.

    ``stage``: as DVC addresses it. ``at``: seconds since 1970. ``took``: seconds that its commands ran. ``log``: where its output is, once it
    runs. ``code``: of a failed stage, that of its command. ``why``: in words, of FAILED, BLOCKED and STOPPED. ``metrics``: name → value of its
    metrics files, of DONE and CACHED.
    """

    stage: str
    state: State
    at: float
    took: float = 0.0
    log: Path | None = None
    code: int = 0
    why: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


Tell = Callable[[Event], None]
