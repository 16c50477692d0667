"""`canon image bake`: what the layers on top hold, the same digest everywhere, and models that are refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import git
from tests.e2e.faults import assert_said, canon
from tests.e2e.projects import at_once
from tests.e2e.served import FILES, bake, repro
from tests.images import files_of, read_image

pytestmark = pytest.mark.usefixtures("quick")
SOURCE = "opt/canon/src"
GOLDEN = "sha256:d21d50013a97759a8a612acd581d66782646bf94d2bd553dbf4848aa94c8ce76"
"""Digest of the serving image of `served_project`: other bytes here are other images for all users, and a line in the changelog."""


def layers_of(root: Path, digest: str, to: str = "../made") -> list[str]:
    manifest, _, _ = read_image(root / to, digest)
    return [layer["digest"] for layer in manifest["layers"]]


def test_on_top_lie_the_model_and_where_it_came_from(served: Path) -> None:
    digest = bake(served)
    assert digest == GOLDEN
    base = canon(served, "image", "base", "p", "--from", "oci:../below", "--to", "oci:../made").stdout
    base_manifest, _, _ = read_image(served / "../made", base.strip().rpartition("@")[2])
    manifest, config, layers = read_image(served / "../made", digest)
    assert manifest["layers"][:-2] == base_manifest["layers"]
    files, beside = (
        {path: content for path, (kind, content) in files_of(layer).items() if kind != "/"} for layer in layers[-2:]
    )
    weights, other = f"{SOURCE}/model/parts/weights.json", f"{SOURCE}/model/größe.txt"
    assert files.keys() == {weights, other}
    assert beside.keys() == {"opt/canon/provenance.json"}
    assert files[weights] == (served / "model/parts/weights.json").read_bytes()
    provenance = json.loads(beside["opt/canon/provenance.json"])
    assert provenance["commit"] == git(served, "rev-parse", "HEAD~1")
    assert provenance["model"]["files"]["parts/weights.json"] == {
        "md5": hashlib.md5(files[weights], usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(files[weights]).hexdigest(),
        "size": len(files[weights]),
    }
    assert (provenance["pipeline"], set(provenance["entries"])) == ("p", {"data-raw", "fit"})
    assert provenance["params"] == {"params/p.yaml": {"fit": {"rate": 0.5}}, "pipelines/p.environment.yaml": provenance["params"]["pipelines/p.environment.yaml"], "pipelines/p.pins.yaml": provenance["params"]["pipelines/p.pins.yaml"]}  # fmt: skip
    settings = config["config"]
    assert settings["Entrypoint"] == ["/bin/sh", "-c", "exec python3 serve.py"]
    assert "Cmd" not in settings
    assert (settings["User"], settings["ExposedPorts"]) == ("65532:65532", {"8080/tcp": {}})
    assert settings["WorkingDir"] == f"/{SOURCE}"
    assert settings["Healthcheck"]["Test"][:2] == ["CMD", "/usr/local/bin/python3.11"]
    labels = settings["Labels"]
    assert labels["canon.data-hash"] == provenance["data_hash"]
    assert labels["canon.result"] == provenance["result"]
    assert labels["org.opencontainers.image.revision"] == provenance["commit"]
    assert labels["org.opencontainers.image.base.digest"] == base.strip().rpartition("@")[2]


def test_other_folders_clones_and_commits_of_generated_files_change_nothing(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (served / "argo").mkdir()
    (served / "argo/release.yaml").write_text("image: x\n")
    git(served, "add", "--all")
    git(served, "commit", "-qm", "released")
    clone = tmp_path / "a clone/größe"
    clone.parent.mkdir()
    git(tmp_path, "clone", "-q", str(served), str(clone))
    shutil.copytree(served / "../below", clone / "../below")
    shutil.copytree(served / ".dvc/cache", clone / ".dvc/cache")
    for name, value in {"TZ": "Asia/Tokyo", "LC_ALL": "C", "GIT_COMMITTER_DATE": "2027-01-01T00:00:00Z"}.items():
        monkeypatch.setenv(name, value)
    before = os.umask(0o077)
    try:
        assert bake(clone) == GOLDEN
    finally:
        os.umask(before)


def test_only_what_changed_is_another_layer(served: Path) -> None:
    first = layers_of(served, bake(served))
    (served / "params/p.yaml").write_text("fit: {rate: 0.25}\n")
    repro(served)
    second = layers_of(served, bake(served))
    (served / "serve.py").write_text("# another\n")
    git(served, "commit", "-qam", "serve")
    third = layers_of(served, bake(served))
    assert first[0] == second[0] == third[0]
    assert len({first[1], second[1], third[1]}) == 3
    assert second[2] == third[2] != first[2]
    assert len({first[3], second[3], third[3]}) == 3


def test_nothing_is_written_a_second_time(served: Path) -> None:
    bake(served)
    blobs = {path: path.stat().st_mtime_ns for path in (served / "../made/blobs/sha256").iterdir()}
    bake(served)
    assert {path: path.stat().st_mtime_ns for path in (served / "../made/blobs/sha256").iterdir()} == blobs


def test_a_dry_run_writes_nothing(served: Path) -> None:
    said = json.loads(
        canon(
            served, "image", "bake", "p", "--from", "oci:../below", "--to", "oci:../made", "--dry-run", "--json"
        ).stdout
    )
    assert said["digest"] == GOLDEN
    assert [layer["origin"] for layer in said["layers"]] == ["the image below", "code", "model", "provenance"]
    assert not (served / "../made").exists()


def test_without_a_place_it_goes_to_a_layout_that_git_does_not_see(served: Path) -> None:
    said = canon(served, "image", "bake", "p", "--from", "oci:../below").stdout.strip()
    assert said == f"oci:.dvc/tmp/canon/images@{GOLDEN}"
    assert git(served, "status", "--porcelain") == ""


def test_an_experiment_is_baked_with_the_params_that_were_applied(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):  # DVC's Git does not read dates as ISO writes them
        monkeypatch.delenv(name)
    subprocess.run(["dvc", "exp", "run", "-q", "-n", "half", "-S", "params/p.yaml:fit.rate=0.25"], cwd=served, check=True, capture_output=True)  # fmt: skip
    git(served, "checkout", "-q", ".")
    subprocess.run(["dvc", "checkout", "-q"], cwd=served, check=True, capture_output=True)
    digest = bake(served, "--rev", "half")
    _, _, layers = read_image(served / "../made", digest)
    assert b"0.25" in files_of(layers[-1])[f"{SOURCE}/params/p.yaml"][1]
    assert json.loads(files_of(layers[-2])[f"{SOURCE}/model/parts/weights.json"][1])["rate"] == 0.25
    assert layers_of(served, digest)[:2] == layers_of(served, bake(served))[:2]
    checks = json.loads(canon(served, "image", "verify", f"oci:../made@{digest}", "--json").stdout)
    assert checks["verified"], checks


def test_metrics_that_git_keeps_are_no_other_code(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An experiment's commit has them as files; those of the workspace are other ones."""
    for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):
        monkeypatch.delenv(name)
    file = served / "pipelines/p.yaml"
    file.write_text(file.read_text().replace("metrics: [metrics.json]", "metrics: [{metrics.json: {cache: false}}]"))
    (served / ".gitignore").write_text((served / ".gitignore").read_text().replace("/metrics.json\n", ""))
    canon(served, "render")
    repro(served, "metrics in Git")
    subprocess.run(["dvc", "exp", "run", "-q", "-n", "half", "-S", "params/p.yaml:fit.rate=0.25"], cwd=served, check=True, capture_output=True)  # fmt: skip
    git(served, "checkout", "-q", ".")
    subprocess.run(["dvc", "checkout", "-q"], cwd=served, check=True, capture_output=True)
    digest = bake(served, "--rev", "half")
    _, _, layers = read_image(served / "../made", digest)
    assert json.loads(files_of(layers[-2])[f"{SOURCE}/model/parts/weights.json"][1])["rate"] == 0.25
    said = canon(
        served, "image", "bake", "p", "--from", "oci:../below", "--to", "oci:../made", "--rev", "HEAD~1", code=1
    ).stderr
    assert_said(said, "was made by other code than that of HEAD")


def test_changes_mark_the_image_and_it_is_no_proof(served: Path) -> None:
    (served / "lib/extra.py").write_text("x = 1\n")
    (served / ".env").write_text("PASSWORD=bait\n")
    command = ("image", "bake", "p", "--from", "oci:../below", "--to", "oci:../made")
    assert_said(
        canon(served, *command, code=1).stderr, "would not hold what is not committed", "lib/extra.py", "--allow-dirty"
    )
    subprocess.run(["dvc", "repro", "-q"], cwd=served, check=True, capture_output=True)
    digest = bake(served, "--allow-dirty")
    _, config, layers = read_image(served / "../made", digest)
    assert config["config"]["Labels"]["canon.dirty"] == "true"
    code = files_of(layers[1])
    assert f"{SOURCE}/lib/extra.py" in code
    assert f"{SOURCE}/.env" not in code
    said = canon(served, "image", "verify", f"oci:../made@{digest}", code=1).stdout
    assert_said(said, "made with --allow-dirty: its code is that of no commit")


def test_a_model_that_is_not_here_is_fetched_or_named(served: Path, tmp_path: Path) -> None:
    subprocess.run(["dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "remote")], cwd=served, check=True)
    git(served, "commit", "-qam", "remote")
    subprocess.run(["dvc", "push", "-q"], cwd=served, check=True, capture_output=True)
    digest = bake(served)
    for name in (".dvc/cache", "model"):
        shutil.rmtree(served / name)
    assert bake(served, to="../again") == digest
    for folder in (served / ".dvc/cache", tmp_path / "remote"):
        shutil.rmtree(folder)
    said = canon(served, "image", "bake", "p", "--from", "oci:../below", "--to", "oci:../third", code=1).stderr
    assert_said(said, "is not in DVC's cache", "the remote does not have it either")
    assert not (served / "../third").exists()


def test_a_model_that_was_changed_in_the_cache_is_refused(served: Path) -> None:
    content = (served / "model/parts/weights.json").read_bytes()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    stored = served / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}"
    stored.chmod(0o644)
    stored.write_bytes(content.replace(b"0.5", b"0.7"))
    said = canon(served, "image", "bake", "p", "--from", "oci:../below", "--to", "oci:../made", code=1).stderr
    assert_said(said, "is not what the result recorded: its sha256 is")
    layout = served / "../made"
    index = json.loads((layout / "index.json").read_text())["manifests"]  # the base, which was whole before
    assert len(index) == 1
    assert not [path for path in (layout / "blobs/sha256").iterdir() if path.name.startswith(".")]


def test_a_result_of_other_code_is_refused(served: Path) -> None:
    (served / "lib/common.py").write_text("NAME = 'other'\n")
    git(served, "commit", "-qam", "other")
    said = canon(served, "image", "bake", "p", "--from", "oci:../below", "--to", "oci:../made", code=1).stderr
    assert_said(said, "lib changed since the result of p was made; run `dvc repro`")
    (served / "fit.py").write_text(FILES["fit.py"] + "\n")
    git(served, "commit", "-qam", "other")
    said = canon(served, "image", "bake", "p", "--from", "oci:../below", "--to", "oci:../made", code=1).stderr
    assert_said(said, "fit.py, lib changed since the result of p was made; run `dvc repro`")
    said = canon(
        served, "image", "bake", "p", "--from", "oci:../below", "--to", "oci:../made", "--rev", "HEAD~2", code=1
    ).stderr
    assert_said(said, "was made by other code than that of HEAD: fit.py")
    assert not (served / "../made").exists()


def test_a_declaration_that_serves_nothing_is_told_what_to_add(served: Path) -> None:
    file = served / "pipelines/p.yaml"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith("serving")))
    git(served, "commit", "-qam", "nothing is served")
    said = canon(served, "image", "bake", "p", "--from", "oci:../below", "--to", "oci:../made", code=1).stderr
    assert_said(said, "pipelines/p.yaml does not say what serves the model; add `serving:")


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--from", f"oci:../below@sha256:{'0' * 64}"], 1, "holds no image sha256:000"),
        (
            ["--from", "oci:../below", "--platform", "linux/arm64"],
            1,
            "is an image for linux/amd64, not for linux/arm64",
        ),
        (["--from", "python:3.11"], 2, "has no digest, and what a tag points to changes"),
        (["--from", "oci:../none"], 1, "is no OCI layout"),
        (["--from", "oci:../below", "--rev", "nothing"], 1, "Git knows no commit 'nothing'"),
        (["--from", "oci:../below", "--push"], 2, "--to names another place"),
        (["--from", "oci:../below", "--profile", "other"], 1, "there is no profile `other`"),
    ],
)
def test_what_cannot_be_made_leaves_nothing(served: Path, options: list[str], code: int, says: str) -> None:
    said = canon(served, "image", "bake", "p", "--to", "oci:../made", *options, code=code).stderr
    assert_said(said, says)
    assert not (served / "../made").exists()


def test_a_full_disk_leaves_no_image_and_no_part(served: Path) -> None:
    bake(served)
    index = (served / "../made/index.json").read_bytes()
    (served / "fit.py").write_text(FILES["fit.py"].replace('"ü"', '"ü" * 300_000'))
    git(served, "commit", "-qam", "a larger model")
    repro(served)
    command = ("image", "bake", "p", "--from", "oci:../below", "--to", "oci:../made")
    assert_said(canon(served, *command, code=1, file_size=200_000).stderr, "cannot write to the layout")
    tags = json.loads((served / "../made/index.json").read_bytes())["manifests"]
    assert len(tags) == len(json.loads(index)["manifests"]) + 1  # the new base, which is whole
    assert not [path for path in (served / "../made/blobs/sha256").iterdir() if path.name.startswith(".")]
    assert bake(served)


def test_two_bakes_at_once_lose_neither(served: Path) -> None:
    (served / "pipelines/q.yaml").write_text((served / "pipelines/p.yaml").read_text().replace("name: p", "name: q\ndvc_file: q/dvc.yaml").replace("path: data/raw.csv", "path: data/q.csv").replace("data/raw.csv]", "data/q.csv]").replace("outs: [model]", "outs: [other]").replace("path: model", "path: other").replace("metrics: [metrics.json]", "metrics: [q.json]").replace("python3 fit.py", "mkdir -p other && echo 1 > other/x && echo {} > q.json"))  # fmt: skip
    subprocess.run(["canon", "data", "pin"], cwd=served, check=True, capture_output=True)
    canon(served, "render")
    with (served / ".gitignore").open("a") as file:
        file.write("/other\n/q.json\n")
    subprocess.run(["dvc", "repro", "-q", "q/dvc.yaml"], cwd=served, check=True, capture_output=True)
    git(served, "add", "--all")
    git(served, "commit", "-qm", "two")
    subprocess.run(["dvc", "repro", "-q"], cwd=served, check=True, capture_output=True)
    commands = [
        ("canon", "image", "bake", name, "--from", "oci:../below", "--to", "oci:../made") for name in ("p", "q")
    ]
    for done in at_once(served, *commands):
        assert done.returncode == 0, done.stderr
    assert (
        len(json.loads((served / "../made/index.json").read_text())["manifests"]) == 3
    )  # the base is the same for both
