"""Signals to a run: they go to the stages' commands, mildly first, and nothing new is started.

The commands have sessions of their own, which the terminal's signals do not reach. A thread sends them, so that neither a long save of an out nor
a lock that is waited for holds them up.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Self

GRACE = 10.0
"""Seconds that a command has after each signal."""
_STEPS = {signal.SIGINT: (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)}
_DEFAULT = (signal.SIGTERM, signal.SIGKILL)
_AT_ONCE = 3
"""Signals after which this process ends whatever it does."""


class InterruptedRunError(BaseException):
    """A signal came while something was done that need not be ended in order. Caught by the run alone."""


class Interrupts:
    """A context in which SIGINT, SIGTERM and SIGHUP are handled. ``send``: passes a signal to what runs; ``wake``: ends a wait for it."""

    def __init__(self, send: Callable[[int], None], wake: Callable[[], None]) -> None:
        self._send, self._wake = send, wake
        self._heard: list[int] = []
        self._queue: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._loose = False
        self.over = False
        """Whether the run has ended but for writing down what it did: no signal ends that."""
        self._before: dict[int, object] = {}
        self._thread = threading.Thread(target=self._pass_on, name="signals", daemon=True)

    @property
    def first(self) -> int | None:
        """The signal that came first; None where none came."""
        return self._heard[0] if self._heard else None

    def __enter__(self) -> Self:
        self._thread.start()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._queue.put(None)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """In it a signal raises InterruptedRunError."""
        self._loose = True
        try:
            if self._heard:
                raise InterruptedRunError
            yield
        finally:
            self._loose = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._heard.append(number)
        self._queue.put(number)  # nothing that takes a lock
        if not self.over and (self._loose or len(self._heard) >= _AT_ONCE):
            self._loose = False
            raise InterruptedRunError

    def _pass_on(self) -> None:
        number = self._queue.get()
        if number is None:
            return
        for step in _STEPS.get(signal.Signals(number), _DEFAULT):
            self._wake()
            self._send(step)
            with contextlib.suppress(queue.Empty):
                if self._queue.get(timeout=GRACE) is None:
                    return
