"""The table [tool.canon] in pyproject.toml: added behind what stands there, or in a new file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from canon.adoption.written import Edit
from canon.model.errors import CanonError
from canon.model.root import SETTINGS_FILE
from canon.output.files import load_text

TABLE = '[tool.canon]\ndefault_profile = "local"\n\n[tool.canon.profiles.local]\n'


def has_settings(root: Path) -> bool:
    """Tell whether the table is there. Raises CanonError for a file that is no TOML."""
    text = load_text(root / SETTINGS_FILE, SETTINGS_FILE)
    tool = _parsed(text).get("tool", {}) if text is not None else {}
    return isinstance(tool, dict) and "canon" in tool


def settings_file(root: Path) -> Edit:
    """The file with the table; its text, comments and line ends stay. Raises CanonError where the table cannot be added, and for a link."""
    text = load_text(root / SETTINGS_FILE, SETTINGS_FILE)
    if text is None:
        return Edit(SETTINGS_FILE, TABLE, was=None)
    if (root / SETTINGS_FILE).is_symlink():
        raise CanonError(
            f"{SETTINGS_FILE} is a link, which would be replaced; add this to what it points to, then run `canon init` again:\n{TABLE}"
        )
    before = _parsed(text)
    break_ = "\r\n" if "\r\n" in text else "\n"
    between = "" if not text.strip() else break_ if text.endswith("\n") else 2 * break_
    whole = f"{text}{between}{TABLE.replace(chr(10), break_)}"
    try:
        after = tomllib.loads(whole)
    except tomllib.TOMLDecodeError:
        after = {}
    tool = after.get("tool", {})
    if not isinstance(tool, dict) or tool.pop("canon", None) is None or after != {"tool": {}, **before}:
        raise CanonError(
            f"the table [tool.canon] cannot be added to {SETTINGS_FILE}: `tool` is written on one line there; add "
            '`canon = {default_profile = "local", profiles = {local = {}}}` to it, then run `canon init` again'
        )
    return Edit(SETTINGS_FILE, whole, was=text)


def _parsed(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CanonError(f"{SETTINGS_FILE} is not TOML: {error}; mend it, then run `canon init` again") from None
