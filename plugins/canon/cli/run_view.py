"""How a run is shown: a table on a terminal, else a line an event; where it is asked for, what the stages print, with their names before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from canon.cli.tables import shows_tables
from canon.running.events import Tell
from canon.running.words import OwnRuns, no_runs

Say = Callable[[str], None]


class View(NamedTuple):
    """``tell`` hears of events, ``say`` narrates. ``told_tails``: whether the last words of what failed are said with its event."""

    tell: Tell
    say: Say
    told_tails: bool


@contextmanager
def opened_view(title: str, plain: Tell, say: Say, *, logs: bool, own_runs: OwnRuns = no_runs) -> Iterator[View]:
    """Show a run until the context ends. ``plain``: says an event where no table stands; ``logs``: what the stages print, and no table."""
    if shows_tables() and not logs:
        from canon.cli.run_table import Table

        with Table(title, own_runs) as table:
            yield View(table.tell, table.say, told_tails=False)
        return
    from canon.cli.run_logs import Interleaved

    with Interleaved(plain, say, own_runs, logs=logs) as lines:
        yield View(lines.tell, say, told_tails=True)
