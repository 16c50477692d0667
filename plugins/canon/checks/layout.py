"""What a pyproject.toml declares: where its modules are once it is installed, and its console scripts."""

from __future__ import annotations

import posixpath
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Project:
    """``folders`` (absolute) hold its modules, ``scripts`` are names to modules, ``unread`` says what is wrong."""

    folders: tuple[str, ...] = ()
    scripts: dict[str, str] = field(default_factory=dict)
    unread: str = ""


def load_project(folder: Path, name: str) -> Project:
    """Read the project in a folder, which the user knows by ``name``. Never raises.

    Its modules are in the folders that it declares, else in `src` if that is no package, else in the folder itself.
    """
    try:
        data = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except OSError:
        data = {}
    except (ValueError, RecursionError) as error:
        place = posixpath.normpath(f"{name}/pyproject.toml")
        return Project(unread=f"{place}: the project's layout and scripts are not looked at: {error}")
    targets = _table(data, "tool", "poetry", "scripts") | _table(data, "project", "scripts")
    scripts = {name: target.partition(":")[0] for name, target in targets.items() if isinstance(target, str)}
    installable = "project" in data or _table(data, "tool", "poetry") or (folder / "setup.py").is_file()
    if not installable:
        return Project(scripts=scripts)
    setuptools = _table(data, "tool", "setuptools")
    wheel = _table(data, "tool", "hatch", "build", "targets", "wheel")
    declared = [
        *_texts(_table(setuptools, "packages", "find").get("where")),
        *_texts(_table(setuptools, "package-dir").get("")),
        *map(posixpath.dirname, _texts(wheel.get("packages"))),
    ]
    in_src = (folder / "src").is_dir() and not (folder / "src" / "__init__.py").is_file()
    folders = declared or ["src" if in_src else "."]
    return Project(tuple(dict.fromkeys(str(folder / each) for each in folders)), scripts)


def _table(data: Any, *keys: str) -> dict[str, Any]:  # noqa: ANN401  what TOML holds
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _texts(value: object) -> list[str]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
