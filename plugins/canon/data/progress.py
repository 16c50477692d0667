"""What a transfer tells of itself."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told from several threads at once."""

    def start(self, total: int | None, files: int | None) -> None:
        """Begin: ``total`` bytes and number of files, None where unknown."""

    def advance(self, count: int) -> None:
        """``count`` bytes more have been read; fewer than none when a file is read again from its start."""

    def done(self) -> None:
        """All is read, or nothing more will be."""


class Silent:
    """Says nothing."""

    def start(self, total: int | None, files: int | None) -> None:
        """Begin."""

    def advance(self, count: int) -> None:
        """Go on."""

    def done(self) -> None:
        """End."""
