"""`canon image verify`: it holds for what was baked, and names what does not match in an image that somebody changed.

Images are changed by tar and json, with all their digests made to fit again; nothing of Canon's takes part.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import git
from tests.e2e.faults import assert_said, canon
from tests.e2e.forged import CODE, MODEL, PROVENANCE, RECORD, SOURCE, WEIGHTS, Files, edit, failed, in_both, in_layer
from tests.e2e.served import bake, repro
from tests.images import files_of, forge, make_image, read_image, retarred

pytestmark = pytest.mark.usefixtures("quick")


CHECKS = ("layers", "base", "below", "environment", "code", "model", "result", "stages", "deps", "params", "data", "labels", "git")  # fmt: skip


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
    said = canon(clone, "image", "verify", f"oci:{tmp_path}/squeezed", code=1).stderr
    assert_said(said, "were compressed or converted on the way, which gives another image")


def tag_of(layout: Path, digest: str) -> str:
    (found,) = (
        each for each in json.loads((layout / "index.json").read_text())["manifests"] if each["digest"] == digest
    )
    return str(found["annotations"]["org.opencontainers.image.ref.name"])


def test_retarring_alone_changes_nothing(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    """What the other tests find is not the way in which they change images."""
    layout, digest = baked
    _, _, layers = read_image(layout, digest)
    for number in (CODE, MODEL, RECORD):
        again = retarred(layers[number], lambda _: None, tmp_path / f"again{number}")
        assert {path: what for path, what in files_of(again).items() if what[0] != "/"} == {
            path: what for path, what in files_of(layers[number]).items() if what[0] != "/"
        }
    del served


def test_one_changed_code_file(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    def change(files: Files) -> None:
        files[f"{SOURCE}/lib/common.py"] += b"# harmless\n"

    found = failed(served, forge(*baked, layers=in_layer(CODE, change, tmp_path)))
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


def test_an_exchanged_model(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    def change(files: Files) -> None:
        files[WEIGHTS] = files[WEIGHTS].replace(b"0.5", b"0.7")

    found = failed(served, forge(*baked, layers=in_layer(MODEL, change, tmp_path)))
    assert set(found) >= {"model"}
    assert_said(found["model"], f"/{WEIGHTS} has the sha256")


def test_a_model_of_the_recorded_md5(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    """Where every md5 was edited to fit, sha256 still tells."""

    def change(files: Files, beside: Files) -> None:
        old = hashlib.md5(files[WEIGHTS], usedforsecurity=False).hexdigest()
        files[WEIGHTS] = files[WEIGHTS].replace(b"0.5", b"0.7")
        beside[PROVENANCE] = beside[PROVENANCE].replace(
            old.encode(), hashlib.md5(files[WEIGHTS], usedforsecurity=False).hexdigest().encode()
        )

    found = failed(served, forge(*baked, layers=in_both(change, tmp_path)))
    assert_said(found["model"], f"/{WEIGHTS} has the sha256")


def test_another_data_hash(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    change = edit(lambda document: document.update(data_hash="0" * 64))
    new = forge(
        *baked,
        layers=in_layer(RECORD, change, tmp_path),
        config=lambda config: config["config"]["Labels"].update({"canon.data-hash": "0" * 64}),
    )
    assert_said(failed(served, new)["data"], "the pins give the data hash")


def test_another_pin(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    change = edit(lambda document: document["pins"]["raw"].update(sha256="0" * 64))
    found = failed(served, forge(*baked, layers=in_layer(RECORD, change, tmp_path)))
    assert_said(found["data"], "the pin of raw is not the one in pipelines/p.pins.yaml")


@pytest.mark.parametrize(
    "order",
    [(0, 2, 1, 3), (1, 0, 2, 3), (0, 1, 3, 2)],
    ids=["model below the code", "code below the base", "provenance below the model"],
)
def test_layers_in_another_order(served: Path, baked: tuple[Path, str], order: tuple[int, ...]) -> None:
    new = forge(*baked, layers=lambda layers: [layers[number] for number in order])
    done = canon(served, "image", "verify", f"oci:../made@{new}", code=1)
    assert_said(done.stdout + done.stderr, "the layers", "another order")


def test_a_missing_provenance(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    new = forge(*baked, layers=in_layer(RECORD, lambda files: files.pop(PROVENANCE), tmp_path))
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
    other = files_of(layers[RECORD])[PROVENANCE][1]
    found = failed(
        served, forge(*baked, layers=in_layer(RECORD, lambda files: files.update({PROVENANCE: other}), tmp_path))
    )
    assert_said(found["model"], f"/{WEIGHTS} has the sha256")
    assert {"base", "code", "labels"} <= set(found)


@pytest.mark.parametrize("path", [f"{SOURCE}/sitecustomize.py", f"{SOURCE}/.wh.serve.py", "opt/canon/env/x.pth"])
def test_something_beside_the_model(served: Path, baked: tuple[Path, str], tmp_path: Path, path: str) -> None:
    for number, says in {
        MODEL: "in the model's layer, and is no part of the model",
        RECORD: "beside the provenance",
    }.items():
        found = failed(
            served,
            forge(*baked, layers=in_layer(number, lambda files: files.update({path: b"x"}), tmp_path / str(number))),
        )
        assert_said(found["model"], f"/{path} lies {says}")


def test_a_layer_above_the_model(served: Path, baked: tuple[Path, str], tmp_path: Path) -> None:
    _, _, layers = read_image(tmp_path / "other", make_image(tmp_path / "other", {WEIGHTS: b"evil"}))
    new = forge(*baked, layers=lambda old: [*old, layers[0]])
    said = canon(served, "image", "verify", f"oci:../made@{new}", code=1).stderr
    assert_said(said, "lies in layer 4 of 5, not on top")


TEMPLATED = """\
  each:
    foreach: [a, b]
    do:
      cmd: mkdir -p parts && echo ${item} ${fit.rate} > parts/${item}.txt
      deps: [fit.py]
      outs: ["parts/${item}.txt"]
  all:
    cmd: cat parts/*.txt > all.txt
    deps: [parts]
    outs: [all.txt]
"""


def test_a_pipeline_with_templates_is_proven(served: Path, tmp_path: Path) -> None:
    """DVC fills the templates in, from the code in the image alone; a folder that stages write into is what they and the code have there."""
    file = served / "pipelines/p.yaml"
    file.write_text(file.read_text().replace("artifacts:", f"{TEMPLATED}vars: [params/p.yaml]\nartifacts:", 1))
    (served / "parts").mkdir()
    (served / "parts/note.txt").write_text("from Git\n")
    (served / ".gitignore").write_text((served / ".gitignore").read_text() + "/all.txt\n/parts/a.txt\n/parts/b.txt\n")
    canon(served, "render")
    git(served, "add", "--all")
    git(served, "commit", "-qm", "templates")
    repro(served)
    digest = bake(served)
    found = json.loads(
        canon(served, "image", "verify", f"oci:../made@{digest}", "--json", "--from", "oci:../below").stdout
    )
    assert {check["name"]: check["status"] for check in found["checks"]} == dict.fromkeys(CHECKS, "ok")

    def change(files: Files) -> None:
        files[f"{SOURCE}/parts/note.txt"] = b"other"

    said = failed(served, forge(served / "../made", digest, layers=in_layer(CODE, change, tmp_path)))
    assert_said(said["deps"], "`all` ran with another parts than the image and the stages have")


def test_what_an_image_says_of_dvcs_settings_is_not_followed(served: Path, tmp_path: Path) -> None:
    text = f"[core]\n    site_cache_dir = {tmp_path}/evil\n[cache]\n    dir = {tmp_path}/evil\n"
    (served / ".dvc/config").write_text(text)
    file = served / "pipelines/p.yaml"
    file.write_text(
        file.read_text()
        .replace("python3 fit.py", "python3 fit.py ${fit.rate}")
        .replace("name: p\n", "name: p\nvars: [params/p.yaml]\n", 1)
    )
    canon(served, "render")
    git(served, "add", "--all")
    git(served, "commit", "-qm", "settings")
    repro(served, "ran")
    digest = bake(served)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(served), str(clone))
    for folder in tmp_path.glob("evil*"):
        shutil.rmtree(folder)
    canon(clone, "image", "verify", f"oci:{served}/../made@{digest}")
    assert not list(tmp_path.glob("evil*"))


def test_code_that_is_not_on_the_declared_branch_is_named(served: Path) -> None:
    file = served / "pyproject.toml"
    git(served, "branch", "-M", "main")
    file.write_text(file.read_text() + '[tool.canon.git]\nurl = "https://example.org/p.git"\nbranch = "main"\n')
    git(served, "commit", "-qam", "declared")
    git(served, "checkout", "-qb", "mine")
    (served / "serve.py").write_text("# mine\n")
    git(served, "commit", "-qam", "mine")
    digest = bake(served)

    def said() -> dict[str, str]:
        found = json.loads(canon(served, "image", "verify", f"oci:../made@{digest}", "--json").stdout)["checks"]
        return {check["status"]: check["detail"] for check in found if check["name"] == "git"}

    assert_said(said()["not checked"], "is not on the declared branch `main`")
    git(served, "branch", "-f", "main", "mine")
    assert_said(said()["ok"], "recorded by the commit")
    git(served, "branch", "-D", "main")
    assert_said(said()["not checked"], "the declared branch `main` is not here; fetch it")


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


def test_inspect_says_what_is_in_it(served: Path, baked: tuple[Path, str]) -> None:
    said = json.loads(canon(served, "image", "inspect", f"oci:../made@{baked[1]}", "--json").stdout)
    assert said["digest"] == baked[1]
    assert [layer["origin"] for layer in said["layers"]] == [
        "a base",
        "canon: code",
        "canon: model",
        "canon: provenance",
    ]
    assert set(said["files"]) == {"model/größe.txt", "model/parts/weights.json"}
    assert said["metrics"] == {"metrics.json": {"rate": 0.5}}
    assert said["facts"]["commit"] == git(served, "rev-parse", "HEAD~1")
    text = canon(served, "image", "inspect", f"oci:../made@{baked[1]}").stdout
    assert_said(text, f"commit\t{git(served, 'rev-parse', 'HEAD~1')}", "model/parts/weights.json\t")
