"""Where a project begins: found without reading its declarations, so that what needs nothing else does not wait for them."""

from __future__ import annotations

import tomllib
from pathlib import Path

from canon.model.errors import CanonError

SETTINGS_FILE = "pyproject.toml"


def find_root(start: Path) -> Path:
    """Return the nearest folder at or above ``start`` whose pyproject.toml has a table [tool.canon].

    Raises CanonError when there is none.
    """
    for folder in (start, *start.parents):
        if _has_settings(folder / SETTINGS_FILE):
            return folder
    raise CanonError(
        f"neither {start} nor a folder above it has a {SETTINGS_FILE} with [tool.canon]; "
        "run `canon init` at the root of the repository, which "
        'adds `[tool.canon]` with `default_profile = "local"` and `[tool.canon.profiles.local]`'
    )


def _has_settings(file: Path) -> bool:
    """Tell whether a file has the table; one that names it and cannot be read counts, so that this is said."""
    try:
        content = file.read_bytes()
        return b"canon" in content and "canon" in tomllib.loads(content.decode()).get("tool", {})
    except OSError:
        return False
    except (ValueError, RecursionError, AttributeError, TypeError):
        return b"tool.canon" in content
