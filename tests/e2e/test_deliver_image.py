"""`canon step deliver` with a registry: the model on the very image that the stages ran in, as `canon image bake` would make it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from canon.model import cluster
from canon.model.errors import CanonError
from canon.steps.documents import WorkflowPlan, write_plan
from canon.steps.settings import format_settings
from tests.conftest import ACCESS_KEY, S3, SECRET_KEY, Run, git, once
from tests.e2e.delivered import Delivered
from tests.e2e.planned import FILES, write_project
from tests.e2e.test_step_plan import Planned
from tests.registry import Registry
from tests.tracking import Store

pytestmark = pytest.mark.usefixtures("quick")
SERVED = FILES | {
    "serve.py": "import http.server\nhttp.server.test(port=8080)\n",
    "compare.py": """\
import pathlib
rate = pathlib.Path("params/p.yaml").read_text().split("rate: ")[1].split("}")[0]
pathlib.Path("model").mkdir(exist_ok=True)
pathlib.Path("model/weights.txt").write_text(rate + pathlib.Path("data/prepared/deep/sum.txt").read_text())
""",
    "pipelines/p.yaml": """\
name: p
data:
  raw: {path: data/raw.csv, from: {local: samples/raw.csv, cluster: samples/full.csv}}
stages:
  prepare:
    cmd: python3 prepare.py
    deps: [prepare.py, data/raw.csv]
    outs: [data/prepared]
  compare:
    cmd: python3 compare.py
    deps: [compare.py, data/prepared]
    params: [{params/p.yaml: [fit]}]
    outs: [model/weights.txt]
artifacts: {net: {path: model/weights.txt, type: model}}
serving: {artifact: net, cmd: python3 serve.py, port: 8080}
""",
}


@pytest.fixture
def planned(s3: S3, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planned]:
    """The project, and a registry that has the declared image."""
    made = once(tmp_path_factory, "delivered-image", lambda folder: write_project(folder, SERVED))
    root = shutil.copytree(made, tmp_path / "planned", symlinks=True)
    with Registry() as registry:
        yield Planned(root, tmp_path, s3, registry)


def delivered(
    planned: Planned, s3: S3, team: Store, uid: str, plan: WorkflowPlan, secret: Mapping[str, str] | None = None
) -> Delivered:
    """The workflow of a plan, whose stages have all run."""
    fields = {
        name: getattr(plan, name)
        for name in ("profile", "revision", "tree", "image", "declared", "applied", "accept", "releases")
    }
    workflow = Delivered(planned.root, planned.folder / "pods", s3, uid, team, **fields)
    workflow.environ[cluster.REGISTRY_VARIABLE] = f"{planned.registry.host}/ml"
    workflow.secret |= secret or {}
    workflow.run_all()
    return workflow


@pytest.mark.soak
def test_the_image_is_what_bake_makes_of_the_experiment(
    planned: Planned, tmp_path: Path, s3: S3, team: Store, run: Run
) -> None:
    """The same digest, params as applied among what is in it; again, nothing is sent."""
    plan, _ = planned.plan("one", CANON_SET=format_settings({"params/p.yaml": {"fit.rate": 0.125}}))
    workflow = delivered(planned, s3, team, "one", plan)
    noted = workflow.deliver()
    place, _, digest = noted["image"].rpartition("@")
    assert place == f"{planned.registry.host}/ml/p"
    assert digest in planned.registry.repositories["ml/p"].tags.values()
    assert planned.registry.repositories["ml/p"].tags[f"{plan.tree[:12]}-{noted['result'][:12]}"] == digest
    git(tmp_path, "clone", "-q", str(workflow.code), "clone")
    run(tmp_path / "clone", "dvc", "exp", "pull", "-q", "origin", noted["experiment"])
    said = run(tmp_path / "clone", "canon", "image", "bake", "p", "--rev", noted["experiment"], "--to", "oci:../made")
    assert said.stdout.strip().rpartition("@")[2] == digest
    run(tmp_path / "clone", "canon", "image", "verify", noted["image"])
    planned.registry.clear()
    assert workflow.deliver(attempt=2)["image"] == noted["image"]
    assert planned.registry.received == 0


@pytest.mark.soak
def test_another_readme_is_another_image_of_the_same_model_and_no_other_row_and_moves_no_data(
    planned: Planned, s3: S3, team: Store
) -> None:
    first = delivered(planned, s3, team, "one", planned.plan("one")[0])
    noted = first.deliver()
    assert brought(first)
    (planned.root / "README.md").write_text("read me\n")
    git(planned.root, "add", "--all")
    planned.push("main")
    plan, outputs = planned.plan("two")
    assert outputs["deliver"] == "true"
    second = delivered(planned, s3, team, "two", plan)
    assert sum("nothing to run" in text for text in second.said) == len(plan.stages)
    planned.registry.clear()
    again = second.deliver()
    assert again["result"] == noted["result"]
    assert again["image"] != noted["image"]
    assert len(team.rows("p")) == 1
    assert planned.plan("three")[1]["deliver"] == "false"
    assert brought(second) == []
    # the image is what it is where all is made anew
    for item in s3.client.list_objects_v2(Bucket=s3.bucket, Prefix="dvc/canon/results/")["Contents"]:
        s3.client.delete_object(Bucket=s3.bucket, Key=item["Key"])
    assert second.deliver(attempt=2) == again
    assert brought(second, attempt=2)


def brought(workflow: Delivered, attempt: int = 1) -> list[str]:
    """The objects that a pod of `deliver` has fetched."""
    cache = workflow.folder / workflow.uid / f"deliver-{attempt}/private/cache/files/md5"
    return [path.name for path in cache.rglob("*") if path.is_file()]


@pytest.mark.soak
def test_what_was_noted_of_a_result_is_brought_again_where_it_is_lost_elsewhere(
    planned: Planned, s3: S3, team: Store
) -> None:
    """The layer of the model is gone from the registry; the row from MLflow; a note of another result, or of none, is passed over."""
    plan = planned.plan("one")[0]
    workflow = delivered(planned, s3, team, "one", plan)
    noted = workflow.deliver()
    (key,) = (
        each["Key"] for each in s3.client.list_objects_v2(Bucket=s3.bucket, Prefix="dvc/canon/results/")["Contents"]
    )
    content = json.loads(s3.client.get_object(Bucket=s3.bucket, Key=key)["Body"].read())
    layer = content["baked"]["layer"]["digest"]
    del planned.registry.repositories["ml/p"].blobs[layer]
    assert workflow.deliver(attempt=2) == noted
    assert layer in planned.registry.repositories["ml/p"].blobs
    assert brought(workflow, attempt=2)
    team.client.delete_run(team.row("p").info.run_id)
    assert workflow.deliver(attempt=3) == noted
    assert team.artifacts(team.row("p"))["models/net/weights.txt"] == b"0.56"
    other = content["result"].replace('"fit.rate":0.5', '"fit.rate":0.75').replace("0.5", "0.75")
    assert other != content["result"]
    for attempt, text in enumerate((json.dumps(content | {"result": other}), "[]", "{"), 4):
        s3.put(key, text.encode())
        assert workflow.deliver(attempt=attempt) == noted
        assert brought(workflow, attempt=attempt)
        assert json.loads(s3.client.get_object(Bucket=s3.bucket, Key=key)["Body"].read()) == content


@pytest.mark.soak
def test_what_the_clock_starts_pins_anew_and_the_branch_keeps_its_pins(
    planned: Planned, s3: S3, team: Store, run: Run
) -> None:
    """New content of a source is a new experiment, and an image that can be proven; without new content nothing runs."""
    file = planned.root / "pipelines/p.yaml"
    file.write_text(file.read_text().replace("cluster: samples/full.csv", f"cluster: 's3://{s3.bucket}/full.csv'"))
    s3.put("full.csv", b"4\n5\n")
    pins = {"AWS_ENDPOINT_URL": s3.endpoint}
    run(planned.root, "canon", "data", "pin", "--profile", "cluster", env=pins)
    planned.canon("render")
    committed = planned.push("main")
    by_clock = {cluster.PROFILE_VARIABLE: "cluster", cluster.PIN_VARIABLE: "true"}
    secret = {"AWS_ENDPOINT_URL": s3.endpoint, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    by_clock |= {f"{cluster.DATA_PREFIX}{name}": value for name, value in secret.items()}
    planned.environ[cluster.DAG_VARIABLE] = planned.graph()
    assert "raw: " in " ".join(planned.plan("asis", **by_clock)[0].applied["pipelines/p.pins.yaml"].split())
    assert any("as the commit says" in each for each in planned.said)
    s3.put("full.csv", b"4\n5\n6\n")
    plan, outputs = planned.plan("one", **by_clock)
    assert any("other content than the commit says" in each for each in planned.said)
    assert outputs["deliver"] == "true"
    workflow = delivered(planned, s3, team, "one", plan, secret)
    noted = workflow.deliver()
    git(planned.root, "fetch", "-q", "origin", "refs/exps/*:refs/exps/*")
    run(planned.root, "canon", "image", "verify", noted["image"])
    before, after = (
        git(workflow.code, "show", f"{each}:pipelines/p.pins.yaml")
        for each in (committed, workflow.experiments()[noted["experiment"]])
    )
    assert before != after
    assert git(workflow.code, "rev-parse", "main") == committed
    assert planned.plan("two", **by_clock)[1]["deliver"] == "false"
    assert planned.plan("three", **by_clock | {cluster.PIN_VARIABLE: "false"})[1]["deliver"] == "true"


@pytest.mark.soak
def test_a_base_of_another_code_is_refused(planned: Planned, s3: S3, team: Store) -> None:
    """As when somebody who may write to the remote exchanged the plan."""
    before = planned.plan("one")[0]
    (planned.root / "serve.py").write_text("import os\n")
    planned.push("main")
    plan = planned.plan("two")[0]
    workflow = delivered(planned, s3, team, "two", plan.model_copy(update={"image": before.image}))
    with pytest.raises(CanonError, match=r"the plan names the base .*, which is not .* with the code of"):
        workflow.deliver()
    assert team.rows("p") == []


@pytest.mark.soak
def test_two_images_of_one_result_have_a_tag_each(planned: Planned, s3: S3, team: Store) -> None:
    """The overlay of a profile may change params that no stage of the pipeline tracks: the image differs, the result does not."""
    plan = planned.plan("one")[0]
    workflow = delivered(planned, s3, team, "one", plan)
    noted = workflow.deliver()
    params = (planned.root / "params/p.yaml").read_text().replace("[a, b]", "[c]")
    write_plan(
        workflow.remote.objects(), "one", workflow.plan.model_copy(update={"applied": {"params/p.yaml": params}})
    )
    other = workflow.deliver(attempt=2)
    assert other["result"] == noted["result"]
    tag = f"{plan.tree[:12]}-{noted['result'][:12]}"
    first, second = (each["image"].rpartition("@")[2] for each in (noted, other))
    tags = {name: digest for name, digest in planned.registry.repositories["ml/p"].tags.items() if name.startswith(tag)}
    assert tags == {tag: first, f"{tag}-{second.removeprefix('sha256:')[:12]}": second}
    assert first != second
    planned.registry.clear()
    assert workflow.deliver(attempt=3) == other
    assert planned.registry.received == 0
