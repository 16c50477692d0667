"""What was released when, from Git alone: every commit of a release's file, with what it said then."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property, partial
from pathlib import Path

from canon.git import run_git
from canon.model.errors import CanonError, UsageError
from canon.model.release import Release, release_from_text, release_path

REVIEW = "Canon-Review"
"""Trailer of a release that was pushed for review: it is live from the merge on."""
_FORMAT = f"%H %ct %(trailers:key={REVIEW},valueonly,separator=%x2C)"


@dataclass(frozen=True, eq=False)
class Row:
    """One change of what is released: the commit and since when (seconds since 1970); what its file said is read when it is asked for.

    ``older``: the change before it.
    """

    commit: str
    since: int
    content: bytes | None
    path: str
    older: Row | None = field(default=None, repr=False)

    @property
    def release(self) -> Release | None:
        """What the file said; None where that is no release."""
        return self._read[0]

    @cached_property
    def problem(self) -> str:
        """What is wrong with the file, in words; empty where nothing is."""
        release, problem = self._read
        before = self.older.release if self.older is not None else None
        if release is not None and before is not None and before.number == release.number:
            return "edited by hand after it was released"
        return problem

    def may_be(self, number: int) -> bool:
        """False where the file cannot have that number, by a glance that does not read YAML."""
        return self.content is not None and re.search(rb"\bnumber\W+%d\b" % number, self.content) is not None

    @cached_property
    def _read(self) -> tuple[Release | None, str]:
        if self.content is None:
            return None, "the file was removed: nothing was released from then on"
        try:
            return release_from_text(self.content.decode(), self.path), ""
        except UnicodeDecodeError:
            return None, "the file was no text: it was edited by hand"
        except CanonError as error:
            return None, f"the file was edited by hand: {' '.join(str(error).split())[:300]}"


def load_history(root: Path, head: str, pipeline: str, environment: str, most: int | None = None) -> tuple[Row, ...]:
    """The releases of an environment that a commit has behind it, the newest first; ``most``: how many changes of the file are looked at.

    All of them take one `git log` and one `git cat-file`; YAML is read of those that are looked at. A file that was edited into nonsense is a row
    that says so. Raises CanonError with git's own words.
    """
    path = release_path(pipeline, environment)
    limit = [] if most is None else [f"--max-count={most}"]
    log = ("log", "--topo-order", f"--format={_FORMAT}", *limit, "--end-of-options", head, "--", path)
    listing = run_git(root, *log, env={"GIT_LITERAL_PATHSPECS": "1"}).decode("utf-8", "replace").splitlines()
    commits = [line.split(" ", 2) for line in listing]
    shallow = _shallow(root)
    texts = read_blobs(root, [f"{commit[0]}:{path}" for commit in commits])
    arrivals = cache(partial(_arrivals, root, head))

    older: Row | None = None
    rows: list[Row] = []
    for (commit, seconds, review), content in reversed(list(zip(commits, texts, strict=True))):
        older = Row(commit, int(seconds), content, path, older)
        if commit in shallow and older.release is not None:  # where the clone begins the file was there already
            older = replace(older, since=int(time_from_text(older.release.time).timestamp()))
        elif review.strip():
            older = replace(older, since=arrivals().get(commit, older.since))
        rows.append(older)
    return tuple(reversed(rows))


def _arrivals(root: Path, head: str) -> Mapping[str, int]:
    """When each commit beside a branch's own line came into it: the time of the merge that brought it."""
    parents: dict[str, list[str]] = {}
    times: dict[str, int] = {}
    for line in run_git(root, "log", "--format=%H %ct %P", "--end-of-options", head).decode().splitlines():
        commit, seconds, *parents[commit] = line.split()
        times[commit] = int(seconds)
    line_of: list[str] = []
    place: str | None = next(iter(parents), None)
    while place in parents:
        line_of.append(place)
        place = next(iter(parents[place]), None)
    seen, arrived = set(line_of), dict[str, int]()
    for merge in reversed(line_of):
        waiting = list(parents[merge])
        while waiting:
            commit = waiting.pop()
            if commit in parents and commit not in seen:
                seen.add(commit)
                arrived[commit] = times[merge]
                waiting += parents[commit]
    return arrived


def read_blobs(root: Path, names: Sequence[str]) -> list[bytes | None]:
    """The contents of objects by one `git cat-file`; None for what is not there. A name has no line feed."""
    if not names:
        return []
    answer = run_git(root, "cat-file", "--batch", stdin="".join(f"{name}\n" for name in names).encode())
    found: list[bytes | None] = []
    place = 0
    for _ in names:
        end = answer.index(b"\n", place)
        head = answer[place:end].rsplit(b" ", 2)
        place = end + 1
        if len(head) == 3 and head[1] == b"blob":  # noqa: PLR2004  `<oid> <type> <size>`
            size = int(head[2])
            found.append(answer[place : place + size])
            place += size + 1
        elif len(head) == 3 and head[2].isdigit():  # noqa: PLR2004  a folder
            found.append(None)
            place += int(head[2]) + 1
        else:
            found.append(None)
    return found


def _shallow(root: Path) -> frozenset[str]:
    """Commits whose parents a shallow clone does not have."""
    file = Path(os.fsdecode(run_git(root, "rev-parse", "--path-format=absolute", "--git-path", "shallow").strip()))
    return frozenset(file.read_text().split()) if file.exists() else frozenset()


def is_shallow(root: Path) -> bool:
    """Tell whether the clone lacks what was before some commit."""
    return bool(_shallow(root))


def released_at(rows: Iterable[Row], at: datetime) -> Row | None:
    """What was released at a time; None before the first release."""
    seconds = at.timestamp()
    return next((row for row in rows if row.since <= seconds), None)


def time_from_text(text: str) -> datetime:
    """A moment in UTC: `2026-11-01` is the end of that day, `2026-11-01T12:00`, with seconds, `Z` or an offset is that moment. Raises UsageError."""
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1, seconds=-1)
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is no date; write 2026-11-01, or 2026-11-01T12:00 (UTC)") from None


def format_time(seconds: int) -> str:
    """A moment in UTC as a release has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
