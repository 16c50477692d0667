"""A remote in a folder of this machine, or of a file system that is mounted here."""

from __future__ import annotations

import os
from pathlib import Path

from canon.model.errors import CanonError
from canon.output.files import write_bytes
from canon.remotes.objects import MAX_OBJECT, Listed


class FolderObjects:
    """Objects below a folder."""

    def __init__(self, folder: Path) -> None:
        self.name, self._folder = str(folder), folder

    def read(self, path: str) -> bytes | None:
        """As `Objects` says."""
        try:
            if (self._folder / path).stat().st_size > MAX_OBJECT:
                raise CanonError(f"{self.name}/{path} has more than {MAX_OBJECT} bytes")
            return (self._folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise self._problem("read", path, error) from None

    def listed(self, prefix: str) -> tuple[Listed, ...]:
        """As `Objects` says."""
        try:
            with os.scandir(self._folder / prefix) as entries:
                found = [
                    Listed(entry.name, status.st_mtime, status.st_size)
                    for entry in entries
                    if entry.is_file() and (status := entry.stat())
                ]
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise self._problem("list", prefix, error) from None
        return tuple(sorted(found, key=lambda each: each.name))

    def below(self, prefix: str, most: int) -> tuple[Listed, ...] | None:
        """As `Objects` says."""
        top = self._folder / prefix
        found: list[Listed] = []
        for folder, _, names in os.walk(top):
            for name in names:
                path = Path(folder, name)
                try:
                    status = path.stat()
                except OSError:  # it has gone meanwhile
                    continue
                found.append(Listed(path.relative_to(top).as_posix(), status.st_mtime, status.st_size))
            if len(found) > most:
                return None
        return tuple(found)

    def size(self, path: str) -> int | None:
        """As `Objects` says."""
        try:
            return (self._folder / path).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._problem("look for", path, error) from None

    def write(self, path: str, content: bytes) -> None:
        """As `Objects` says."""
        write_bytes(self._folder / path, content)

    def remove(self, path: str) -> None:
        """As `Objects` says."""
        try:
            (self._folder / path).unlink(missing_ok=True)
        except OSError as error:
            raise self._problem("remove", path, error) from None

    def _problem(self, what: str, path: str, error: OSError) -> CanonError:
        return CanonError(f"the remote {self.name}: cannot {what} {path} ({error.strerror}); look at its rights")
