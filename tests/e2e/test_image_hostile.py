"""Images by somebody who knows how `canon image verify` works: records that were made to fit, declarations of their own, forms that no image has."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import git
from tests.e2e.faults import assert_said, canon
from tests.e2e.forged import (
    CODE,
    MODEL,
    RECORD,
    SOURCE,
    Files,
    canonical,
    edit,
    exchange_model,
    failed,
    in_both,
    in_layer,
)
from tests.e2e.served import bake, repro
from tests.images import forge, make_image, read_image

pytestmark = pytest.mark.usefixtures("quick")


def test_another_base_whose_record_was_edited(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    """The record of the base follows; only the image that was declared shows it."""
    layout, digest = baked
    other = make_image(tmp_path / "other", {"bin/sh": b"evil"})
    other_manifest, other_config, layers = read_image(tmp_path / "other", other)
    new = forge(layout, digest, layers=lambda old: [layers[0], *old[1:]])
    manifest, config, _ = read_image(layout, new)

    def change(document: dict[str, Any]) -> None:
        document["base"]["manifest"]["layers"] = manifest["layers"][:-2]
        document["base"]["config"]["rootfs"]["diff_ids"] = config["rootfs"]["diff_ids"][:-2]

    del other_manifest, other_config
    found = failed(
        served, forge(layout, new, layers=in_layer(RECORD, edit(change), tmp_path)), "--from", "oci:../below"
    )
    assert "not the base" in found["below"]


def test_a_model_whose_whole_record_was_made_to_fit(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    """Every hash and label follows the exchanged model: neither the stage nor Git knows it."""
    labels: dict[str, str] = {}
    new = forge(*baked, layers=in_both(lambda *files: labels.update(exchange_model(*files)), tmp_path))
    new = forge(baked[0], new, config=lambda config: config["config"]["Labels"].update(labels))
    found = failed(served, new)
    assert_said(found["git"], "no commit here records the result")
    assert_said(found["model"], "and `fit` recorded")


def test_a_blob_that_is_not_its_digest(served: Path, baked: tuple[Path, str]) -> None:
    layout, digest = baked
    manifest, _, _ = read_image(layout, digest)
    blob = layout / "blobs" / manifest["layers"][0]["digest"].replace(":", "/")
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    assert_said(failed(served, digest)["layers"], "it is damaged, or somebody exchanged it")


def test_links_that_lead_out_of_the_code_are_not_followed(
    served: Path, baked: tuple[Path, str], tmp_path: Path
) -> None:
    (tmp_path / "secret.yaml").write_text("fit: {rate: bait-2retnuh}\n")
    folder = tmp_path / "unpacked"

    def with_link(layers: list[bytes]) -> list[bytes]:
        folder.mkdir()
        subprocess.run(["tar", "-xf", "-", "-C", folder], input=layers[CODE], check=True)
        place = folder / SOURCE / "params/p.yaml"
        place.unlink()
        place.symlink_to(tmp_path / "secret.yaml")
        done = subprocess.run(["tar", "--sort=name", "-cf", "-", "-C", folder, "opt"], check=True, capture_output=True)
        return [layers[0], done.stdout, *layers[2:]]

    new = forge(*baked, layers=with_link)
    done = canon(served, "image", "verify", f"oci:../made@{new}", code=1)
    assert "which is not in the image" in done.stdout
    assert "bait-2retnuh" not in done.stdout + done.stderr


def test_the_image_does_not_choose_what_it_is_judged_by(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    """A declaration that lies over the code's as an applied file is not read, and is named."""

    def change(files: Files) -> None:
        text = (served / "pipelines/p.yaml").read_text().replace("name: p", "name: p\ntrack: false")
        files[f"{SOURCE}/pipelines/p.yaml"] = text.encode()
        digest = hashlib.sha256(text.encode()).hexdigest()

        def record(document: dict[str, Any]) -> None:
            document["applied"]["pipelines/p.yaml"] = digest
            document["params"]["pipelines/p.yaml"] = {}

        edit(record)(files)

    found = failed(served, forge(*baked, layers=in_layer(RECORD, change, tmp_path)))
    assert_said(found["model"], "pipelines/p.yaml is no params file of a stage, and lies over the code")


def test_a_model_at_another_place(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    def change(files: Files, beside: Files) -> None:
        for path in [path for path in files if path.startswith(f"{SOURCE}/model/")]:
            files[path.replace("/model/", "/lib/")] = files.pop(path)
        edit(lambda document: document["model"].update(path="lib"))(beside)

    found = failed(served, forge(*baked, layers=in_both(change, tmp_path)))
    assert_said(found["model"], "it holds net at lib, and net at model is declared to be served")


def test_without_track_the_model_is_held_against_the_stages_md5(served: Path, tmp_path: Path) -> None:
    file = served / "pipelines/p.yaml"
    file.write_text(file.read_text().replace("name: p", "name: p\ntrack: false"))
    canon(served, "render")
    git(served, "add", "--all")
    git(served, "commit", "-qm", "no track")
    repro(served, "trained again") if git(served, "status", "--porcelain") else None
    digest = bake(served)

    found = failed(served, forge(served / "../made", digest, layers=in_both(exchange_model, tmp_path)))
    assert_said(found["model"], "the files of model have the md5", "and `fit` recorded")


def test_files_of_the_host_are_not_read(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("key: bait-2retnuh\n")

    def change(document: dict[str, Any]) -> None:
        document["entries"]["fit"]["params"][str(secret)] = {"key": 1}
        document["entries"]["fit"]["deps"].append({"path": f"../../../..{secret}", "md5": "0" * 32})

    found = failed(served, forge(*baked, layers=in_layer(RECORD, edit(change), tmp_path)))
    assert_said(found["params"], "outside of the repository")
    assert_said(found["deps"], "outside of the repository")
    assert "bait-2retnuh" not in json.dumps(found)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda document: document["entries"]["fit"].update(deps=[1]), "deps.0: Input should be"),
        (lambda document: document.update(commit="--all"), "commit: String should match"),
        (lambda document: document["base"]["manifest"].update(layers=3), "layers: Input should be"),
        (lambda document: document["base"]["config"].update(history={}), "history: Input should be"),
        (lambda document: document.update(schema=2), "schema: Input should be 1"),
    ],
)
def test_a_provenance_of_another_form_is_named(
    served: Path, baked: tuple[Path, str], tmp_path: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    new = forge(*baked, layers=in_layer(RECORD, edit(change), tmp_path))
    assert_said(canon(served, "image", "verify", f"oci:../made@{new}", code=1).stderr, says)


@pytest.mark.parametrize(("key", "value"), [("Env", 3), ("Labels", []), ("Labels", {"a": 1})])
def test_a_configuration_of_another_form_is_named(
    served: Path, baked: tuple[Path, str], key: str, value: object
) -> None:
    new = forge(*baked, config=lambda config: config["config"].update({key: value}))
    for command in ("verify", "inspect"):
        said = canon(served, "image", command, f"oci:../made@{new}", code=1).stderr
        assert_said(said, "is broken: config." + key)


def test_another_base_is_not_called_the_declared_one(served: Path, tmp_path: Path) -> None:
    """The label that names the declared image is the base's own word."""
    text = (served / "pipelines/p.yaml").read_text()
    declared = text.partition("image: ")[2].partition("}")[0]
    make_image(tmp_path / "other", {"bin/sh": b"evil"})
    command = ("image", "bake", "p", "--from", f"oci:{tmp_path}/other", "--to", "oci:../made", "--json")
    digest = json.loads(canon(served, *command).stdout)["digest"]

    def change(document: dict[str, Any]) -> None:
        labels = document["base"]["config"]["config"]["Labels"]
        labels |= {"canon.base": "declared", "org.opencontainers.image.base.name": declared}
        content = canonical(document["base"]["config"])
        document["base"]["manifest"]["config"].update(
            digest=f"sha256:{hashlib.sha256(content).hexdigest()}", size=len(content)
        )

    new = forge(served / "../made", digest, layers=in_layer(RECORD, edit(change), tmp_path))
    said = json.loads(canon(served, "image", "verify", f"oci:../made@{new}", "--json", code=1).stdout)
    status = {check["name"]: check["status"] for check in said["checks"]}
    assert "ok" not in {status["base"], status["below"]}


def test_members_in_another_order(served: Path, baked: tuple[Path, str]) -> None:
    def reversed_files(layers: list[bytes]) -> list[bytes]:
        stream = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(layers[MODEL])) as old, tarfile.open(fileobj=stream, mode="w") as new:
            for member in reversed(old.getmembers()):
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
        return [*layers[:MODEL], stream.getvalue(), *layers[RECORD:]]

    assert_said(failed(served, forge(*baked, layers=reversed_files))["model"], "names, order, owners")
