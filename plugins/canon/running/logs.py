"""Logs of stages, as far as they are shown: the last line while a stage runs, the last lines of one that failed, new lines with a prefix."""

from __future__ import annotations

import os
from pathlib import Path

from canon.model.canonical import sha256_of
from canon.model.errors import printable

FOLDER = ".dvc/tmp/canon/logs"
"""Where the logs of the last run of each stage lie. Git does not see it."""
LONGEST = 240
"""Bytes of the name of a stage up to which its log has it."""
_TAIL = 8192


def log_path(root: Path, stage: str) -> Path:
    """Where the output of a stage goes, by the name that DVC gives it (`fit@gb`, `sub/dvc.yaml:fit`)."""
    name = stage.replace("%", "%25").replace("/", "%2F")
    if len(name.encode("utf-8", "replace")) > LONGEST:  # of a `foreach` over texts: a file's name has 255 bytes at most
        name = f"{name.encode('utf-8', 'replace')[:150].decode('utf-8', 'ignore')}…{sha256_of(stage)[:16]}"
    return root / FOLDER / f"{name}.log"


def last_lines(log: Path, most: int = 1) -> list[str]:
    """The last lines of a log, without control characters; of a line that a progress bar writes over and over, what stands there now."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            text = file.read(_TAIL).decode("utf-8", "replace")
    except OSError:
        return []
    lines = [printable(line.rstrip().rpartition("\r")[2]).rstrip() for line in text.split("\n")]
    return [line for line in lines if line][-most:]


class Follower:
    """Reads what a log gets, in whole lines."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._place = 0
        self._rest = b""

    def new_lines(self, most: int = 1 << 20, *, end: bool = False) -> list[str]:
        """What came since the last time, at most so many bytes; with ``end`` also a last line without its end."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                if size < self._place:  # it began anew
                    self._place, self._rest = 0, b""
                file.seek(self._place)
                content = file.read(most)
        except OSError:
            content = b""
        self._place += len(content)
        *lines, self._rest = (self._rest + content).split(b"\n")
        if (end or len(self._rest) > most) and self._rest:
            lines.append(self._rest)
            self._rest = b""
        return [printable(line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]) for line in lines]

    def skip(self, most: int) -> int:
        """Leave out what came since the last time, but for its last ``most`` bytes; return how many bytes these are."""
        try:
            left = self.log.stat().st_size - self._place - most
        except OSError:
            return 0
        if left <= 0:
            return 0
        self._place, self._rest = self._place + left, b""
        return left
