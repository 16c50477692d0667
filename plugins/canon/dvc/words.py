"""What DVC says of an error, in one line."""

from __future__ import annotations

from canon.model.errors import without_credentials


def dvc_words(error: BaseException) -> str:
    """Return its message and that of its cause, which often says it all: `SCM error` alone says nothing. No password of a URL is in it."""
    said = [" ".join(str(each).split()) or type(each).__name__ for each in (error, error.__cause__) if each is not None]
    return without_credentials(said[0] if said[-1] in said[0] else ": ".join(said))
