"""`canon run --profile` and `-S`: the same run in a workspace of its own, which ends as a DVC experiment."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from canon.model.errors import CanonError
from canon.model.project import Pipeline, Project
from canon.steps.options import settings_from_options
from canon.workspaces.apart import Apart, run_apart, run_there
from canon.workspaces.committed import check_committed


class StageFailedError(CanonError):
    """A stage failed in the workspace, which has said so; its exit code is the command's."""

    def __init__(self, code: int) -> None:
        super().__init__(
            "the run in its own workspace failed; what it printed says why, and what has run is in the cache"
        )
        self.exit_code = code


def run_elsewhere(
    project: Project,
    name: str,
    profile: str,
    options: Sequence[str],
    flags: Sequence[str],
    say: Callable[[str], None],
    *,
    allow_dirty: bool,
) -> Apart:
    """Run a pipeline of HEAD with a profile and params (``options``: as `-S` has them), by `canon run` with ``flags``.

    Raises UsageError for what is no param, CanonError where not everything is committed, StageFailedError, and what `run_apart` raises.
    """
    pipeline = project.pipeline(name)
    check_committed(project, "a workspace of its own", say, allow_dirty=allow_dirty)
    values = settings_from_options(project.root, pipeline, options)

    def repro(root: Path, there: Pipeline, lock: int) -> None:
        code = run_there(root, lock, sys.executable, "-m", "canon", "run", there.name, *flags)
        if code != 0:
            raise StageFailedError(code)

    return run_apart(project, name, profile, values, say, repro, untracked_too=False)
