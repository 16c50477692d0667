"""What DVC logs while it is called here: its warnings are narration, all else is left out."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator


class _Say(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Say it in one line."""
        self._say(f"dvc: {' '.join(record.getMessage().split())}")


@contextlib.contextmanager
def warnings_said(say: Callable[[str], None]) -> Iterator[None]:
    """Let DVC's own loggers reach ``say`` alone."""
    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects")]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    try:
        for logger in loggers:
            logger.handlers, logger.propagate = [_Say(say)], False
            logger.setLevel(logging.WARNING)
        yield
    finally:
        for logger, handlers, level, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
