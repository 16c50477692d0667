"""`canon step deliver` when something is missing, in its way, or ends it: it says so, loses nothing, and the next one makes up for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from canon.model import cluster
from canon.model.errors import CanonError, StoreUnavailableError
from canon.steps.documents import record_path, write_plan
from canon.steps.planner import delivered_path
from tests.conftest import S3, git
from tests.e2e.delivered import Delivered
from tests.e2e.planned import FILES
from tests.e2e.test_steps import entries
from tests.tracking import Store

pytestmark = pytest.mark.usefixtures("quick")


def test_a_task_that_recorded_nothing_is_named(workflow: Delivered, team: Store) -> None:
    workflow.remote.objects().remove(record_path("one", "fit--40b"))
    with pytest.raises(CanonError, match="has no entry of `fit@b`"):
        workflow.deliver()
    assert workflow.experiments() == {}
    assert team.rows("p") == []


def test_an_entry_of_another_code_is_refused(workflow: Delivered, project: Path) -> None:
    """As when somebody exchanged a record: it is whole, and of other inputs."""
    (project / "fit.py").write_text(FILES["fit.py"] + "# other\n")
    git(project, "commit", "-qam", "other")
    git(project, "push", "-q", "origin", "main")
    workflow.plan = workflow.plan.model_copy(update={"revision": git(project, "rev-parse", "HEAD")})
    write_plan(workflow.remote.objects(), "one", workflow.plan)
    with pytest.raises(CanonError, match="of `fit@a` was made from other code, params or data"):
        workflow.deliver()


def test_data_that_is_gone_is_named(workflow: Delivered, s3: S3) -> None:
    listed = s3.client.list_objects_v2(Bucket=s3.bucket, Prefix="dvc/files/")["Contents"]
    for item in listed:
        if s3.client.get_object(Bucket=s3.bucket, Key=item["Key"])["Body"].read() == b'{"total": 6.0}':
            s3.client.delete_object(Bucket=s3.bucket, Key=item["Key"])
    with pytest.raises(CanonError, match=r"has no data of results/metrics.json"):
        workflow.deliver()


@pytest.mark.soak
def test_mlflow_down_fails_the_pod_and_the_next_one_delivers(workflow: Delivered, team: Store) -> None:
    workflow.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        workflow.deliver()
    assert workflow.remote.objects().read(delivered_path(workflow.plan, workflow.values())) is None
    before = workflow.experiments()
    workflow.environ["MLFLOW_TRACKING_URI"] = team.uri
    noted = workflow.deliver(attempt=2)
    assert workflow.experiments() == before
    assert team.row("p").data.tags["canon.result"] == noted["result"]


@pytest.mark.soak
def test_a_pod_that_is_killed_after_any_step_is_made_up_for(
    workflow: Delivered, team: Store, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a killed attempt has done is there once in the end, and it has noted nothing."""
    from canon.steps import deliver, outcome

    class Killed(BaseException):
        pass

    steps = [
        (outcome, "send_track"),
        (deliver, "build_outcome"),
        (deliver, "publish_experiment"),
        (deliver, "log_record"),
    ]
    for attempt, (module, name) in enumerate(steps, 1):
        real = getattr(module, name)

        def killed(*arguments: Any, real: Any = real, **options: Any) -> None:
            real(*arguments, **options)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(module, name, killed)
            with pytest.raises(Killed):
                workflow.deliver(attempt)
        assert workflow.remote.objects().read(delivered_path(workflow.plan, workflow.values())) is None
    noted = workflow.deliver(attempt=len(steps) + 1)
    assert workflow.experiments().keys() == {noted["experiment"]}
    assert team.row("p").info.status == "FINISHED"
    assert len(entries(s3)) == 6


def test_without_mlflow_there_is_no_row_and_that_is_said(workflow: Delivered, team: Store) -> None:
    del workflow.environ["MLFLOW_TRACKING_URI"]
    assert workflow.deliver()["experiment"] in workflow.experiments()
    assert workflow.said[-1] == "no row: the profile `local` declares no `mlflow`"
    assert team.rows("p") == []


@pytest.mark.soak
def test_another_experiment_of_the_name_stays_and_this_one_gets_a_number(workflow: Delivered, project: Path) -> None:
    noted = workflow.deliver()
    name, revision = noted["experiment"], workflow.plan.revision
    ref = f"refs/exps/{revision[:2]}/{revision[2:]}/{name}"
    git(workflow.code, "update-ref", "-d", ref)
    foreign = git(project, "commit-tree", f"{revision}^{{tree}}", "-p", revision, "-m", "somebody else's")
    git(project, "push", "-q", "origin", f"{foreign}:{ref}")
    assert workflow.deliver(attempt=2)["experiment"] == f"{name}-2"
    assert workflow.experiments()[name] == foreign
    assert workflow.deliver(attempt=3)["experiment"] == f"{name}-2"
    assert len(workflow.experiments()) == 2


def test_an_experiment_that_is_pushed_meanwhile_is_not_replaced(
    workflow: Delivered, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race that is lost between the look and the push: by a hook of the server's, at the very moment."""
    revision = workflow.plan.revision
    foreign = git(project, "commit-tree", f"{revision}^{{tree}}", "-p", revision, "-m", "somebody else's")
    git(project, "push", "-q", "origin", f"{foreign}:refs/heads/held")
    from canon.steps import publish

    real = publish._push
    raced: list[str] = []

    def push(root: Path, url: str, ref: str) -> None:
        if not raced:
            raced.append(ref)
            git(workflow.code, "update-ref", ref, foreign)
        real(root, url, ref)

    monkeypatch.setattr(publish, "_push", push)
    noted = workflow.deliver()
    name = raced[0].rpartition("/")[2]
    assert noted["experiment"] == f"{name}-2"
    assert workflow.experiments().keys() == {name, f"{name}-2"}
    assert workflow.experiments()[name] == foreign


def test_a_repository_that_takes_no_push_is_named(workflow: Delivered, team: Store) -> None:
    hook = workflow.code / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(CanonError, match=r"cannot be pushed to .*`git-write`"):
        workflow.deliver()
    assert team.rows("p") == []


def test_a_commit_of_another_branch_is_refused(workflow: Delivered) -> None:
    """The plan lies in the remote: which code counts says the manifest."""
    workflow.environ[cluster.GIT_BRANCHES_VARIABLE] = "release/*"
    with pytest.raises(CanonError, match=r"is on no branch of .* that this template takes"):
        workflow.deliver()
    assert workflow.experiments() == {}


def rewritten(workflow: Delivered) -> None:
    """The commit that was planned is on no branch of the repository any more."""
    other = git(workflow.code, "commit-tree", f"{workflow.plan.revision}^{{tree}}", "-m", "rewritten")
    git(workflow.code, "update-ref", "refs/heads/main", other)


def test_a_branch_that_is_rewritten_after_plan_costs_no_result(workflow: Delivered, team: Store) -> None:
    """`plan` saw the commit on it, and says so by a parameter: what stands in the remote is not asked for that."""
    rewritten(workflow)
    with pytest.raises(CanonError, match=r"is on no branch of .* that this template takes"):
        workflow.deliver()
    workflow.environ[cluster.REVISION_VARIABLE] = "0" * 40
    with pytest.raises(CanonError, match=r"is on no branch of .* that this template takes"):
        workflow.deliver(attempt=2)
    workflow.environ[cluster.REVISION_VARIABLE] = workflow.plan.revision
    noted = workflow.deliver(attempt=3)
    assert workflow.experiments().keys() == {noted["experiment"]}
    assert team.row("p").data.tags["mlflow.source.git.commit"] == workflow.plan.revision


def test_a_commit_that_the_server_has_no_more_is_named(workflow: Delivered) -> None:
    rewritten(workflow)
    git(workflow.code, "reflog", "expire", "--expire=now", "--all")
    git(workflow.code, "gc", "-q", "--prune=now")
    workflow.environ[cluster.REVISION_VARIABLE] = workflow.plan.revision
    with pytest.raises(CanonError, match=r"on no branch of .* any more, and could not be fetched.*What the stages made is kept"):  # fmt: skip
        workflow.deliver()
    assert workflow.experiments() == {}
