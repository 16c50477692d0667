"""The lines of .gitignore in the order of the plan: DVC adds those of an out when its stage is saved, and stages end in any order here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dvc.repo.scm_context import SCMContext


class OrderedIgnore(SCMContext):  # type: ignore[misc]
    """DVC's own, that keeps the lines of a stage until they are asked for.

    It also keeps the lines of finished stages where a later one fails, which DVC takes out again and never restores.
    """

    def __init__(self, scm: Any, config: Any, say: Callable[[str], None]) -> None:  # noqa: ANN401  DVC's own
        super().__init__(scm, config)
        self._say = say
        self._held: list[str] = []

    def ignore(self, path: str) -> None:
        """Keep a path that is to be ignored."""
        self._held.append(path)

    def taken(self) -> tuple[str, ...]:
        """The paths that were kept since the last time."""
        found, self._held = tuple(dict.fromkeys(self._held)), []
        return found

    def write(self, paths: tuple[str, ...]) -> None:
        """Add the lines of paths to their .gitignore. One that lies in no Git repository is said: its stage has long been saved."""
        from dvc.scm import SCMError

        for path in paths:
            try:
                super().ignore(path)
            except SCMError as error:
                self._say(f"canon: {path} cannot be put into .gitignore ({error}); see to it that Git does not take it")
        self.ignored_paths: list[str] = []
