"""stderr while a table stands on it: what anybody writes goes above the table, in whole lines, and nobody draws bars of their own."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TextIO


class Above(io.TextIOBase):
    """Takes the place of sys.stderr. It is no terminal: DVC and tqdm draw nothing over and over on it."""

    encoding = "utf-8"

    def __init__(self, say: Callable[[str], None], real: TextIO) -> None:
        self._say, self._real = say, real
        self._rest = ""

    def write(self, text: str) -> int:
        """Say the lines that are whole now."""
        *lines, self._rest = (self._rest + text).split("\n")
        if lines:
            self._say("\n".join(line.rpartition("\r")[2] for line in lines))
        return len(text)

    def close_line(self) -> None:
        """Say what is left without an end."""
        if self._rest:
            self.write("\n")

    def writable(self) -> bool:
        """It is."""
        return True

    def isatty(self) -> bool:
        """It is none."""
        return False

    def fileno(self) -> int:
        """That of the stream whose place it takes, for processes that are started with it."""
        return self._real.fileno()
