"""The reference pipeline co2 the whole way: from a fresh bucket through the cluster's pods to a fresh clone, with its images and its row."""

from __future__ import annotations

import hashlib
import json
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from canon.dvc.lockfile import load_lockfile
from canon.steps.settings import format_settings
from tests.conftest import Base, git
from tests.counted import Counted
from tests.e2e.referenced import SAMPLES, Reference, reference_cluster, stages
from tests.harness.images import Images
from tests.harness.launch import Engine
from tests.harness.report import Report
from tests.tracking import Store, stages_run

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3000)]
TASKS = ("data-raw", "prepare", "train", "evaluate")
RUN, SKIPPED = dict.fromkeys(TASKS, "Succeeded"), dict.fromkeys(TASKS, "Skipped")
FITTED = SKIPPED | {"train": "Succeeded", "evaluate": "Succeeded"}
"""What follows from another hyperparameter of `train`."""
ALPHA, KNOTS = ({"params/co2.yaml": {key: value}} for key, value in (("train.alpha", 1e-4), ("train.knots", 10)))


@dataclass(frozen=True)
class Ran:
    """A workflow that has run, and how all was afterwards. ``s3``: what it read and wrote; ``pushed``: paths of requests that sent something to the registry."""

    report: Report
    s3: Counted
    pushed: tuple[str, ...]
    rows: tuple[str, ...]
    experiments: dict[str, str]

    @property
    def image(self) -> str:
        """The serving image that `deliver` named."""
        return next(
            line.partition(" ")[2] for line in self.report.log("deliver(0)").splitlines() if line.startswith("image ")
        )


@dataclass(frozen=True)
class Story:
    """All that happens, in this order."""

    cluster: Reference
    first: Ran
    local: Path
    """A workspace with the same profile, in which plain `dvc repro` ran everything."""
    clone: Path
    """A fresh clone to which the experiment was applied."""
    said: dict[str, str]
    generated: Ran
    words: Ran
    changed: Ran
    believed: Ran
    """Of a profile that accepts what a laptop pushed."""
    baked: Ran
    """Of one that bakes, with the same params."""


def run(cluster: Reference, profile: str = "cluster", **parameters: str) -> Ran:
    report = cluster.run("co2", profile, **parameters)
    assert report.phase == "Succeeded", f"{report}\n{report.log('plan(0)')}\n{report.log('deliver(0)')}"
    rows = tuple(row.data.tags["canon.result"] for row in Store(cluster.mlflow).rows())
    pushed = tuple(each.path for each in cluster.registry.requests if each.received)
    return Ran(report, Counted(passed=list(cluster.s3.passed)), pushed, rows, cluster.experiments())


@pytest.fixture(scope="module")
def cluster(
    s3_endpoint: str, s3_client: Any, commands: Path, pods: tuple[Engine, Images], python_base: Base, tools_base: Base,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Reference]:  # fmt: skip
    bucket = f"canon-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=bucket)
    for name in ("co2_weekly.csv", "sunspots.csv"):
        s3_client.put_object(Bucket=bucket, Key=name, Body=(SAMPLES / name).read_bytes())
    with tempfile.TemporaryDirectory(prefix="canon-", ignore_cleanup_errors=True) as name:  # pods may enter it
        folder = Path(name)
        folder.chmod(0o755)
        with reference_cluster(
            folder, tmp_path_factory, commands, pods, (python_base, tools_base), bucket, s3_endpoint
        ) as found:
            yield found


@pytest.fixture(scope="module")
def story(cluster: Reference) -> Story:
    first = run(cluster)
    said = {}
    cluster.call("canon", "profile", "cluster", "--into", "../local")
    local = cluster.folder / "local"
    said["local"] = cluster.call("dvc", "repro", folder=local)
    clone = cluster.clone("clone")
    ((ref, experiment),) = first.experiments.items()
    name = ref.rpartition("/")[2]
    cluster.call("dvc", "exp", "pull", "origin", name, folder=clone)
    cluster.call("dvc", "exp", "apply", "-v", name, folder=clone)
    said["status"] = cluster.call("dvc", "status", folder=clone)
    said["repro"] = cluster.call("dvc", "repro", "--pull", folder=clone)
    said["verify"] = cluster.call("canon", "image", "verify", first.image, folder=clone)
    bare = cluster.clone("bare")
    cluster.call("canon", "profile", "cluster", folder=bare)
    (bare / "dvc.lock").unlink()
    said["pull"] = cluster.call("dvc", "repro", "--pull", folder=bare)

    (cluster.root / "argo/co2/releases").mkdir()
    (cluster.root / "argo/co2/releases/production.yaml").write_text("commit: none\n")
    (cluster.root / "dvc.lock").write_text(git(cluster.code, "show", f"{experiment}:dvc.lock") + "\n")
    cluster.commit("generated files alone")
    generated = run(cluster)
    (cluster.root / "README.md").write_text("Another word.\n")
    cluster.commit("words")
    words = run(cluster)
    changed = run(cluster, set=format_settings(ALPHA))

    cluster.call("canon", "profile", "drafts", "--into", "../laptop")
    laptop = cluster.folder / "laptop"
    file = laptop / "params/co2.yaml"
    file.write_text(file.read_text().replace("knots: 12", "knots: 10"))
    said["laptop"] = cluster.call("dvc", "repro", folder=laptop)
    cluster.call("dvc", "push", "-q", "--run-cache", folder=laptop)
    believed = run(cluster, "drafts", set=format_settings(KNOTS))
    return Story(
        cluster,
        first,
        local,
        clone,
        said,
        generated,
        words,
        changed,
        believed,
        run(cluster, set=format_settings(KNOTS)),
    )


def made(lock: str) -> dict[str, Any]:
    """Stage → what dvc.lock says that it made."""
    return {name: entry["outs"] for name, entry in load_lockfile(lock, "dvc.lock").items()}


def layers(story: Story, image: str) -> list[str]:
    """Digests of the layers of an image that the registry has."""
    place, _, digest = image.partition("@")
    content = story.cluster.registry.repositories[place.partition("/")[2]].manifests[digest].content
    return [layer["digest"] for layer in json.loads(content)["layers"]]


def test_the_cluster_makes_what_a_local_run_with_the_same_profile_makes(story: Story) -> None:
    """The same bytes of every out, the same dvc.lock, the same result, by another Python on another base; one row for both."""
    assert stages(story.first.report) == RUN
    (commit,) = story.first.experiments.values()
    lock = git(story.cluster.code, "show", f"{commit}:dvc.lock")
    assert stages_run(story.said["local"]) == [*TASKS, "track"]
    assert made(lock) == made((story.local / "dvc.lock").read_text())
    assert lock + "\n" == (story.local / "dvc.lock").read_text()
    result = hashlib.sha256((story.local / "results/co2.json").read_bytes()).hexdigest()
    assert story.first.rows == (result,)
    assert story.generated.rows == (result,)  # the local run has logged, too
    assert f"Canon-Result: {result}" in git(story.cluster.code, "show", "-s", "--format=%B", commit)


def test_a_fresh_clone_takes_it_and_executes_nothing(story: Story) -> None:
    """`track` included; with the experiment's dvc.lock, and without any."""
    assert "Data and pipelines are up to date." in story.said["status"]
    assert stages_run(story.said["repro"]) == stages_run(story.said["pull"]) == []
    assert story.said["pull"].count("is cached - skipping run") == len(TASKS) + 1
    for path in ("results/co2.json", "models/co2/MLmodel", "results/co2/metrics.json", "data/raw.csv"):
        assert (story.clone / path).read_bytes() == (story.local / path).read_bytes()


def test_the_image_is_proven_from_git(story: Story) -> None:
    assert "FAILED" not in story.said["verify"]
    assert story.first.image.startswith(f"{story.cluster.registry.host}/ml/co2@sha256:")


def test_a_commit_of_generated_files_alone_is_one_pod(story: Story) -> None:
    ran = story.generated
    assert (ran.report.pods, stages(ran.report), ran.report.node("deliver").phase) == (1, SKIPPED, "Skipped")
    assert ran.experiments == story.first.experiments
    assert ran.s3.read("dvc/files/").keys() <= {key for key in ran.s3.read("") if key.endswith(".dir")}
    assert ran.pushed == ()


def test_a_commit_of_words_gives_an_image_of_the_same_model_and_nothing_else(story: Story) -> None:
    ran = story.words
    assert (ran.report.pods, stages(ran.report), ran.report.node("deliver").phase) == (2, SKIPPED, "Succeeded")
    assert ran.rows == story.first.rows
    assert ran.image != story.first.image
    before, after = layers(story, story.first.image), layers(story, ran.image)
    assert len(before) == len(after)
    (model,) = set(before[-2:]) & set(after)  # all but code and provenance are the same
    assert not any(model.partition(":")[2] in path for path in ran.pushed)
    assert {key for key in ran.s3.read("dvc/files/") if not key.endswith(".dir")} == set()
    assert ran.s3.written("dvc/files/") == {}


def test_another_hyperparameter_runs_what_reads_it_and_what_follows(story: Story) -> None:
    ran = story.changed
    assert stages(ran.report) == FITTED
    assert len(ran.rows) == 2
    assert len(ran.experiments) == 3  # one for each commit and result
    (ref,) = ran.experiments.keys() - story.words.experiments.keys()
    assert "alpha: 0.0001" in git(story.cluster.code, "show", f"{ran.experiments[ref]}:params/co2.yaml")


def test_what_a_laptop_pushed_stands_where_it_is_accepted_and_is_made_anew_where_a_model_is_baked(story: Story) -> None:
    assert stages_run(story.said["laptop"])[-3:] == ["train", "evaluate", "track"]
    assert (stages(story.believed.report), story.believed.report.pods) == (SKIPPED, 2)
    assert stages(story.baked.report) == FITTED
    assert story.baked.rows == story.believed.rows  # equal results are one row, whoever made them
    assert len(story.baked.rows) == 3
