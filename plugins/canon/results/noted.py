"""Which row a result has, noted beside the checkout, so that it can be named without asking MLflow."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from canon.model.errors import CanonError
from canon.output.files import write_text

if TYPE_CHECKING:
    from canon.results.track import Tracked

FOLDER = ".dvc/tmp/canon/rows"


def note_row(root: Path, tracked: Tracked) -> None:
    """Note the row of a pipeline's newest result. Nothing depends on it: where it cannot be written it is not there."""
    if (root / ".dvc/tmp").is_dir():
        document = {"result": tracked.result, "row": tracked.url or tracked.run_id or ""}
        with contextlib.suppress(CanonError):
            write_text(root / FOLDER / f"{tracked.pipeline}.json", json.dumps(document))


def noted_row(root: Path, pipeline: str, result: str) -> str | None:
    """The address, or the id, of the row of a result; empty where it waits for its store, None where nothing is noted of that result."""
    try:
        document = json.loads((root / FOLDER / f"{pipeline}.json").read_bytes())
        if document["result"] != result:
            return None
        return str(document["row"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
