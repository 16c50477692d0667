"""How what happens in a run reads: one line, whatever is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from canon.mlflow.own_runs import OwnRun
from canon.model.errors import printable

OwnRuns = Callable[[], Iterable[OwnRun]]
"""Users' own MLflow runs that are open now. It returns at once."""


def no_runs() -> Iterable[OwnRun]:
    """Of a run that nobody asks for them."""
    return ()


def one_line(text: str) -> str:
    """A text in one line, without what could move a cursor."""
    return printable(" ".join(text.split()))


def format_seconds(seconds: float) -> str:
    """A length of time: 0.4 s, 12 s, 3 min 05 s, 2 h 03 min."""
    whole = round(seconds)
    if whole < 10:  # noqa: PLR2004  below that tenths tell something
        return f"{seconds:.1f} s"
    minutes, left = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {left:02} s" if minutes else f"{left} s"


def format_metrics(metrics: Mapping[str, float], most: int = 6) -> str:
    """Metrics in one line."""
    shown = [f"{one_line(name)}={value:g}" for name, value in list(metrics.items())[:most]]
    return " ".join([*shown, *([f"and {len(metrics) - most} more"] if len(metrics) > most else [])])


def format_own_run(run: OwnRun) -> str:
    """A user's own run, with its page where it has one."""
    return one_line(f"MLflow run {run.name or run.run_id}{f': {run.url}' if run.url else ''}")
