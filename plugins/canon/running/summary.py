"""What a run has come to: what ran, what was taken from the run-cache, how long, what that saved, and the metrics beside those from before."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from canon.model.errors import listed
from canon.running.events import Event, State
from canon.running.logs import last_lines
from canon.running.words import format_seconds, one_line

TAIL = 20
"""Lines of the log of a stage that failed."""
MOST_FAILED, MOST_METRICS = 5, 20
RAN = (State.DONE, State.FAILED, State.STOPPED)
_WORTH = 0.5
"""Seconds that are worth to be called saved."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric and its value in the run before, where there was one. ``name``: with its stage where several have one of that name."""

    name: str
    now: float
    before: float | None

    @property
    def changed(self) -> bool:
        """Whether it is another value. NaN is NaN."""
        both_nan = self.before is not None and math.isnan(self.now) and math.isnan(self.before)
        return self.before != self.now and not both_nan


@dataclass(frozen=True, slots=True)
class Summary:
    """``events``: the last one of each stage, in the order of the plan. ``seconds``: from beginning to end.

    ``serial``: what the commands that ran took together; ``cached``: what those took, when they last ran, whose outs were in the run-cache, and
    ``unknown``: of how many of these nobody knows. ``row``: where the result is in MLflow.
    """

    pipeline: str
    events: Mapping[str, Event]
    seconds: float
    serial: float
    cached: float
    unknown: int
    metrics: tuple[Metric, ...] = ()
    row: str = ""
    counts: Mapping[State, int] = field(default_factory=dict)

    @property
    def beside(self) -> float:
        """Seconds that it would have taken longer with one stage after the other."""
        return max(0.0, self.serial - self.seconds)


def build_summary(
    pipeline: str,
    events: Mapping[str, Event],
    seconds: float,
    *,
    took: Mapping[str, float],
    before: Mapping[str, Mapping[str, float]],
    row: str = "",
) -> Summary:
    """``took``: seconds of stages in earlier runs; ``before``: their metrics as they were when this one began; ``row``: an address or an id."""
    cached = [event.stage for event in events.values() if event.state is State.CACHED]
    shared = Counter(name for event in events.values() for name in event.metrics)
    metrics = tuple(
        Metric(name if shared[name] == 1 else f"{event.stage}: {name}", value, before.get(event.stage, {}).get(name))
        for event in events.values()
        for name, value in event.metrics.items()
    )
    return Summary(
        pipeline,
        events,
        seconds,
        serial=sum(event.took for event in events.values() if event.state in RAN),
        cached=sum(took.get(stage, 0.0) for stage in cached),
        unknown=sum(stage not in took for stage in cached),
        metrics=metrics,
        row=row,
        counts=Counter(event.state for event in events.values()),
    )


def format_summary(summary: Summary, *, tails: bool) -> list[str]:
    """Lines of at most 80 columns, but for names. ``tails``: with the last words of what failed, where nobody has said them yet."""
    counts = ", ".join(f"{summary.counts[state]} {state.value}" for state in State if summary.counts.get(state))
    idle = not any(state is not State.UNCHANGED and count for state, count in summary.counts.items())
    lines = [f"{summary.pipeline}: {counts or 'no stages'}{'' if idle else f', in {format_seconds(summary.seconds)}'}"]
    lines += _ran(summary)
    lines += _saved(summary)
    lines += _failed(summary, tails=tails)
    lines += _metrics(summary.metrics)
    if summary.row:
        lines.append(f"row in MLflow: {one_line(summary.row)}")
    return lines


def _ran(summary: Summary) -> Iterator[str]:
    done = [event for event in summary.events.values() if event.state is State.DONE]
    if done:
        yield f"  ran: {listed([f'{one_line(event.stage)} ({format_seconds(event.took)})' for event in done])}"
    cached = [one_line(event.stage) for event in summary.events.values() if event.state is State.CACHED]
    if cached:
        yield f"  from the run-cache: {listed(cached)}"


def _saved(summary: Summary) -> Iterator[str]:
    if summary.beside >= _WORTH:
        serial = format_seconds(summary.serial)
        yield f"  side by side saved {format_seconds(summary.beside)}: one after the other it takes {serial}"
    if summary.cached >= _WORTH:
        rest = f", and of {summary.unknown} more nobody knows" if summary.unknown else ""
        yield f"  the run-cache saved {format_seconds(summary.cached)}, by earlier runs{rest}"


def _failed(summary: Summary, *, tails: bool) -> Iterator[str]:
    failed = [event for event in summary.events.values() if event.state is State.FAILED]
    for event in failed[:MOST_FAILED]:
        yield f"failed: {one_line(event.stage)}: {one_line(event.why or f'exit code {event.code}')}"
        if event.log is not None:
            if tails:
                yield from (f"    {line}" for line in last_lines(event.log, TAIL))
            yield f"    all of it: {_path(event.log)}"
    if len(failed) > MOST_FAILED:
        rest = failed[MOST_FAILED:]
        yield f"failed, too: {listed([one_line(event.stage) for event in rest])}"


def _path(log: Path) -> str:
    """A log from where the user is."""
    try:
        return str(log.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(log)


def _metrics(metrics: Sequence[Metric]) -> Iterator[str]:
    """A table: those that changed first, and those of the rest that there is room for."""
    ordered = sorted(metrics, key=lambda each: not each.changed)
    rows = [("metric", "before", "now", "")] if ordered else []
    rows += [
        (one_line(each.name), "" if each.before is None else f"{each.before:g}", f"{each.now:g}", _change(each))
        for each in ordered[:MOST_METRICS]
    ]
    if rows:
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for name, old, new, change in rows:
            cells = (name.ljust(widths[0]), old.rjust(widths[1]), new.rjust(widths[2]), change)
            yield "  ".join(cells).rstrip()
    if len(ordered) > MOST_METRICS:
        yield f"and {len(ordered) - MOST_METRICS} metrics more"


def _change(metric: Metric) -> str:
    if metric.before is None:
        return "new"
    if not metric.changed:
        return "as before"
    difference = metric.now - metric.before
    if not math.isfinite(difference):
        return ""
    share = f" ({difference / abs(metric.before):+.1%})" if metric.before else ""
    return f"{difference:+g}{share}"


def summary_document(summary: Summary) -> dict[str, Any]:
    """What a script reads, without the stages; a number that JSON does not know is None."""
    return {
        "seconds": round(summary.seconds, 3),
        "saved": {"parallel": round(summary.beside, 3), "cache": round(summary.cached, 3), "unknown": summary.unknown},
        "metrics": [
            {"name": each.name, "before": finite(each.before), "now": finite(each.now)} for each in summary.metrics
        ],
        "row": summary.row or None,
    }


def finite(value: float | None) -> float | None:
    """A number, if JSON knows it."""
    return value if value is not None and math.isfinite(value) else None
