"""`canon image verify`: it holds for what was baked, and names what does not match in an image that somebody changed.

Images are changed by tar and json, with all their digests made to fit again; nothing of Canon's takes part.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import git
from tests.e2e.faults import assert_said, canon
from tests.e2e.served import bake, repro
from tests.images import files_of, forge, make_image, read_image, retarred

pytestmark = pytest.mark.usefixtures("quick")
SOURCE = "opt/canon/src"
PROVENANCE = "opt/canon/provenance.json"
WEIGHTS = f"{SOURCE}/model/parts/weights.json"
Files = dict[str, bytes]
CHECKS = ("layers", "base", "below", "environment", "code", "model", "result", "stages", "deps", "params", "data", "labels", "git")  # fmt: skip


@pytest.fixture
def baked(served: Path) -> tuple[Path, str]:
    """The layout, and the digest of the serving image."""
    return served / "../made", bake(served)


def failed(root: Path, digest: str, *arguments: str) -> dict[str, str]:
    """The lines of the proof that do not hold, with what they say."""
    done = canon(root, "image", "verify", f"oci:../made@{digest}", "--json", *arguments, code=1)
    document = json.loads(done.stdout)
    assert not document["verified"]
    found = {check["name"]: check["detail"] for check in document["checks"] if check["status"] == "FAILED"}
    assert_said(done.stderr, "is not what it says: " + ", ".join(found))
    return found


def in_layer(number: int, change: Callable[[Files], object], tmp_path: Path) -> Callable[[list[bytes]], list[bytes]]:
    """Change the files of one layer."""

    def changed(layers: list[bytes]) -> list[bytes]:
        layers[number] = retarred(layers[number], change, tmp_path / "layer")
        return layers

    return changed


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Files], None]:
    """Change the provenance, and write it as canonically as it was."""

    def changed(files: Files) -> None:
        document = json.loads(files[PROVENANCE])
        change(document)
        files[PROVENANCE] = (
            json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        )

    return changed


def test_what_was_baked_is_proven_in_any_clone(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    layout, digest = baked
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(served), str(clone))
    copy = tmp_path / "copy"
    source = f"oci:{layout}:{tag_of(layout, digest)}"
    subprocess.run(["skopeo", "copy", "-q", "--preserve-digests", source, f"oci:{copy}"], check=True)
    document = json.loads(
        canon(clone, "image", "verify", f"oci:{copy}", "--json", "--from", f"oci:{served}/../below").stdout
    )
    assert document["verified"]
    assert {check["name"]: check["status"] for check in document["checks"]} == dict.fromkeys(CHECKS, "ok")
    assert document["digest"] == digest
    subprocess.run(["skopeo", "copy", "-q", source, f"oci:{tmp_path}/squeezed"], check=True)
    said = canon(clone, "image", "verify", f"oci:{tmp_path}/squeezed", code=1).stdout
    assert_said(said, "the layers were compressed on the way, which gives another image")


def tag_of(layout: Path, digest: str) -> str:
    (found,) = (
        each for each in json.loads((layout / "index.json").read_text())["manifests"] if each["digest"] == digest
    )
    return str(found["annotations"]["org.opencontainers.image.ref.name"])


def test_retarring_alone_changes_nothing(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    """What the other tests find is not the way in which they change images."""
    layout, digest = baked
    _, _, layers = read_image(layout, digest)
    for number in (1, 2):
        again = retarred(layers[number], lambda _: None, tmp_path / f"again{number}")
        assert {path: what for path, what in files_of(again).items() if what[0] != "/"} == {
            path: what for path, what in files_of(layers[number]).items() if what[0] != "/"
        }
    del served


def test_one_changed_code_file(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    def change(files: Files) -> None:
        files[f"{SOURCE}/lib/common.py"] += b"# harmless\n"

    found = failed(served, forge(*baked, layers=in_layer(1, change, tmp_path)))
    assert "not as in the commit" in found["code"]
    assert "lib/common.py" in found["code"]
    assert "`fit` ran with another lib than the image has" in found["deps"]
    assert "it is another base" in found["base"]


def test_another_base(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    make_image(tmp_path / "other", {"bin/sh": b"evil"})
    manifest, _, layers = read_image(tmp_path / "other", make_image(tmp_path / "other", {"bin/sh": b"evil"}))
    del manifest
    found = failed(served, forge(*baked, layers=lambda old: [layers[0], *old[1:]]))
    assert_said(found["base"], "layer 1 is", "it is another base")


def test_another_base_whose_record_was_edited(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    """The record of the base follows; only the image that was declared shows it."""
    layout, digest = baked
    other = make_image(tmp_path / "other", {"bin/sh": b"evil"})
    other_manifest, other_config, layers = read_image(tmp_path / "other", other)
    new = forge(layout, digest, layers=lambda old: [layers[0], *old[1:]])
    manifest, config, _ = read_image(layout, new)

    def change(document: dict[str, Any]) -> None:
        document["base"]["manifest"]["layers"] = manifest["layers"][:-1]
        document["base"]["config"]["rootfs"]["diff_ids"] = config["rootfs"]["diff_ids"][:-1]

    del other_manifest, other_config
    found = failed(served, forge(layout, new, layers=in_layer(2, edit(change), tmp_path)), "--from", "oci:../below")
    assert "not the base" in found["below"]


def test_an_exchanged_model(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    def change(files: Files) -> None:
        files[WEIGHTS] = files[WEIGHTS].replace(b"0.5", b"0.7")

    found = failed(served, forge(*baked, layers=in_layer(2, change, tmp_path)))
    assert set(found) >= {"model"}
    assert_said(found["model"], f"/{WEIGHTS} has the sha256")


def test_a_model_of_the_recorded_md5(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    """Where every md5 was edited to fit, sha256 still tells."""

    def change(files: Files) -> None:
        old = hashlib.md5(files[WEIGHTS], usedforsecurity=False).hexdigest()
        files[WEIGHTS] = files[WEIGHTS].replace(b"0.5", b"0.7")
        files[PROVENANCE] = files[PROVENANCE].replace(
            old.encode(), hashlib.md5(files[WEIGHTS], usedforsecurity=False).hexdigest().encode()
        )

    found = failed(served, forge(*baked, layers=in_layer(2, change, tmp_path)))
    assert_said(found["model"], f"/{WEIGHTS} has the sha256")


def test_a_model_whose_whole_record_was_made_to_fit(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    """Every hash and label follows the exchanged model: Git knows no such result."""

    def canonical(value: object) -> bytes:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    labels: dict[str, str] = {}

    def change(files: Files) -> None:
        document = json.loads(files[PROVENANCE])
        files[WEIGHTS] = files[WEIGHTS].replace(b"0.5", b"0.7")
        sha256 = hashlib.sha256(files[WEIGHTS]).hexdigest()
        document["artifacts"]["net"]["parts/weights.json"] = sha256
        document["model"]["files"]["parts/weights.json"]["sha256"] = sha256
        parts = ("pipeline", "params", "metrics", "pins", "entries", "artifacts")
        document["result"] = hashlib.sha256(
            canonical({"schema": 1} | {key: document[key] for key in parts})
        ).hexdigest()
        listed = sorted([path, file["sha256"]] for path, file in document["model"]["files"].items())
        labels["canon.result"] = document["result"]
        labels["canon.model"] = hashlib.sha256(canonical(listed)).hexdigest()
        files[PROVENANCE] = canonical(document) + b"\n"

    new = forge(
        *baked, layers=in_layer(2, change, tmp_path), config=lambda config: config["config"]["Labels"].update(labels)
    )
    new = forge(baked[0], new, config=lambda config: config["config"]["Labels"].update(labels))
    found = failed(served, new)
    assert_said(found["git"], "no commit here records the result")


def test_another_data_hash(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    change = edit(lambda document: document.update(data_hash="0" * 64))
    new = forge(
        *baked,
        layers=in_layer(2, change, tmp_path),
        config=lambda config: config["config"]["Labels"].update({"canon.data-hash": "0" * 64}),
    )
    assert_said(failed(served, new)["data"], "the pins give the data hash")


def test_another_pin(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    change = edit(lambda document: document["pins"]["raw"].update(sha256="0" * 64))
    found = failed(served, forge(*baked, layers=in_layer(2, change, tmp_path)))
    assert_said(found["data"], "the pin of raw is not the one in pipelines/p.pins.yaml")


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 0, 2)], ids=["model below the code", "code below the base"])
def test_layers_in_another_order(served: Path, baked: tuple[Path, str], order: tuple[int, ...]) -> None:
    new = forge(*baked, layers=lambda layers: [layers[number] for number in order])
    done = canon(served, "image", "verify", f"oci:../made@{new}", code=1)
    assert_said(done.stdout + done.stderr, "the layers", "another order")


def test_a_missing_provenance(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    new = forge(*baked, layers=in_layer(2, lambda files: files.pop(PROVENANCE), tmp_path))
    said = canon(served, "image", "verify", f"oci:../made@{new}", code=1).stderr
    assert_said(said, f"has no /{PROVENANCE}", "or the file was taken out")
    base = canon(served, "image", "base", "p", "--from", "oci:../below", "--to", "oci:../base").stdout.strip()
    assert_said(canon(served, "image", "verify", base, code=1).stderr, "was not made by `canon image bake`")


@pytest.mark.parametrize(
    ("label", "value"),
    [("canon.data-hash", "0" * 64), ("org.opencontainers.image.revision", "0" * 40), ("canon.new", "x"), ("canon.source-tree", "1" * 40)],
)  # fmt: skip
def test_a_forged_label(served: Path, baked: tuple[Path, str], label: str, value: str) -> None:
    new = forge(*baked, config=lambda config: config["config"]["Labels"].update({label: value}))
    assert_said(failed(served, new)["labels"], f"the label {label} says {value!r}")


@pytest.mark.parametrize(
    ("key", "value"),
    [("Env", ["LD_PRELOAD=/tmp/x.so"]), ("Entrypoint", ["/bin/evil"]), ("User", "0:0"), ("WorkingDir", "/tmp")],  # noqa: S108
)
def test_another_setting(served: Path, baked: tuple[Path, str], key: str, value: object) -> None:
    new = forge(*baked, config=lambda config: config["config"].update({key: value}))
    assert_said(failed(served, new)["labels"], f"the setting {key} is")


def test_the_provenance_of_another_image(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    (served / "params/p.yaml").write_text("fit: {rate: 0.25}\n")
    repro(served)
    _, _, layers = read_image(baked[0], bake(served))
    other = files_of(layers[2])[PROVENANCE][1]
    found = failed(served, forge(*baked, layers=in_layer(2, lambda files: files.update({PROVENANCE: other}), tmp_path)))
    assert_said(found["model"], f"/{WEIGHTS} has the sha256")
    assert {"base", "code", "labels"} <= set(found)


@pytest.mark.parametrize("path", [f"{SOURCE}/sitecustomize.py", f"{SOURCE}/.wh.serve.py", "opt/canon/env/x.pth"])
def test_something_beside_the_model(served: Path, baked: tuple[Path, str], tmp_path: Path, path: str) -> None:
    found = failed(served, forge(*baked, layers=in_layer(2, lambda files: files.update({path: b"x"}), tmp_path)))
    assert_said(found["model"], f"/{path} lies in the model's layer, and is no part of the model")


def test_a_layer_above_the_model(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    _, _, layers = read_image(tmp_path / "other", make_image(tmp_path / "other", {WEIGHTS: b"evil"}))
    new = forge(*baked, layers=lambda old: [*old, layers[0]])
    said = canon(served, "image", "verify", f"oci:../made@{new}", code=1).stderr
    assert_said(said, "lies in layer 3 of 4, not on top")


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
        subprocess.run(["tar", "-xf", "-", "-C", folder], input=layers[1], check=True)
        place = folder / SOURCE / "params/p.yaml"
        place.unlink()
        place.symlink_to(tmp_path / "secret.yaml")
        done = subprocess.run(["tar", "--sort=name", "-cf", "-", "-C", folder, "opt"], check=True, capture_output=True)
        return [layers[0], done.stdout, layers[2]]

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

    found = failed(served, forge(*baked, layers=in_layer(2, change, tmp_path)))
    assert_said(found["model"], "pipelines/p.yaml is no params file of a stage, and lies over the code")


def test_a_model_at_another_place(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    def change(files: Files) -> None:
        for path in [path for path in files if path.startswith(f"{SOURCE}/model/")]:
            files[path.replace("/model/", "/lib/")] = files.pop(path)
        edit(lambda document: document["model"].update(path="lib"))(files)

    found = failed(served, forge(*baked, layers=in_layer(2, change, tmp_path)))
    assert_said(found["model"], "it holds net at lib, and net at model is declared to be served")


def test_without_track_the_model_is_held_against_the_stages_md5(served: Path, tmp_path: Path) -> None:
    file = served / "pipelines/p.yaml"
    file.write_text(file.read_text().replace("name: p", "name: p\ntrack: false"))
    canon(served, "render")
    git(served, "add", "--all")
    git(served, "commit", "-qm", "no track")
    repro(served, "trained again") if git(served, "status", "--porcelain") else None
    digest = bake(served)

    def canonical(value: object) -> bytes:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def change(files: Files) -> None:
        document = json.loads(files[PROVENANCE])
        files[WEIGHTS] = files[WEIGHTS].replace(b"0.5", b"0.7")
        sha256 = hashlib.sha256(files[WEIGHTS]).hexdigest()
        document["artifacts"]["net"]["parts/weights.json"] = sha256
        document["model"]["files"]["parts/weights.json"]["sha256"] = sha256
        document["model"]["files"]["parts/weights.json"]["md5"] = hashlib.md5(
            files[WEIGHTS], usedforsecurity=False
        ).hexdigest()
        parts = ("pipeline", "params", "metrics", "pins", "entries", "artifacts")
        document["result"] = hashlib.sha256(
            canonical({"schema": 1} | {key: document[key] for key in parts})
        ).hexdigest()
        files[PROVENANCE] = canonical(document) + b"\n"

    found = failed(served, forge(served / "../made", digest, layers=in_layer(2, change, tmp_path)))
    assert_said(found["model"], "the files of model have the md5", "and `fit` recorded")


def test_files_of_the_host_are_not_read(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("key: bait-2retnuh\n")

    def change(document: dict[str, Any]) -> None:
        document["entries"]["fit"]["params"][str(secret)] = {"key": 1}
        document["entries"]["fit"]["deps"].append({"path": f"../../../..{secret}", "md5": "0" * 32})

    found = failed(served, forge(*baked, layers=in_layer(2, edit(change), tmp_path)))
    assert_said(found["params"], "outside of the repository")
    assert_said(found["deps"], "outside of the repository")
    assert "bait-2retnuh" not in json.dumps(found)


def test_a_clone_that_does_not_know_the_commit_says_so(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("pyproject.toml", "pipelines"):
        source = served / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, other / name)
    git(other, "init", "-q")
    git(other, "add", "--all")
    git(other, "commit", "-qm", "other")
    done = canon(other, "image", "verify", f"oci:{baked[0]}@{baked[1]}", code=1)
    assert_said(done.stdout, "Git knows no commit", "fetch it", "no commit here records the result")


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
    new = forge(*baked, layers=in_layer(2, edit(change), tmp_path))
    assert_said(canon(served, "image", "verify", f"oci:../made@{new}", code=1).stderr, says)


@pytest.mark.parametrize(("key", "value"), [("Env", 3), ("Labels", []), ("Labels", {"a": 1})])
def test_a_configuration_of_another_form_is_named(
    served: Path, baked: tuple[Path, str], key: str, value: object
) -> None:
    new = forge(*baked, config=lambda config: config["config"].update({key: value}))
    for command in ("verify", "inspect"):
        said = canon(served, "image", command, f"oci:../made@{new}", code=1).stderr
        assert_said(said, "is broken: config." + key)


def test_inspect_says_what_is_in_it(served: Path, baked: tuple[Path, str]) -> None:
    said = json.loads(canon(served, "image", "inspect", f"oci:../made@{baked[1]}", "--json").stdout)
    assert said["digest"] == baked[1]
    assert [layer["origin"] for layer in said["layers"]] == ["a base", "canon: code", "canon: model"]
    assert set(said["files"]) == {"model/größe.txt", "model/parts/weights.json"}
    assert said["metrics"] == {"metrics.json": {"rate": 0.5}}
    assert said["facts"]["commit"] == git(served, "rev-parse", "HEAD~1")
    text = canon(served, "image", "inspect", f"oci:../made@{baked[1]}").stdout
    assert_said(text, f"commit\t{git(served, 'rev-parse', 'HEAD~1')}", "model/parts/weights.json\t")
