"""The profile `cluster` against an S3 server, from the pin to the second clone, on the reference pipelines."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from canon.output.yaml import load_yaml
from tests.conftest import ROOT, git
from tests.e2e.projects import call, copy_of_this_repository, environment, s3_environment, snapshot

SAMPLES = ROOT / "data" / "samples"
BUCKET = "canon-demo"


@dataclass(frozen=True)
class Team:
    """Two clones of one Git remote, and a workspace of the first; ``before`` and ``after``: the first beside the workspace."""

    checkout: Path
    workspace: Path
    second: Path
    env: dict[str, str]
    before: dict[str, object]
    after: dict[str, object]
    said: dict[str, str]
    name: str


def state(checkout: Path) -> dict[str, object]:
    """Everything of a checkout that a workspace beside it must leave alone."""
    return {
        "files": snapshot(checkout),
        "status": git(checkout, "status", "--porcelain"),
        "heads": git(checkout, "for-each-ref", "refs/heads", "refs/tags", "refs/remotes"),
        "head": (checkout / ".git" / "HEAD").read_bytes(),
        "index": git(checkout, "ls-files", "-s"),
        "settings": (checkout / ".git" / "config").read_bytes(),
    }


@pytest.fixture(scope="module")
def team(s3_endpoint: str, s3_client: Any, commands: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    s3_client.create_bucket(Bucket=BUCKET)
    for name in ("co2_weekly.csv", "sunspots.csv"):
        s3_client.put_object(Bucket=BUCKET, Key=name, Body=(SAMPLES / name).read_bytes())
    env = environment(folder / "home", commands, **s3_environment(s3_endpoint))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", env["HOME"])
        checkout = copy_of_this_repository(folder / "first")
        git(folder, "init", "-q", "--bare", "origin.git")
        git(checkout, "remote", "add", "origin", str(folder / "origin.git"))
        git(checkout, "push", "-q", "origin", "HEAD:main")
        said = {"first": call(checkout, env, "dvc", "repro", "pipelines/sunspots/dvc.yaml")}
        before = state(checkout)
        workspace = folder / "cluster 1"
        said["profile"] = call(checkout, env, "canon", "profile", "cluster", "--into", str(workspace))
        said["pin"] = call(workspace, env, "canon", "data", "pin", "--profile", "cluster")
        said["repro"] = call(workspace, env, "dvc", "repro")
        said["agreeing"] = call(workspace, env, "dvc", "repro", "pipelines/sunspots/dvc.yaml")
        call(workspace, env, "dvc", "push", "--run-cache")
        name = call(workspace, env, "canon", "experiment", "save", "co2").splitlines()[0]
        said["push"] = call(workspace, env, "dvc", "exp", "push", "origin", name)
        after = state(checkout)
        second = folder / "second"
        git(folder, "clone", "-q", "-b", "main", str(folder / "origin.git"), str(second))
        said["list"] = call(second, env, "dvc", "exp", "list", "origin")
        said["pull"] = call(second, env, "dvc", "exp", "pull", "-r", "store", "origin", name)
        said["show"] = call(second, env, "dvc", "exp", "show", "--json")
        said["apply"] = call(second, env, "dvc", "exp", "apply", name)
    yield Team(checkout, workspace, second, env, before, after, said, name)
    objects = s3_client.list_objects_v2(Bucket=BUCKET).get("Contents", ())
    for item in objects:
        s3_client.delete_object(Bucket=BUCKET, Key=item["Key"])
    s3_client.delete_bucket(Bucket=BUCKET)


def pins(folder: Path, pipeline: str = "co2") -> Any:
    return load_yaml((folder / "pipelines" / f"{pipeline}.pins.yaml").read_text(), "pins")


@pytest.mark.soak
def test_the_committed_pins_of_the_profile_are_those_of_the_full_record(team: Team) -> None:
    assert team.said["pin"].split() == [
        *("co2/raw", "cluster", "38542", pins(team.checkout)["profiles"]["cluster"]["raw"]["sha256"][:12], "as", "it", "was"),
        *("sunspots/yearly", "cluster", "3101", pins(team.checkout, "sunspots")["profiles"]["cluster"]["yearly"]["sha256"][:12]),
        *("as", "it", "was"),
    ]  # fmt: skip
    assert "warning" not in call(team.checkout, team.env, "canon", "check")


@pytest.mark.soak
def test_plain_dvc_repro_fetches_the_full_record_and_trains_on_it(team: Team) -> None:
    assert (team.workspace / "data" / "raw.csv").read_bytes() == (SAMPLES / "co2_weekly.csv").read_bytes()
    assert "co2/raw: data/raw.csv brought and verified" in team.said["repro"]
    assert re.search(r"fitted 14 coefficients to 1\d\d\d weeks", team.said["repro"])
    assert (team.workspace / ".dvc" / "config.local").stat().st_mode & 0o777 == 0o600


@pytest.mark.soak
def test_the_checkout_is_untouched(team: Team) -> None:
    assert team.before == team.after
    assert team.before["status"] == ""  # plain `dvc repro` there gave the committed lock of the second pipeline


@pytest.mark.soak
def test_a_second_clone_sees_the_experiment_takes_it_and_is_up_to_date(team: Team) -> None:
    assert re.fullmatch(r"co2-cluster-[0-9a-f]{8}", team.name)
    assert team.name in team.said["list"]
    shown = {
        revision["data"]["rev"]: revision
        for baseline in json.loads(team.said["show"])
        for experiment in baseline.get("experiments") or ()
        for revision in experiment["revs"]
    }
    (experiment,) = shown.values()
    assert experiment["name"] == team.name
    assert experiment["data"]["params"]["params/co2.yaml"]["data"]["train"]["degree"] == 2
    assert experiment["data"]["params"]["pipelines/co2.pins.yaml"]["data"]["raw"]["size"] == 38542
    made = json.loads((team.workspace / "results" / "co2" / "metrics.json").read_text())
    assert experiment["data"]["metrics"]["results/co2/metrics.json"]["data"] == made
    assert "Data and pipelines are up to date." in call(team.second, team.env, "dvc", "status")
    for path in ("models/co2/artifacts/coefficients.json", "data/raw.csv", "dvc.lock", "params/co2.yaml"):
        assert (team.second / path).read_bytes() == (team.workspace / path).read_bytes()


@pytest.mark.soak
def test_a_checkout_that_took_the_experiment_has_its_profile(team: Team) -> None:
    assert "error" not in call(team.second, team.env, "canon", "check")
    refused = call(team.second, team.env, "canon", "profile", "local", code=1)
    assert "git checkout -- pipelines/co2.pins.yaml params/co2.yaml" in refused
    said = call(team.second, team.env, "canon", "experiment", "save", "co2")
    assert "already saved" in said
    assert team.name in said


@pytest.mark.soak
def test_where_inputs_agree_the_run_cache_is_shared(team: Team) -> None:
    assert "Running stage 'pipelines/sunspots/dvc.yaml:track'" in team.said["first"]
    assert "Running stage" not in team.said["agreeing"]
    assert "is cached - skipping run" in team.said["agreeing"]
    # across machines, without a lock, without a commit of the result
    third = team.second.with_name("third")
    git(third.parent, "clone", "-q", "-b", "main", str(third.parent / "origin.git"), str(third))
    (third / "pipelines" / "sunspots" / "dvc.lock").unlink()
    call(third, team.env, "dvc", "config", "--local", "core.remote", "store")
    said = call(third, team.env, "dvc", "repro", "--pull", "pipelines/sunspots/dvc.yaml")
    assert "Running stage" not in said
    assert git(third, "status", "--porcelain") == ""


@pytest.mark.soak
def test_garbage_collection_keeps_the_experiment(team: Team) -> None:
    # A shared cache knows only the workspace that asks: this one is of a clone of its own.
    clone = team.second.with_name("collected")
    shutil.copytree(team.second, clone, symlinks=True)
    git(clone, "checkout", "-q", "--", ".")
    made = git(clone, "show", f"{git(clone, 'for-each-ref', '--format=%(refname)', 'refs/exps/*/*/*')}:dvc.lock")
    model = next(out["md5"] for out in load_yaml(made, "dvc.lock")["stages"]["train"]["outs"])
    stored = clone / ".dvc" / "cache" / "files" / "md5" / model[:2] / model[2:]
    call(clone, team.env, "dvc", "gc", "-w", "--all-experiments", "-f")
    assert stored.is_file()
    call(clone, team.env, "dvc", "gc", "-w", "-f")
    assert not stored.exists()


@pytest.mark.soak
def test_the_projects_own_store_has_one_row_with_profile_data_hash_and_pins(team: Team) -> None:
    assert not (team.workspace / "mlflow.db").exists()
    with sqlite3.connect(team.checkout / "mlflow.db") as store:
        runs = store.execute(
            "select run_uuid from runs join experiments using (experiment_id) where experiments.name = 'co2'"
        ).fetchall()
        assert len(runs) == 1
        tags = dict(store.execute("select key, value from tags where run_uuid = ?", runs[0]).fetchall())
        datasets = store.execute("select name, digest, dataset_source from datasets where name = 'raw'").fetchall()
    store.close()
    pin = pins(team.checkout)["profiles"]["cluster"]["raw"]
    from canon.model.pins import data_hash

    assert tags["canon.profile"] == "cluster"
    assert tags["canon.data_hash"] == data_hash([("raw", "file", f"sha256:{pin['sha256']}")])
    assert tags["canon.result"].startswith(team.name.rpartition("-")[2])
    assert [(name, pin["sha256"].startswith(digest.removeprefix("sha256:"))) for name, digest, _ in datasets] == [
        ("raw", True)
    ]
    assert "s3://canon-demo/co2_weekly.csv" in datasets[0][2]


@pytest.mark.soak
def test_the_row_names_the_experiments_commit_once_it_is_saved(team: Team) -> None:
    call(team.workspace, team.env, "canon", "log", "-p", "co2")
    with sqlite3.connect(team.checkout / "mlflow.db") as store:
        commits = store.execute(
            "select tags.value from tags join runs using (run_uuid) join experiments using (experiment_id)"
            " where tags.key = 'mlflow.source.git.commit' and experiments.name = 'co2'"
        ).fetchall()
    store.close()
    assert commits == [
        (git(team.checkout, "rev-parse", git(team.checkout, "for-each-ref", "--format=%(refname)", "refs/exps")),)
    ]
