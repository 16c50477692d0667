"""What goes wrong with one stage, as its own error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from canon.dvc.words import dvc_words
from canon.model.errors import CanonError


class StageError(CanonError):
    """A stage cannot be reproduced: its deps are missing, its outs were not written, DVC has no room for them."""


class MovingError(StageError):
    """A file in a folder that the stage has as a dep was gone when DVC came to read it: another stage may be at work there."""


@contextlib.contextmanager
def stage_errors(deps: Iterable[Any] = ()) -> Iterator[None]:
    """Whatever goes wrong with a stage, of these deps, is that stage's, as in DVC."""
    try:
        yield
    except CanonError:
        raise
    except Exception as error:
        below = str(getattr(error, "filename", None) or "").startswith
        moves = isinstance(error, FileNotFoundError) and any(below(f"{dep.fs_path}/") for dep in deps)
        words = dvc_words(error)
        if type(error).__name__ == "MissingDataSource":
            words += "; `dvc pull`, or `canon run --pull`, brings what was pushed"
        raise (MovingError if moves else StageError)(words) from error
