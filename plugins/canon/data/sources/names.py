"""Names in a folder that somebody else listed: they are not to be trusted."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

from canon.model.errors import CanonError


class Names:
    """The names of a source's folder: each stays below it, and all can lie side by side on every machine."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._spellings: dict[str, str] = {}
        self._files: set[str] = set()
        self._folders: set[str] = set()

    @property
    def folders(self) -> list[str]:
        """The folders below the source's, parents first."""
        return sorted(self._folders)

    def add(self, relpath: str) -> None:
        """Take one more file.

        Raises CanonError for a path that leaves the folder, and for one that differs from another only in case or Unicode
        form, is listed twice, or is a folder's as well.
        """
        self._check_path(relpath)
        parts = relpath.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if folder in self._files:
                raise self._both(folder)
            if folder not in self._folders:
                self._check_spelling(folder)
                self._folders.add(folder)
        self._check_spelling(relpath)
        if relpath in self._folders:
            raise self._both(relpath)
        if relpath in self._files:
            raise CanonError(
                f"{self._uri} lists {relpath!r} twice; nothing that it says is reliable, so nothing is read"
            )
        self._files.add(relpath)

    def _check_path(self, relpath: str) -> None:
        try:
            relpath.encode()
        except UnicodeEncodeError:
            raise CanonError(
                f"{self._uri} holds a file named {relpath!r}, which is not UTF-8; rename it there"
            ) from None
        parts = PurePosixPath(relpath).parts
        if not parts or relpath != "/".join(parts) or ".." in parts or "\\" in relpath or "\0" in relpath:
            raise CanonError(
                f"{self._uri} holds a file named {relpath!r}, which would not stay in its folder; rename it there"
            )

    def _check_spelling(self, name: str) -> None:
        other = self._spellings.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise CanonError(
                f"{self._uri} holds {other!r} and {name!r}, which are one name on some machines; rename one of them"
            )

    def _both(self, name: str) -> CanonError:
        return CanonError(f"{self._uri} holds {name!r} both as a file and as a folder; rename one of them")
