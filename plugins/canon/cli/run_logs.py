"""What stages print, as they print it: lines with the stage's name before them, beside what is said of events; and users' own runs, once each."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from canon.cli.tables import shows_colours
from canon.running.events import FINAL, Event, State, Tell
from canon.running.logs import Follower
from canon.running.words import OwnRuns, format_own_run, no_runs, one_line

if TYPE_CHECKING:
    from types import TracebackType

EVERY = 0.1
"""Seconds between two looks."""
MOST_BEHIND = 8 << 20
"""Bytes of a log that are said at once: a stage that prints faster than that is read waits for nobody."""
WIDEST = 24
"""Columns of a name before a line."""
COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


class Interleaved:
    """A context; in it `tell` hands events on to ``plain``. ``logs``: whether lines of logs are said; ``say``: whole lines, several at once."""

    def __init__(self, plain: Tell, say: Callable[[str], None], own_runs: OwnRuns = no_runs, *, logs: bool) -> None:
        self._plain, self._say, self._own_runs, self._logs = plain, say, own_runs, logs
        self._followers: dict[str, Follower] = {}
        self._names: dict[str, int] = {}
        self._seen: set[str] = set()
        self._colours = shows_colours()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="logs", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say what is left."""
        self._over.set()
        self._thread.join()
        with self._lock, contextlib.suppress(OSError):
            for stage in list(self._followers):
                self._drain(stage, end=True)

    def tell(self, event: Event) -> None:
        """Hand an event on, after all lines that came before it."""
        with self._lock:
            self._names.setdefault(event.stage, len(self._names))
            if event.state in FINAL:
                self._drain(event.stage, end=True)
                self._followers.pop(event.stage, None)
            self._plain(event)
            if self._logs and event.state is State.RUNNING and event.log is not None:
                self._followers[event.stage] = Follower(event.log)

    def _look_on(self) -> None:
        while not self._over.wait(EVERY):
            with self._lock, contextlib.suppress(OSError):
                for run in self._own_runs():
                    if run.run_id not in self._seen:
                        self._seen.add(run.run_id)
                        self._say(f"{one_line(run.stage)}: {format_own_run(run)}")
                for stage in list(self._followers):
                    self._drain(stage)

    def _drain(self, stage: str, *, end: bool = False) -> None:
        """Say what a log has that was not said; of a flood the last part alone."""
        follower = self._followers.get(stage)
        if follower is None:
            return
        before = self._prefix(stage)
        left = follower.skip(MOST_BEHIND)
        if left:
            self._say(f"{before}[{left:,} bytes are left out here; all of it: {follower.log}]")
        while lines := follower.new_lines() or (follower.new_lines(end=True) if end else []):
            self._say("\n".join(f"{before}{line}" for line in lines))

    def _prefix(self, stage: str) -> str:
        from rich.cells import cell_len, set_cell_size

        names = [one_line(name) for name in self._names]
        width = min(WIDEST, max(map(cell_len, names), default=0))
        name = set_cell_size(one_line(stage), width)
        if not self._colours:
            return f"{name} | "
        return f"\x1b[{COLOURS[self._names[stage] % len(COLOURS)]}m{name} |\x1b[0m "
