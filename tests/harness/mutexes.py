"""The mutexes of a namespace: who asks first has one first."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence


class Mutexes:
    """Named locks, each held by one at a time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queues: dict[str, list[str]] = {}

    @contextlib.contextmanager
    def held(self, names: Sequence[str], holder: str, is_over: Callable[[], bool]) -> Iterator[bool]:
        """Hold all of them; False when it was over before."""
        with self._changed:
            for name in names:
                self._queues.setdefault(name, []).append(holder)
            while not (mine := all(self._queues[name][0] == holder for name in names)) and not is_over():
                self._changed.wait(0.05)
        try:
            yield mine and not is_over()
        finally:
            with self._changed:
                for name in names:
                    self._queues[name].remove(holder)
                self._changed.notify_all()
