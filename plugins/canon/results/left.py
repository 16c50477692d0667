"""What commands leave to the next one lies in `.dvc/tmp`, which Git ignores: a commit that brings such files names stores and files as it likes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from canon.git import holds

TEMPORARY = ".dvc/tmp"


def is_ours(home: Path, folder: str, say: Callable[[str], None]) -> bool:
    """Tell whether something lies in a folder of ``home`` that a command has left there; where Git brought it, that is said."""
    try:
        found = any(not path.name.startswith(".") for path in (home / folder).iterdir())
    except OSError:
        return False
    if found and holds(home, TEMPORARY):
        say(
            f"canon: {home / folder} is left alone: Git tracks files in {TEMPORARY}, and who commits there could have anything sent anywhere; "
            f"`git rm -r --cached {TEMPORARY}`"
        )
        return False
    return found
