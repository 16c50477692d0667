"""Objects of the remote that are missing, cut short, or exchanged for others of the same size: a pod says so, or its stage runs again; nothing wrong is made of them."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from pathlib import Path

import pytest

from canon.model.errors import CanonError
from canon.planning.known import folder_members, remote_path
from tests.conftest import S3, once
from tests.e2e.planned import add_remote, write_project
from tests.e2e.test_steps import Workflow

pytestmark = pytest.mark.usefixtures("quick")
DAMAGES = ("missing", "cut short", "empty", "exchanged")
SUM = remote_path(hashlib.md5(b"6", usedforsecurity=False).hexdigest())
"""data/prepared/deep/sum.txt."""
RAW = remote_path(hashlib.md5(b"1\n2\n3\n", usedforsecurity=False).hexdigest())


def damage(s3: S3, key: str, how: str) -> bytes:
    """Damage an object; return what it was."""
    before: bytes = s3.client.get_object(Bucket=s3.bucket, Key=key)["Body"].read()
    after = {"cut short": before[:-1], "empty": b"", "exchanged": bytes(255 - byte for byte in before)}
    if how == "missing":
        s3.client.delete_object(Bucket=s3.bucket, Key=key)
    else:
        s3.put(key, after[how])
    return before


@pytest.fixture
def workflow(s3: S3, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A workflow that has made a file and a folder."""
    root = shutil.copytree(once(tmp_path_factory, "planned", write_project), tmp_path / "planned", symlinks=True)
    add_remote(root, s3)
    for folder in ("data", "results"):
        shutil.rmtree(root / folder, ignore_errors=True)
    found = Workflow(root, tmp_path / "pods", s3, "one")
    for task in ("data-raw", "prepare"):
        assert found.run(task) == 0
    return found


def list_of(workflow: Workflow, s3: S3) -> str:
    """Path of the list of the folder's files."""
    (key,) = (
        item["Key"].removeprefix("dvc/")
        for item in s3.client.list_objects_v2(Bucket=s3.bucket, Prefix="dvc/files/")["Contents"]
        if item["Key"].endswith(".dir")
    )
    assert len(folder_members(workflow.remote.objects(), key.replace("files/md5", "").replace("/", ""), "")) == 2
    return str(key)


@pytest.mark.soak
def test_who_reads_what_is_damaged_says_so_and_gets_nothing_of_it(workflow: Workflow, s3: S3) -> None:
    """Whether it went bad after `plan` had looked, or in a way that only reading it shows."""
    fresh = Workflow(workflow.project, workflow.folder, s3, "fresh", fresh=True)
    assert fresh.run("data-raw") == 0
    attempts = itertools.count(2)
    for reader, task, path, place in (
        (workflow, "fit--40a", SUM, "data/prepared/deep/sum.txt"),
        (workflow, "fit--40a", list_of(workflow, s3), "data/prepared"),
        (fresh, "prepare", RAW, "data/raw.csv"),
    ):
        for how in DAMAGES:
            before = damage(s3, f"dvc/{path}", how)
            pod = reader.pod(task, next(attempts))
            with pytest.raises(
                CanonError, match=r"does not have .* other bytes|is not in the remote|is not the list of f"
            ):
                reader.pull(pod)
            assert not (pod.places.code / place).exists(), (path, how)
            assert not pod.places.script.exists(), (path, how)
            s3.put(f"dvc/{path}", before)
        assert reader.run(task) == 0


@pytest.mark.soak
def test_the_next_workflow_makes_anew_what_is_missing_and_is_wrong_in_nothing(workflow: Workflow, s3: S3) -> None:
    """Damage that a look at the remote shows makes the stage run again; what it does not show is an error of who reads it."""
    listed = list_of(workflow, s3)
    cases = (
        (SUM, "missing", True),
        (SUM, "cut short", False),
        (SUM, "exchanged", False),
        (listed, "missing", True),
        (listed, "exchanged", True),
    )
    for number, (path, how, again) in enumerate(cases):
        before = damage(s3, f"dvc/{path}", how)
        other = Workflow(workflow.project, workflow.folder, s3, f"after-{number}")
        for task in ("data-raw", "prepare"):
            assert other.run(task) == 0
        assert ("prepare: runs" in other.said) == again, (path, how)
        if how == "missing":  # it is there again
            assert s3.client.get_object(Bucket=s3.bucket, Key=f"dvc/{path}")["Body"].read() == before
            assert other.run("fit--40a") == 0
        else:
            with pytest.raises(CanonError, match=r"does not have .* other bytes|is not the list of files"):
                other.pull(other.pod("fit--40b"))
        s3.put(f"dvc/{path}", before)
