"""What a workflow was started with, before anything is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from canon.model import cluster
from canon.model.errors import CanonError
from canon.steps.places import Places, Pod
from canon.steps.planner import is_fresh, plan_workflow


@pytest.mark.parametrize(("asked", "fresh"), [(None, False), ("", False), ("false", False), ("true", True)])
def test_whether_results_of_others_count(asked: str | None, *, fresh: bool) -> None:
    assert is_fresh({} if asked is None else {cluster.FRESH_VARIABLE: asked}) is fresh


@pytest.mark.parametrize("asked", ["True", "yes", "1", "true ", 'true"}, {x', "{{=workflow.uid}}"])
def test_what_says_neither_is_not_taken_for_no(asked: str, tmp_path: Path) -> None:
    pod = Pod("one", cluster.PLAN, {cluster.FRESH_VARIABLE: asked}, Places(tmp_path, tmp_path, tmp_path))
    with pytest.raises(CanonError, match=r"the parameter `fresh` is .*; say true or false"):
        plan_workflow(pod, print)
