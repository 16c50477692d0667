"""What the commands say: results to stdout, narration and progress to stderr, tables and bars on a terminal only."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from canon.model.errors import without_credentials


def prepare_streams() -> None:
    """Make the standard streams such that writing to them fails for no other reason than that nobody can read it.

    A closed one is opened on nothing, so that no file takes its number; what an encoding cannot say is escaped.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004  the last of the three
        os.set_inheritable(handle, True)
    os.close(handle)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  it stays open to the end
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Narrate on stderr; what others wrote into a declaration, or answer, may hold a password."""
    print(without_credentials(text), file=sys.stderr, flush=True)  # noqa: T201  the command line prints


def put(text: str) -> None:
    """Print a result on stdout. Whoever has read enough ends the command, silently, as SIGPIPE would."""
    try:
        print(text, flush=True)  # noqa: T201  the command line prints
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it ends
        sys.exit(141)


def put_json(value: object) -> None:
    """Print a result for a script."""
    put(json.dumps(value, indent=2, ensure_ascii="utf" not in sys.stdout.encoding.lower()))


def put_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: drawn on a terminal, tab-separated in a pipe."""
    listed = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in listed:
            put("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in listed:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


class Transfer:
    """Progress of a transfer on stderr: a bar on a terminal, a line every five seconds elsewhere."""

    def __init__(self, label: str, *, quiet: bool = False) -> None:
        self.label, self.quiet = label, quiet
        self._total: int | None = None
        self._done, self._said = 0, time.monotonic()
        self._lock = threading.Lock()
        self._bar: Any = None
        self._task: Any = None

    @property
    def moved(self) -> int:
        """Bytes so far."""
        return self._done

    def start(self, total: int | None, files: int | None) -> None:
        """Begin: ``total`` bytes and number of files, None where unknown."""
        del files
        self._total = total
        if self.quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(self.label, total=total)

    def advance(self, count: int) -> None:
        """Add ``count`` bytes."""
        with self._lock:
            self._done += count
            if self._bar is not None:
                self._bar.advance(self._task, count)
            elif not self.quiet and time.monotonic() - self._said >= 5:  # noqa: PLR2004  seconds between lines
                self._said = time.monotonic()
                say(
                    f"{self.label}: {self._done:,} of {self._total:,} bytes"
                    if self._total
                    else f"{self.label}: {self._done:,} bytes"
                )

    def done(self) -> None:
        """End; the bar goes away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
