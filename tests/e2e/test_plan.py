"""`canon plan`: hits and runs by a remote's run-cache, which DVC wrote, without data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import S3, git, once
from tests.e2e.faults import assert_said, canon
from tests.e2e.planned import add_remote, run_and_push, write_project

STAGES = ["data-raw", "prepare", "fit@a", "fit@b", "compare"]


@pytest.fixture
def planned(quick: None, s3: S3, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001  a fixture for its effect
    """The project, committed, with an empty remote."""
    root = shutil.copytree(once(tmp_path_factory, "planned", write_project), tmp_path / "planned", symlinks=True)
    add_remote(root, s3)
    return root


def plan(root: Path, *options: str) -> dict[str, str]:
    """Stage → why it runs; empty for a hit."""
    document = json.loads(canon(root, "plan", "p", "--json", *options).stdout)
    assert all(bool(each["run"]) == bool(each["why"]) == (each["value"] is None) for each in document["stages"])
    return {each["stage"]: each["why"] for each in document["stages"]}


def test_nothing_is_known_at_first(planned: Path) -> None:
    found = plan(planned)
    assert list(found) == STAGES
    assert found["data-raw"] == "no result is known of these inputs"
    assert found["prepare"] == "data-raw runs"


def test_what_dvc_pushed_is_found_in_a_fresh_clone_and_no_data_is_moved(planned: Path, tmp_path: Path) -> None:
    run_and_push(planned)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(planned), str(clone))
    assert plan(clone) == dict.fromkeys(STAGES, "")
    assert not (clone / "data").exists()
    assert not (clone / ".dvc/cache").exists()
    said = canon(clone, "plan", "p")
    assert_said(said.stdout, "fit@a\thit\t")
    assert_said(said.stderr, "0 of 5 stages would run")


def test_what_changed_runs_and_what_reads_from_it(planned: Path) -> None:
    run_and_push(planned)
    text = (planned / "params/p.yaml").read_text()
    (planned / "params/p.yaml").write_text(text.replace("0.5", "0.25"))
    why = "no result is known of these inputs"
    assert plan(planned) == {"data-raw": "", "prepare": "", "fit@a": why, "fit@b": why, "compare": "fit@a runs"}
    (planned / "params/p.yaml").write_text(text)
    (planned / "notes/fixed.txt").write_text("other\n")
    assert plan(planned) == {**dict.fromkeys(STAGES, ""), "compare": why}
    tasks = json.loads(canon(planned, "plan", "p", "--json").stdout)["tasks"]
    assert tasks == {"data-raw": False, "prepare": False, "fit--40a": False, "fit--40b": False, "compare": True}


def test_a_commit_and_a_profile_are_planned_beside_the_workspace(planned: Path) -> None:
    run_and_push(planned)
    (planned / "prepare.py").write_text("broken")
    assert plan(planned, "--rev", "HEAD") == dict.fromkeys(STAGES, "")
    before = git(planned, "status", "--porcelain")
    said = canon(planned, "plan", "p", "--profile", "cluster")
    assert_said(said.stderr, "the workspace has another profile: planned is the commit", "5 of 5 stages would run")
    assert git(planned, "status", "--porcelain") == before
    assert git(planned, "worktree", "list").count("\n") == 0


def test_an_entry_whose_data_is_not_complete_is_none(planned: Path, s3: S3) -> None:
    run_and_push(planned)
    listed = s3.client.list_objects_v2(Bucket=s3.bucket, Prefix="dvc/files/")["Contents"]
    for key in [
        item["Key"] for item in listed if item["Size"] == 2
    ]:  # "6\n" has no newline: the sum of the prepared folder
        s3.client.delete_object(Bucket=s3.bucket, Key=key)
    for item in listed:
        if s3.client.get_object(Bucket=s3.bucket, Key=item["Key"])["Body"].read() == b"6":
            s3.client.delete_object(Bucket=s3.bucket, Key=item["Key"])
    found = plan(planned)
    assert found["prepare"] == "the remote lacks data of its result"
    assert found["data-raw"] == ""
    assert found["fit@a"] == "prepare runs"


def test_planted_entries_are_passed_over(planned: Path, s3: S3) -> None:
    """Not what they are called, no YAML, another name: none is believed, and the true one is found behind them."""
    run_and_push(planned)
    keys = [item["Key"] for item in s3.client.list_objects_v2(Bucket=s3.bucket, Prefix="dvc/runs/")["Contents"]]
    for key in keys:
        entry = s3.client.get_object(Bucket=s3.bucket, Key=key)["Body"].read()
        folder = key.rpartition("/")[0]
        s3.client.put_object(Bucket=s3.bucket, Key=f"{folder}/{'0' * 64}", Body=entry)
        s3.client.put_object(Bucket=s3.bucket, Key=f"{folder}/{'1' * 64}", Body=b"\xff{")
        s3.client.put_object(Bucket=s3.bucket, Key=f"{folder}/README", Body=b"x")
        s3.client.put_object(Bucket=s3.bucket, Key=key, Body=entry)  # the true one is the youngest now
    assert plan(planned) == dict.fromkeys(STAGES, "")


def test_a_profile_that_bakes_believes_results_of_pods_alone(planned: Path) -> None:
    run_and_push(planned)
    file = planned / "pyproject.toml"
    file.write_text(file.read_text().replace('remote = "store"', 'remote = "store"\naccept = "pods"', 1))
    said = canon(planned, "plan", "p", code=1).stderr
    assert_said(said, "accepts results of pods alone, and p declares no `environment.image`")


def test_a_remote_that_does_not_answer_is_named(planned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = (planned / ".dvc/config").read_text()
    (planned / ".dvc/config").write_text(config.replace("store", "other"))
    assert_said(canon(planned, "plan", "p", code=1).stderr, "DVC knows no remote `store`")
    (planned / ".dvc/config").write_text(config.replace("s3://canon-", "s3://none-"))
    assert_said(canon(planned, "plan", "p", code=1).stderr, "there is no bucket none-")
    (planned / ".dvc/config").write_text(config)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    said = canon(planned, "plan", "p", code=1).stderr
    assert_said(said, "look at endpoint, network and credentials")


def test_a_folder_can_be_a_remote(planned: Path, tmp_path: Path) -> None:
    (planned / ".dvc/config").write_text(
        f"[core]\n    remote = store\n['remote \"store\"']\n    url = {tmp_path}/remote\n"
    )
    assert plan(planned)["data-raw"]
    run_and_push(planned)
    assert plan(planned) == dict.fromkeys(STAGES, "")


def test_values_that_a_stage_makes_are_not_taken_from_what_lies_around(planned: Path) -> None:
    """They may be of another run, and their stage runs first."""
    file = planned / "pipelines/p.yaml"
    file.write_text(
        f"{file.read_text()}  tune: {{cmd: 'mkdir -p results && echo \"best: 1\" > results/best.yaml', deps: [data/raw.csv], outs: [results/best.yaml]}}\n"
        "  use: {cmd: cp results/best.yaml results/used.yaml, params: [{results/best.yaml: [best]}], outs: [results/used.yaml]}\n"
    )
    canon(planned, "render")
    run_and_push(planned)
    assert (planned / "results/best.yaml").read_text() == "best: 1\n"
    (planned / "results/best.yaml").write_text("best: 2\n")
    assert plan(planned)["tune"] == ""
    assert plan(planned)["use"] == "the values in results/best.yaml are known when its stage has run"
