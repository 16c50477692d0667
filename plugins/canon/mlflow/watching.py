"""Tells which of a session's own runs are open, again and again: a process of its own, `python -m canon.mlflow.watching`.

MLflow costs a second to import and changes the variables of its process; neither is the business of the one that starts stages. What it looks at
comes as one line of JSON; what is open goes out as one line each time. It ends when its standard input does, whatever ended the other side.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from canon.mlflow.own_runs import OwnRun, list_open
from canon.model.errors import CanonError

EVERY = 2.0
"""Seconds between two questions."""
MOST = 50
"""Runs that are told."""
LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}


class Watcher:
    """The other side: starts the process, and gives what it said last."""

    def __init__(self, uri: str, session: str, folder: Path) -> None:
        """Start it. Raises OSError."""
        read, self._input = os.pipe()
        self._output, write = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-W", "ignore", "-m", "canon.mlflow.watching"],
                stdin=read, stdout=write, stderr=subprocess.DEVNULL, cwd=folder, env={**os.environ, **LIMITS}, start_new_session=True,
            )  # fmt: skip
        except OSError:
            os.close(self._input)
            os.close(self._output)
            raise
        finally:
            os.close(read)
            os.close(write)
        os.set_blocking(self._output, False)
        self._begun = b""
        self._known: tuple[OwnRun, ...] = ()
        with suppress(BrokenPipeError):  # not by its arguments: `ps` shows them
            os.write(self._input, json.dumps({"uri": uri, "session": session}).encode() + b"\n")

    def known(self) -> tuple[OwnRun, ...]:
        """What was open when it looked last."""
        with suppress(OSError, ValueError, TypeError):
            while content := os.read(self._output, 1 << 16):
                *lines, self._begun = (self._begun + content).split(b"\n")
                if lines and lines[-1].startswith(b"["):  # what a library prints is none of it
                    self._known = tuple(OwnRun(*run) for run in json.loads(lines[-1]))
        return self._known

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._input)
        os.close(self._output)


def main() -> None:
    """Be that process."""
    request: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    while True:
        with suppress(CanonError):  # a server that does not answer: what was known stands
            found = list_open(request["uri"], request["session"], MOST)
            os.write(1, json.dumps(found).encode() + b"\n")
        time.sleep(EVERY)


def _end_with_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
