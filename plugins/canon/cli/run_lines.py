"""What `canon run` tells where no terminal is: one line an event."""

from __future__ import annotations

from collections.abc import Callable

from canon.model.errors import printable
from canon.running.events import Event, State
from canon.running.logs import last_lines

TAIL = 20
"""Lines of the log of a stage that failed."""


class Lines:
    """Hears of events and says them."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def tell(self, event: Event) -> None:
        """Say one event; what waits, and what did not change, is counted in the end alone."""
        if event.state in {State.WAITING, State.UNCHANGED}:
            return
        words = [event.state.value]
        if event.took:
            words.append(f"in {event.took:.1f} s")
        if event.why:
            words.append(f"({printable(event.why)})")
        words += [f"{name}={value:g}" for name, value in event.metrics.items()]
        self._say(f"{event.stage}: {' '.join(words)}")
        if event.state is State.FAILED and event.log is not None:
            for line in last_lines(event.log, TAIL):
                self._say(f"    {line}")
            self._say(f"    all of it: {event.log}")
