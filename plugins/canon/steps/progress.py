"""Progress of a pod, as Argo's UI shows it: `N/M` in the file that the executor names by ARGO_PROGRESS_FILE."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from fsspec.callbacks import Callback


class PodProgress(Callback):  # type: ignore[misc]
    """Files that are moved, of all that are to be moved. Written when a hundredth more is done; outside of a pod it says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._file = os.environ.get("ARGO_PROGRESS_FILE")
        self._said = -1

    def set_size(self, size: int | None) -> None:
        """Told by DVC of all files, and then of each part of them that it moves at once, which is not more to do."""
        super().set_size(max(size or 0, self.size or 0))

    def call(self, *_: object, **__: object) -> None:
        """Told by fsspec that something was done."""
        if self._file is None or not self.size:
            return
        hundredth = 100 * self.value // self.size
        if hundredth != self._said:
            self._said = hundredth
            with contextlib.suppress(OSError):  # what only tells may not fail a stage
                Path(self._file).write_text(f"{self.value}/{self.size}\n")
