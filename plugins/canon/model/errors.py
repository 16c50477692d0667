"""The errors of Canon.

::

    CanonError                  a problem in the user's project: exit code 1
    ├── ProblemsError           several at once, each with file, line and path
    ├── DataMissingError        what DVC keeps by its hash is not on this machine
    ├── ImageMissingError       a layout or a registry has no manifest of that name
    ├── UnreadableLayerError    a layer of an image is compressed in a way that is not read here
    ├── ExperimentExistsError   another experiment has the name
    ├── SourceChangedError      a source of data is not what was pinned
    ├── OutRefusedError         what a stage left as its out cannot be saved: exit code 65
    ├── StoreUnavailableError   the tracking server does not answer, or refuses
    │   └── StoreRefusedError   it takes others, but not this one
    └── UsageError              the command was called wrongly: exit code 2

A message names the thing, the place and the remedy. A subclass exists only where someone catches it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names in one line, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def printable(text: str) -> str:
    """A text of somebody else's for a terminal: lines and tabs stay, what could move its cursor or change its colours goes."""
    if text.isprintable():  # most are, and some are long
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


_CREDENTIALS = re.compile(r"(https?://)[^/\s'\"`@]*@|([a-z][a-z0-9+.-]*://)[^/\s'\"`@:]*:[^/\s'\"`@]*@", re.IGNORECASE)


def without_credentials(text: str) -> str:
    """A text for a person, without passwords and tokens in its URLs; the user of `ssh://git@…` stays."""
    return _CREDENTIALS.sub(r"\1\2", text) if "@" in text else text


class CanonError(Exception):
    """A problem that the user can mend; the command line prints it without a traceback."""

    exit_code = 1


class UsageError(CanonError):
    """The command was called wrongly."""

    exit_code = 2


class DataMissingError(CanonError):
    """What DVC keeps by its hash is not on this machine; a remote may have it."""


class ImageMissingError(CanonError):
    """A layout or a registry has no manifest of that tag or digest; it answered, and another one may be there."""


class UnreadableLayerError(CanonError):
    """A layer is compressed in a way that is not read here; it can be copied."""


class OutRefusedError(CanonError):
    """What a stage left as its out, or did not leave, cannot be saved. The same command would do the same again: a pod is not tried again for it."""

    exit_code = 65  # EX_DATAERR of sysexits.h


class ExperimentExistsError(CanonError):
    """Another experiment of that name is there, on the same commit."""


class SourceChangedError(CanonError):
    """A source of data no longer has the content that was pinned."""


class StoreUnavailableError(CanonError):
    """The tracking server does not answer, or refuses what is asked."""


class StoreRefusedError(StoreUnavailableError):
    """The tracking server answers, and does not take this one result."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where it stands, what it is, and how to mend it.

    ``file`` is relative to the repository, ``line`` counts from 1 (0: unknown), ``path`` is dotted.
    ``severity`` is ``error`` (fails a check), ``warning`` or ``note`` (what could not be looked at).
    """

    file: str
    message: str
    path: str = ""
    line: int = 0
    remedy: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        where = f"{place}: {self.path}" if self.path else place
        remedy = f"\n    remedy: {self.remedy}" if self.remedy else ""
        return f"{where}: {self.message}{remedy}"


class ProblemsError(CanonError):
    """Several problems, reported at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
