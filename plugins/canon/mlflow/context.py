"""The `mlflow.run_context_provider` plugin: commit, data hash and pipeline on users' own fluent runs.

MLflow asks it for every run that fluent code starts, in a notebook or in a stage; it must never fail one.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from mlflow.tracking.context.abstract_context import RunContextProvider


class CanonContextProvider(RunContextProvider):
    """Tags where a Canon project is around; tags that the user sets go before these."""

    def in_context(self) -> bool:
        """Tell whether a project with [tool.canon] lies at or above the current folder."""
        from canon.model.errors import CanonError
        from canon.model.root import find_root

        try:
            find_root(Path.cwd())
        except (CanonError, OSError):
            return False
        return True

    def tags(self) -> dict[str, str]:
        """The tags; what a broken project does not tell is left out. A session of `canon run` has told all of it by MLFLOW_RUN_CONTEXT."""
        if '"canon.session"' in os.environ.get("MLFLOW_RUN_CONTEXT", ""):
            return {}
        from canon.results.context import pipeline_tags, source_tags

        found: dict[str, str] = {}
        with contextlib.suppress(Exception):  # a user's run must not fail because of a tag
            found |= source_tags(Path.cwd())
        with contextlib.suppress(Exception):
            found |= pipeline_tags(Path.cwd(), os.environ.get("DVC_STAGE"))
        return found
