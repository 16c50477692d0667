"""A stage's command whose code logs a run of its own to MLflow, as users' code does: `own-run OUT SECONDS DEP…`.

It writes the half of its out before it rests. `tests/preloaded.py` has it as `own-run`, and this file is it where that is not used.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path


def main() -> None:
    """Open a run, make the out of the deps, and let the run end."""
    import mlflow

    out, seconds, *deps = sys.argv[1:]
    with mlflow.start_run(run_name=out):
        Path(out).write_text("half")
        time.sleep(float(seconds))
        Path(out).write_text("".join(Path(dep).read_text() for dep in deps) + f"{out}\n")
        mlflow.log_metric("lines", len(deps))


if __name__ == "__main__":
    main()
