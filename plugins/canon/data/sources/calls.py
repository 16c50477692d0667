"""Calls of asynchronous clients from threads that can be told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from canon.data.errors import StoppedError

POLL = 0.1
"""Seconds until a waiting thread notices that it should stop."""
LAST_WORD = 5
"""Seconds that closing a connection may take."""
CONNECT, SILENCE = 10, 30
"""Seconds until a server must have taken a connection, and that it may be silent then."""

T = TypeVar("T")


class Calls:
    """Runs coroutines on fsspec's event loop, which lives in a thread of its own, and waits for them."""

    def __init__(self, stop: threading.Event) -> None:
        from fsspec.asyn import get_loop

        self._loop: asyncio.AbstractEventLoop = get_loop()
        self._stop = stop

    def wait(self, call: Coroutine[Any, Any, T]) -> T:
        """Return the coroutine's result. Raises what it raises, and StoppedError once `stop` is set: it is cancelled then."""
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            while True:
                try:
                    return future.result(POLL)
                except TimeoutError:
                    if future.done():  # it is the coroutine's own
                        raise
                    if self._stop.is_set():
                        raise StoppedError("stopped") from None
        finally:
            future.cancel()

    def end(self, call: Coroutine[Any, Any, object]) -> None:
        """Close something, stopped or not; what goes wrong in it no longer matters."""
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(call, self._loop).result(LAST_WORD)
