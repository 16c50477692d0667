"""A workflow while it runs: a table on a terminal, a line an event elsewhere; both on stderr."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from canon.argo.status import ERROR, FAILED, OMITTED, RUNNING, SKIPPED, SUCCEEDED, WAITING, Snapshot, TaskState
from canon.cli.console import say
from canon.cli.tables import chosen_rows, format_elapsed
from canon.model.cluster import MAIN

if TYPE_CHECKING:
    from types import TracebackType

Rows = Sequence[tuple[str, str]]
"""A task's name in a snapshot, and what it is called here; parents first."""
Tail = Callable[[str, str, int], Sequence[str]]
"""The last lines of the log of a pod's container."""
FEW, MOST_TAILS, MOST_LINES = 2, 6, 20
"""Lines of a log while it runs, how many logs at once, and lines of one that failed."""
STYLES = {
    RUNNING: "cyan",
    SUCCEEDED: "green",
    SKIPPED: "dim",
    OMITTED: "dim",
    FAILED: "red",
    ERROR: "red",
    WAITING: "dim",
}
SILENT = frozenset({SKIPPED, OMITTED})
"""What Argo says of these is its condition."""
ORDER = (FAILED, ERROR, RUNNING, WAITING, SUCCEEDED, SKIPPED, OMITTED)


def format_state(state: TaskState) -> str:
    """What became of a task, in one line."""
    words = {SKIPPED: "known already", OMITTED: "left out"}.get(state.phase, state.phase)
    if state.attempt:
        words += f" (attempt {state.attempt + 1})"
    return f"{words}: {state.message}" if state.message and state.phase not in SILENT else words


class Lines:
    """A line an event."""

    def __init__(self, rows: Rows, tail: Tail) -> None:
        self._rows, self._tail = rows, tail
        self._said: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to be done."""

    def show(self, found: Snapshot) -> None:
        """Say what changed."""
        self._once("", f"workflow: {found.phase.lower() or 'waiting'}", found.message)
        for path, label in self._rows:
            state = found.tasks.get(path)
            if state is None:
                continue
            before = self._said.get(path)
            self._once(path, f"{label}: {format_state(state)}")
            if state.phase in {FAILED, ERROR} and self._said[path] != before and state.pod:
                for line in _last_words(state, state.pod, self._tail):
                    say(f"{label} | {line}")

    def _once(self, path: str, text: str, message: str = "") -> None:
        text = f"{text}: {message}" if message else text
        if self._said.get(path) != text:
            self._said[path] = text
            say(text)


class Table:
    """A table that is drawn anew each second."""

    def __init__(self, rows: Rows, tail: Tail, title: str) -> None:
        self._rows, self._tail, self._title = rows, tail, title
        self._found: Snapshot | None = None
        self._tails: Mapping[str, Sequence[str]] = {}
        self._live: Any = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        self._live = Live(
            console=console,
            get_renderable=self._drawn,
            refresh_per_second=1,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last table standing."""
        self._live.stop()

    def show(self, found: Snapshot) -> None:
        """Show how it stands; the logs of what runs, and of what failed, come with it."""
        wanted = [(path, found.tasks[path]) for path, _ in self._rows if path in found.tasks]
        tails: dict[str, Sequence[str]] = {}
        for path, state in wanted:
            if state.pod and state.phase in {RUNNING, FAILED, ERROR} and len(tails) < MOST_TAILS:
                is_over = state.phase != RUNNING
                lines = _last_words(state, state.pod, self._tail) if is_over else self._tail(state.pod, MAIN, FEW)
                tails[path] = lines or self._tails.get(path, ())
        self._tails, self._found = tails, found

    def _drawn(self) -> Any:  # noqa: ANN401  rich is loaded late
        from rich.console import Group
        from rich.table import Table as Drawn
        from rich.text import Text

        table = Drawn("stage", "", "time", "", box=None, header_style="bold", pad_edge=False)
        found = self._found
        if found is None:
            return Text(f"{self._title}: waiting")
        states = [(path, label, found.tasks.get(path) or TaskState(path, WAITING)) for path, label in self._rows]
        room = max(5, self._live.console.height - 6 - sum(map(len, self._tails.values())))
        shown, left = chosen_rows(states, [(ORDER.index(state.phase), 0.0) for _, _, state in states], room)
        phases = [states[number][2].phase for number in left]
        hidden = f"and {', '.join(f'{phases.count(each)} {each}' for each in ORDER if each in phases)}" if left else ""
        for path, label, state in shown:
            note = state.progress or ("" if state.phase in SILENT else state.message)
            table.add_row(
                Text(label, overflow="ellipsis", no_wrap=True), Text(format_state(_plain(state)), style=STYLES[state.phase]),
                Text(_elapsed(state)), Text(note, overflow="ellipsis", no_wrap=True),
            )  # fmt: skip
            for line in self._tails.get(path, ()):
                table.add_row(Text(""), Text(""), Text(""), Text(line, style="dim", overflow="ellipsis", no_wrap=True))
        head = f"{self._title}: {found.phase.lower() or 'waiting'}{f': {found.message}' if found.message else ''}"
        rest = [Text(hidden, style="dim")] if hidden else []
        return Group(Text(head, overflow="ellipsis", no_wrap=True), table, *rest)


def _last_words(state: TaskState, pod: str, tail: Tail) -> Sequence[str]:
    """What the containers said that tell why a task failed; before what another than its own command said stands its name."""
    return [
        line if name == MAIN else f"{name}: {line}" for name in state.telling for line in tail(pod, name, MOST_LINES)
    ]


def _plain(state: TaskState) -> TaskState:
    return TaskState(state.name, state.phase, attempt=state.attempt)


def _elapsed(state: TaskState) -> str:
    if state.started is None or state.phase in SILENT:
        return ""
    return format_elapsed(((state.finished or datetime.now(UTC)) - state.started).total_seconds())
