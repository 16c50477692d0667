"""The stages of a run on a terminal: a table that is drawn anew where something changed, at most eight times a second."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from canon.cli.above import Above
from canon.cli.tables import chosen_rows, format_elapsed
from canon.running.events import FINAL, Event, State
from canon.running.logs import last_lines
from canon.running.words import OwnRuns, format_metrics, format_own_run, no_runs, one_line

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console
    from rich.text import Text

    from canon.mlflow.own_runs import OwnRun

SHORTEST, LONGEST = 1 / 8, 0.5
"""Seconds between two drawings, and between two looks at the logs."""
GAP = "  "
MOST_RUNS = 4
"""Users' own runs that are shown at once."""
STYLES = {
    State.RUNNING: "cyan", State.DONE: "green", State.CACHED: "green", State.FAILED: "red", State.STOPPED: "red", State.BLOCKED: "yellow",
    State.WAITING: "dim", State.UNCHANGED: "dim",
}  # fmt: skip
ORDER = (
    State.FAILED, State.RUNNING, State.STOPPED, State.DONE, State.CACHED, State.WAITING, State.BLOCKED, State.UNCHANGED
)  # fmt: skip
"""What is shown where not everything can be."""


class Shown(NamedTuple):
    """A row."""

    stage: str
    state: State
    time: str
    note: str


class Frame(NamedTuple):
    """What is drawn at one moment, as text: where two are equal, nothing is drawn."""

    size: tuple[int, int]
    head: str
    rows: tuple[Shown, ...]
    rest: str
    runs: tuple[OwnRun, ...]


class Table:
    """A context; in it `tell` hears of events and `say` prints above the table. ``own_runs``: users' own MLflow runs that are open."""

    def __init__(
        self,
        title: str,
        own_runs: OwnRuns = no_runs,
        *,
        console: Console | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        self._title, self._own_runs, self._now = title, own_runs, now
        self._frame: Frame | None = None
        self._console = console or Console(file=sys.stderr, highlight=False)
        self._live = Live(
            console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False, get_renderable=self._drawn
        )  # fmt: skip
        self._above = Above(self.say, sys.stderr)
        self._stack = contextlib.ExitStack()
        self._events: dict[str, Event] = {}
        self._began: dict[str, float] = {}
        self._first = now()
        self._lock = threading.Lock()
        self._changed, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._draw_on, name="table", daemon=True)

    def __enter__(self) -> Self:
        self._first = self._now()
        self._live.start()
        self._stack.enter_context(contextlib.redirect_stderr(self._above))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last table standing, where anything happened."""
        self._over.set()
        self._changed.set()
        self._thread.join()
        self._above.close_line()
        self._stack.close()
        self._live.transient = all(event.state is State.UNCHANGED for event in self._events.values())
        with contextlib.suppress(OSError):  # the terminal is gone
            self._draw()
            self._live.stop()

    def tell(self, event: Event) -> None:
        """Take a stage's new state."""
        with self._lock:
            self._events[event.stage] = event
            if event.state is State.RUNNING:
                self._began[event.stage] = event.at
        self._changed.set()

    def say(self, text: str) -> None:
        """Print a text above the table; of escape sequences in it colours alone are left."""
        from rich.text import Text

        with contextlib.suppress(OSError):
            self._console.print(Text.from_ansi(text), soft_wrap=True)

    def _draw_on(self) -> None:
        while not self._over.is_set():
            self._changed.wait(LONGEST)
            self._changed.clear()
            try:
                self._draw()
            except OSError:
                return
            self._over.wait(SHORTEST)

    def _draw(self) -> None:
        frame = self.frame()
        if frame != self._frame:
            self._frame = frame
            self._live.refresh()

    def frame(self) -> Frame:
        """How it stands now, as far as there is room."""
        with self._lock:
            events, began = list(self._events.values()), dict(self._began)
        size = self._console.size
        runs = tuple(self._own_runs())[:MOST_RUNS]
        room = max(3, size.height - 4 - sum(_lines(run, size.width) for run in runs))
        ranks = [(ORDER.index(event.state), -event.at if event.state in FINAL else 0.0) for event in events]
        shown, left = chosen_rows(events, ranks, room)
        counts = Counter(events[number].state for number in left)
        rest = ", ".join(f"{counts[state]} {state.value}" for state in ORDER if counts[state])
        now = self._now()
        rows = tuple(_row(event, began.get(event.stage), now) for event in shown)
        whole = Counter(event.state for event in events)
        final = sum(whole[state] for state in FINAL)
        stages = f"{final} of {len(events)} stages" if events else "what has changed?"
        head = f"{self._title}: {stages} {format_elapsed(now - self._first)}"
        return Frame((size.width, size.height), head, rows, f"and {rest}" if rest else "", runs)

    def _drawn(self) -> Any:  # noqa: ANN401  rich is loaded late
        from rich.console import Group
        from rich.text import Text

        frame = self._frame
        if frame is None:
            return Text("")
        parts = [Text(frame.head, style="bold", overflow="ellipsis", no_wrap=True), *_lines_of(frame)]
        parts += [Text(frame.rest, style="dim", overflow="ellipsis", no_wrap=True)] if frame.rest else []
        for run in frame.runs:
            parts.append(Text(_own_run(run), overflow="ellipsis", no_wrap=True))
            parts += [Text(one_line(run.url), overflow="fold")] if run.url else []
        return Group(*parts)


def _lines_of(frame: Frame) -> Iterator[Text]:
    """The rows, cut to their columns: state and time are whole, a name has two fifths at most, the note what is left."""
    from rich.cells import cell_len
    from rich.text import Text

    states = max((len(row.state.value) for row in frame.rows), default=0)
    times = max((len(row.time) for row in frame.rows), default=0)
    room = frame.size[0] - states - times - 3 * len(GAP)
    names = min(max((cell_len(row.stage) for row in frame.rows), default=0), max(4, room // 2))
    for row in frame.rows:
        name, note = Text(row.stage), Text(row.note, style="red" if row.state is State.FAILED else "dim")
        name.truncate(names, overflow="ellipsis", pad=True)
        note.truncate(max(0, room - names), overflow="ellipsis")
        state = (row.state.value.ljust(states), STYLES[row.state])
        line = Text.assemble(name, GAP, state, GAP, row.time.rjust(times), GAP, note, no_wrap=True, overflow="crop")
        line.rstrip()
        yield line


def _own_run(run: OwnRun) -> str:
    return f"{one_line(run.stage)}: {format_own_run(run._replace(url=''))}"


def _lines(run: OwnRun, width: int) -> int:
    """Lines of a terminal that a run takes: its address is never cut."""
    from rich.cells import cell_len

    return 1 + -(-cell_len(one_line(run.url)) // max(1, width))


def _row(event: Event, began: float | None, now: float) -> Shown:
    elapsed, note = "", ""
    if event.state is State.RUNNING:
        elapsed = format_elapsed(now - (began or event.at))
        note = next(iter(last_lines(event.log) if event.log is not None else ()), "")
    elif began is not None and event.state in FINAL:
        elapsed = format_elapsed(event.took)
    if event.state in FINAL:
        note = event.why or format_metrics(event.metrics)
    return Shown(one_line(event.stage), event.state, elapsed, one_line(note))
