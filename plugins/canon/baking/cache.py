"""What is kept between two builds on this machine: environment layers, and what was found in images; by the hash of what they follow from."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from canon.image.descriptors import Descriptor
from canon.image.layout import Layout
from canon.model.canonical import format_canonical
from canon.model.errors import CanonError
from canon.output.files import write_bytes

MOST = 8
"""Environment layers that are kept; the oldest go."""


class BuildCache:
    """A folder of the user's own; all in it can be made again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layers = Layout(folder / "layers")

    def recall(self, kind: str, key: str) -> Any:  # noqa: ANN401  what was kept
        """What was kept under a key; None where nothing was, or nothing that can be read."""
        try:
            return json.loads((self.folder / kind / f"{key}.json").read_bytes())
        except (OSError, ValueError):
            return None

    def recall_layer(self, kind: str, key: str) -> Descriptor | None:
        """The descriptor of a layer that was kept under a key."""
        try:
            return Descriptor.model_validate(self.recall(kind, key))
        except ValidationError:  # nothing was kept, or the file is damaged
            return None

    def keep(self, kind: str, key: str, value: object) -> None:
        """Keep a value; where nothing can be kept, nothing is."""
        with contextlib.suppress(CanonError):
            write_bytes(self.folder / kind / f"{key}.json", format_canonical(value))

    def tidy(self) -> None:
        """Remove all layers but the newest."""
        with contextlib.suppress(OSError):
            blobs = sorted(
                (self.folder / "layers/blobs/sha256").glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime
            )
            for blob in blobs[:-MOST]:
                blob.unlink(missing_ok=True)


def open_cache(fallback: Path | None = None) -> BuildCache:
    """The cache in the user's folder (`XDG_CACHE_HOME`); in ``fallback`` where that cannot be written, if one is given."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")  # noqa: PTH111, PTH118
    folder = Path(home) / "canon" / "images"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    return BuildCache(folder if fallback is None or (writable and folder.is_absolute()) else fallback)
