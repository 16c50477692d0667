"""What reading a source can end with, for those who catch it here.

::

    CanonError
    ├── TransientError   may go well the next time: it is tried again
    ├── TooLongError     more bytes arrive than were announced or pinned
    └── StoppedError     another file failed, or the command was interrupted
"""

from __future__ import annotations

from canon.model.errors import CanonError


class TransientError(CanonError):
    """A cut connection, a busy server: what may go well the next time."""


class TooLongError(CanonError):
    """A source sends more bytes than it may."""


class StoppedError(CanonError):
    """This read was given up because something else had failed already."""
