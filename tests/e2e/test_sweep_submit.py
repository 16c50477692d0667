"""`canon sweep --submit`: the Workflow that an Argo Server is given, and what is refused before; nothing runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from canon.sweeps.points import sweep_from_text
from tests.argo_server import TOKEN, ArgoServer
from tests.conftest import git
from tests.e2e.faults import canon
from tests.e2e.submitted import commit

pytestmark = pytest.mark.usefixtures("quick")
GRID = ("-S", "seed=1,2", "-S", "lr=0.5,0.25")


@pytest.mark.soak
def test_all_points_are_one_workflow_of_a_pushed_commit(pushed: Path, argo: ArgoServer) -> None:
    table = canon(pushed, "sweep", "toy", *GRID, "--submit", "--dry-run")
    assert argo.requests == []
    assert table.stdout.splitlines()[3] == "4\tseed=2, lr=0.25\ttrain\tprepare (3)"
    assert "4 points have 8 stages, of which 6 are different" in table.stderr
    shown = json.loads(canon(pushed, "sweep", "toy", *GRID, "--submit", "--dry-run", "--json").stdout)
    assert (shown["profile"], shown["runs"], argo.workflows) == ("cluster", 6, {})

    done = canon(pushed, "sweep", "toy", *GRID, "--submit")
    assert done.stdout == "toy-cluster-00000\n"
    assert TOKEN not in done.stderr
    manifest = argo.workflows["toy-cluster-00000"].manifest
    assert {**manifest, "metadata": shown["manifest"]["metadata"]} == shown["manifest"]
    given = {each["name"]: each["value"] for each in manifest["spec"]["arguments"]["parameters"]}
    assert given.keys() == {"revision", "points"}
    assert given["revision"] == git(pushed, "rev-parse", "HEAD")
    swept = sweep_from_text(given["points"])
    assert swept.space == {"seed": "1,2", "lr": "0.5,0.25"}
    assert swept.points == tuple(each["set"] for each in shown["points"])
    assert "workflowTemplateRef" not in manifest["spec"]
    said = json.loads(canon(pushed, "sweep", "toy", "-S", "lr=1,2", "--submit", "--json").stdout)
    assert (said["name"], said["revision"]) == ("toy-cluster-00001", given["revision"])


@pytest.mark.soak
def test_what_may_not_run_is_refused_before_anything_is_submitted(pushed: Path, argo: ArgoServer) -> None:
    for arguments, code, says in (
        (("-S", "lr='1; id',2"), 1, "where the shell would read it"),
        (("-S", "other=1,2"), 1, "has the key `other`"),
        (("-S", "lr=range(0,1000)"), 2, "more than 200 values"),
        (("-S", "lr=1,2", "--profile", "local"), 1, "the profile `local` has no namespace"),
        (("-S", "lr=1,2", "--fail-fast"), 2, "--fail-fast"),
        (("-S", "lr=1,2", "--dry-run", "--watch"), 2, "leave one out"),
        (
            ("-S", f"params/toy.yaml:lr={','.join(str(n) + '0' * 600 for n in range(1, 200))}"),
            1,
            "sweep in several parts",
        ),
    ):
        assert says in canon(pushed, "sweep", "toy", *arguments, "--submit", code=code).stderr
    assert "add --submit" in canon(pushed, "sweep", "toy", *GRID, "--watch", code=2).stderr
    (pushed / "t.sh").write_text("echo other > model\n")
    assert "--allow-dirty" in canon(pushed, "sweep", "toy", *GRID, "--submit", code=1).stderr
    commit(pushed, push=False, t_dot_sh="echo other > model\n")
    assert "is on no branch of" in canon(pushed, "sweep", "toy", *GRID, "--submit", code=1).stderr
    assert argo.workflows == {}
