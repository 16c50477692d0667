"""Files as they are handed to MLflow: in one folder, under the names that they are logged under."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from canon.model.errors import CanonError
from canon.model.paths import leaves_repository


class staged:  # noqa: N801  a context manager, used as a function
    """A folder with files under the names that they are logged under; on disk they may be named by their hashes."""

    def __init__(self, files: Mapping[str, Path], texts: Mapping[str, bytes] | None = None) -> None:
        self.files, self.texts = files, texts or {}

    def __enter__(self) -> Path:
        self.folder = Path(tempfile.mkdtemp(prefix="canon-log-"))
        for name in (*self.files, *self.texts):
            if leaves_repository(name):  # whoever wrote that commit is not to be trusted
                raise CanonError(f"{name!r} is no name of an artifact: it leads out of the run's folder")
        for name, source in self.files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not source.is_file():
                raise CanonError(f"{source} is gone, which {name} would be logged from; run `dvc fetch`")
            try:
                os.link(source, path)  # no bytes are copied where both lie on one file system
            except OSError:
                shutil.copyfile(source, path)
        for name, content in self.texts.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return self.folder

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
