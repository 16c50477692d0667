"""The one policy of trying again: for S3 and web servers alike, for requests and whole files."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from canon.data.errors import TransientError

ATTEMPTS = 4
BACKOFF = 0.5
"""Seconds before the second attempt; each further one waits twice as long."""

T = TypeVar("T")


def retried(attempt: Callable[[], T], stop: threading.Event) -> T:
    """Return what ``attempt`` returns, calling it again while it raises TransientError, at most ATTEMPTS times.

    Raises the last TransientError, or the present one at once when ``stop`` is set meanwhile.
    """
    for number in range(ATTEMPTS - 1):
        try:
            return attempt()
        except TransientError:
            if stop.wait(BACKOFF * 2**number):
                raise
    return attempt()
