"""What finished stages have, and dvc.lock and .gitignore not yet, because an earlier stage of the plan still runs.

A journal in .dvc/tmp holds it, a line a stage, so that a run that is killed loses nothing and its successor writes it in the order of the plan.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JOURNAL = ".dvc/tmp/canon/pending.jsonl"


@dataclass(frozen=True, slots=True)
class Pending:
    """A finished stage: its name as DVC addresses it, its entry of dvc.lock (None for what has none), and the paths to ignore."""

    stage: str
    entry: Mapping[str, Any] | None
    ignored: tuple[str, ...] = ()


class Journal:
    """The file; nothing of it is in memory."""

    def __init__(self, root: Path) -> None:
        self.path = root / JOURNAL

    def load(self) -> dict[str, Pending]:
        """What a run left that was killed, by stage. A line that it had no time to end is left out."""
        from dvc.utils.serialize._yaml import parse_yaml

        found: dict[str, Pending] = {}
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return {}
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                item = json.loads(line)
                entry = parse_yaml(item["entry"], str(self.path)) if item["entry"] is not None else None
                found[item["stage"]] = Pending(item["stage"], entry, tuple(item["ignored"]))
        return found

    def add(self, pending: Pending) -> None:
        """Write a stage down."""
        from dvc.utils.serialize._yaml import dumps_yaml

        entry = dumps_yaml(pending.entry) if pending.entry is not None else None
        line = json.dumps({"stage": pending.stage, "entry": entry, "ignored": pending.ignored})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab", buffering=0) as file:
            file.write(f"{line}\n".encode())

    def replace(self, pending: Iterable[Pending]) -> None:
        """Let it hold these stages alone; of none, remove it."""
        self.path.unlink(missing_ok=True)
        for each in pending:
            self.add(each)
