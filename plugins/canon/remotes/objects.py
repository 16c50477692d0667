"""What a remote is asked for: the calls that a bucket and a folder have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

MAX_OBJECT = 64 * 1024 * 1024
"""Bytes of the largest object that is read whole: a list of a folder's files has about 100 for each."""
AT_ONCE = 32
"""Requests at once."""
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Listed:
    """An object in a list: its name below the prefix, when it was written (seconds since 1970), its size in bytes."""

    name: str
    modified: float
    size: int


class Objects(Protocol):
    """The objects of a remote, by paths below its URL. All calls raise CanonError where the remote does not answer, or refuses."""

    name: str
    """The remote's URL."""

    def read(self, path: str) -> bytes | None:
        """The content of an object; None when there is none."""

    def listed(self, prefix: str) -> tuple[Listed, ...]:
        """The objects directly below a prefix, which is a folder; none where it does not exist."""

    def below(self, prefix: str, most: int) -> tuple[Listed, ...] | None:
        """All objects below a folder, however deep, by their paths in it; None where there are more than ``most``."""

    def size(self, path: str) -> int | None:
        """Bytes of an object; None when there is none."""

    def write(self, path: str, content: bytes) -> None:
        """Write an object: readers see the old one or the new one, whole."""

    def remove(self, path: str) -> None:
        """Remove an object; one that is not there is no error."""


def all_of(ask: Callable[[T], R], items: Iterable[T]) -> Sequence[R]:
    """The answers for all items, in their order, asked for at once. Raises what the first failing one raises."""
    asked = list(items)
    if len(asked) < 2:  # noqa: PLR2004  one needs no threads
        return [ask(item) for item in asked]
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(asked))) as pool:
        return list(pool.map(ask, asked))
