"""The Python of an image, found without running anything of it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from canon.image.images import Image, variables

MAX_LINKS = 40
"""Links that are followed from one name, as Linux does."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What a container has for PATH where its image says nothing."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python: its version as ``3.11``, and its absolute path."""

    version: str
    path: str


def find_interpreter(paths: Mapping[str, str], image: Image) -> Interpreter | None:
    """The Python that an image starts as `python3`, by its PATH; None where it has none. ``paths``: all of the image, by `final_paths`."""
    for folder in variables(image).get("PATH", DEFAULT_PATH).split(":"):
        place = _resolve(paths, posixpath.join("/", folder, "python3"))
        version = re.search(r"/python(3\.\d+)$", place or "")
        if place and version:
            return Interpreter(version[1], place)
    return None


def find_program(paths: Mapping[str, str], image: Image, name: str) -> str | None:
    """Where an image finds a program by its PATH: an absolute path; None where it does not."""
    folders = variables(image).get("PATH", DEFAULT_PATH).split(":")
    return next(filter(None, (_resolve(paths, posixpath.join("/", folder, name)) for folder in folders)), None)


def _resolve(paths: Mapping[str, str], path: str) -> str | None:
    """Follow links, those of folders too; return the absolute path of what is there in the end, None where nothing is."""
    for _ in range(MAX_LINKS):
        parts = path.strip("/").split("/")
        here = next((here for count in range(1, len(parts) + 1) if paths.get(here := "/".join(parts[:count]))), None)
        if here is None:
            return f"/{'/'.join(parts)}" if "/".join(parts) in paths else None
        rest = path.strip("/").removeprefix(here).strip("/")
        path = posixpath.normpath(posixpath.join("/", posixpath.dirname(here), paths[here], rest))
    return None
