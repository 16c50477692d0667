"""How long stages took when they last ran: `.dvc/tmp/canon/took.json`, which Git does not see. Nothing but what is said to people depends on it."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable
from pathlib import Path

from canon.model.errors import CanonError
from canon.output.files import write_text
from canon.running.events import Event, State

FILE = ".dvc/tmp/canon/took.json"


def load_took(root: Path) -> dict[str, float]:
    """Seconds by stage, as DVC addresses it; of a file that is missing or broken, nothing."""
    try:
        found = json.loads((root / FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    items = found.items() if isinstance(found, dict) else ()
    return {name: float(value) for name, value in items if _is_time(value)}


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def write_took(root: Path, events: Iterable[Event]) -> None:
    """Note how long the stages that are done took; those of earlier runs stay. A disk that is full fails no run."""
    new = {event.stage: round(event.took, 3) for event in events if event.state is State.DONE}
    if new:
        known = {**load_took(root), **new}
        with contextlib.suppress(CanonError):
            write_text(root / FILE, json.dumps(dict(sorted(known.items())), indent=1) + "\n")
