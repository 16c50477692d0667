"""`canon image base` on layouts: the same digest everywhere, code and environment in it, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.conftest import git
from tests.e2e.faults import assert_said, canon, unchanged
from tests.images import add_blob, files_of, make_image, read_image, write_index

pytestmark = pytest.mark.usefixtures("quick")
SOURCE = "opt/canon/src"
DATE = "2026-01-02T03:04:05Z"
GOLDEN = "sha256:de809066e4abf4623b4b3ed0475bc947884231dd66438253998e8535c45d853e"
"""Digest of the image of the project below: other bytes here are other images for all users, and a line in the changelog."""
FILES = {
    "pyproject.toml": '[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n',
    "pipelines/p.yaml": "name: p\nstages: {a: {cmd: python run.py, deps: [run.py], outs: [a.txt]}}\n",
    "run.py": "open('a.txt', 'w').write('a')\n",
    "folder/größe.txt": "ü\n",
    "folder/" + "long" * 40 + ".txt": "long\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed project, always with the same hashes, and a base beside it."""
    monkeypatch.setenv("GIT_AUTHOR_DATE", DATE)
    monkeypatch.setenv("GIT_COMMITTER_DATE", DATE)
    root = tmp_path / "project"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "folder/link").symlink_to("../run.py")
    git(root, "init", "-q")
    commit(root)
    make_image(tmp_path / "below")
    return root


def commit(root: Path, *arguments: str) -> None:
    git(root, "add", "--all")
    git(root, "commit", "-qm", "change", *arguments)


def make(root: Path, *arguments: str, below: str = "oci:../below", to: str = "../made") -> str:
    return (
        canon(root, "image", "base", "p", "--from", below, "--to", f"oci:{to}", *arguments)
        .stdout.strip()
        .rpartition("@")[2]
    )


def test_the_image_holds_the_commit_on_top_of_the_base_and_nothing_else(project: Path, tmp_path: Path) -> None:
    digest = make(project)
    below, _, base = read_image(tmp_path / "below", make_image(tmp_path / "below"))
    manifest, config, layers = read_image(tmp_path / "made", digest)
    assert manifest["layers"][:1] == below["layers"]
    assert layers[:1] == base
    files = files_of(layers[1])
    tracked = git(project, "ls-files", "-z").split("\0")
    assert {path for path, (kind, _) in files.items() if kind != "/"} == {
        f"{SOURCE}/{path}" for path in filter(None, tracked)
    }
    assert files[f"{SOURCE}/run.py"] == ("644", FILES["run.py"].encode())
    assert files[f"{SOURCE}/run.sh"] == ("755", b"#!/bin/sh\n")
    assert files[f"{SOURCE}/folder/link"] == ("->", b"../run.py")
    assert (files[SOURCE], "opt/canon" in files) == (("/", b""), False)
    head = git(project, "rev-parse", "HEAD")
    assert (config["created"], config["config"]["WorkingDir"]) == (DATE, f"/{SOURCE}")
    assert config["config"]["Labels"]["org.opencontainers.image.revision"] == head
    assert config["config"]["Labels"]["canon.base"] == "replaced"
    assert config["config"]["Cmd"] == ["python3"]
    assert config["rootfs"]["diff_ids"][1] == f"sha256:{hashlib.sha256(layers[1]).hexdigest()}"


def test_the_same_commit_gives_the_same_digest_everywhere(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = make(project)
    assert digest == GOLDEN
    other = tmp_path / "änother folder"
    git(tmp_path, "clone", "-q", "--no-local", str(project), str(other))
    for name, value in {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "7"}.items():
        monkeypatch.setenv(name, value)
    former = os.umask(0o077)
    try:
        assert make(other, to="../other") == digest
    finally:
        os.umask(former)
    # Into a layout that holds it already, and into one that holds another image.
    assert make(project) == digest
    make_image(tmp_path / "shared", {"x": b"1"})
    assert make(project, to="../shared") == digest
    assert len(json.loads((tmp_path / "shared/index.json").read_text())["manifests"]) == 2


def test_commits_that_change_no_code_leave_the_digest_and_code_changes_it(project: Path) -> None:
    digest = make(project)
    (project / "argo").mkdir()
    (project / "argo/release.yaml").write_text("x: 1\n")
    (project / "dvc.lock").write_text("schema: '2.0'\n")
    commit(project, "--date", "2026-05-05T00:00:00Z")
    assert make(project) == digest
    (project / "run.py").write_text("changed\n")
    commit(project)
    assert make(project) != digest


def test_a_dry_run_and_json_say_what_would_be(project: Path, tmp_path: Path) -> None:
    with unchanged(tmp_path):
        said = json.loads(
            canon(
                project, "image", "base", "p", "--from", "oci:../below", "--to", "oci:../made", "--dry-run", "--json"
            ).stdout
        )
    assert said["digest"] == GOLDEN
    assert [layer["origin"] for layer in said["layers"]] == ["the image below", "code"]


def wheel(folder: Path) -> str:
    """Write a wheel with a module and a command; return its line in a lock."""
    files = {
        "demo/__init__.py": "def main(): print('hello')\n",
        "demo-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
        "demo-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "demo-1.0.dist-info/entry_points.txt": "[console_scripts]\ndemo = demo:main\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}\n"
        for path, text in files.items()
    )
    folder.mkdir()
    file = folder / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in {**files, "demo-1.0.dist-info/RECORD": f"{record}demo-1.0.dist-info/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return f"demo==1.0 --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


@pytest.fixture
def packaged(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with an environment of one package."""
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    (project / "requirements.lock").write_text(wheel(tmp_path / "wheels"))
    file = project / "pipelines/p.yaml"
    file.write_text(
        file.read_text() + "environment: {image: x@sha256:" + "0" * 64 + ", requirements: requirements.lock}\n"
    )
    commit(project)
    shutil.rmtree(tmp_path / "below")
    make_image(tmp_path / "below", compress=True)
    return project


def test_the_environment_is_installed_for_the_python_of_the_image_without_running_it(
    packaged: Path, tmp_path: Path
) -> None:
    digest = make(packaged)
    _, config, layers = read_image(tmp_path / "made", digest)
    files = files_of(layers[1])
    assert files["opt/canon/env/demo/__init__.py"][0] == "644"
    kind, command = files["opt/canon/env/bin/demo"]
    assert (kind, command.splitlines()[0]) == ("755", b"#!/usr/local/bin/python3.11")
    record = files["opt/canon/env/demo-1.0.dist-info/RECORD"][1].decode()
    hashed = base64.urlsafe_b64encode(hashlib.sha256(command).digest()).decode().rstrip("=")
    assert f"sha256={hashed},{len(command)}" in record
    assert not [path for path in files if path.endswith((".pyc", ".lock"))]
    env = dict(line.split("=", 1) for line in config["config"]["Env"])
    assert env == {"PATH": "/opt/canon/env/bin:/usr/local/bin:/usr/bin", "PYTHONPATH": "/opt/canon/env"}
    shutil.rmtree(tmp_path / "uv")
    assert make(packaged, to="../again") == digest


def test_what_uv_says_is_passed_on_without_the_indexs_password(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_NO_INDEX")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://me:bait-2retnuh@127.0.0.1:1/index")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.delenv("UV_FIND_LINKS")
    said = canon(packaged, "image", "base", "p", "--from", "oci:../below", "--to", "oci:../made", code=1).stderr
    assert_said(said, "uv could not install the environment", "127.0.0.1")
    assert "bait-2retnuh" not in said
    assert not (tmp_path / "made").exists()


def test_a_base_without_python_cannot_take_packages(packaged: Path, tmp_path: Path) -> None:
    make_image(tmp_path / "bare", {"bin/busybox": b"x"})
    said = canon(packaged, "image", "base", "p", "--from", "oci:../bare", "--to", "oci:../made", code=1).stderr
    assert_said(said, "has no python3 on its PATH for the packages of requirements.lock")
    assert not (tmp_path / "made").exists()


def submodule(root: Path) -> None:
    git(root, "update-index", "--add", "--cacheinfo", f"160000,{git(root, 'rev-parse', 'HEAD')},vendored")


def write(path: str, content: bytes):  # type: ignore[no-untyped-def]  # noqa: ANN201
    return lambda root: (root / path).write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (write("big.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"), "pointers of Git LFS in place of files: big.bin"),
        (write(".gitattributes", b"*.py eol=crlf\n"), "run.py (eol=crlf)"),
        (write(".gitattributes", b"*.py ident\n"), "run.py (ident=set)"),
        (lambda root: (root / "out").symlink_to("/etc/passwd"), "opt/canon/src/out is a link to '/etc/passwd', which is not in the image"),
        (lambda root: (root / "out").symlink_to("../../x"), "is a link to '../../x'"),
        (write(".wh.x", b""), "has a name that deletes files in an image"),
        (lambda root: Path(os.fsdecode(os.fsencode(root) + b"/\xff")).write_text(""), "is not UTF-8"),
        (lambda root: [(root / name).write_text("") for name in ("RUN.py",)], "names that differ in case alone"),
    ],
    ids=["lfs", "eol", "ident", "absolute link", "link that leaves", "whiteout", "not UTF-8", "case"],
)  # fmt: skip
def test_what_an_image_cannot_hold_is_refused_by_name(project: Path, tmp_path: Path, spoil, says: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    spoil(project)
    commit(project)
    assert_said(
        canon(project, "image", "base", "p", "--from", "oci:../below", "--to", "oci:../made", code=1).stderr, says
    )
    assert not (tmp_path / "made").exists()


def test_submodules_and_what_is_not_committed_are_refused(project: Path, tmp_path: Path) -> None:
    command = ("image", "base", "p", "--from", "oci:../below", "--to", "oci:../made")
    (project / "new.py").write_text("")
    assert_said(canon(project, *command, code=1).stderr, "the image would not hold what is not committed: new.py")
    (project / "new.py").unlink()
    submodule(project)
    git(project, "commit", "-qm", "vendored")
    assert_said(canon(project, *command, code=1).stderr, "vendored")
    assert not (tmp_path / "made").exists()


def test_a_broken_base_leaves_nothing(project: Path, tmp_path: Path) -> None:
    layout, command = tmp_path / "below", ("image", "base", "p", "--from", "oci:../below", "--to", "oci:../made")
    manifest, _, _ = read_image(layout, make_image(layout))
    blob = layout / "blobs" / manifest["layers"][0]["digest"].replace(":", "/")
    content = blob.read_bytes()
    blob.write_bytes(content[:-1] + b"?")
    assert_said(canon(project, *command, code=1).stderr, "it is damaged, or somebody exchanged it")
    blob.unlink()
    assert_said(canon(project, *command, code=1).stderr, "the layout is not complete")
    blob.write_bytes(content)
    for text, says in {
        "{": "is not JSON",
        "[]": "is no JSON object",
        '{"schemaVersion": 2, "manifests": [{"digest": "x"}]}': "is broken",
    }.items():
        (layout / "index.json").write_text(text)
        assert_said(canon(project, *command, code=1).stderr, says)
    (layout / "oci-layout").unlink()
    assert_said(canon(project, *command, code=1).stderr, "is no OCI layout")
    for wrong, says in {
        "oci:": "names no folder",
        "oci:x@sha256:1": "has no digest of the form",
        "python:3.11": "python:3.11 has no digest, and what a tag points to changes",
    }.items():
        assert_said(canon(project, *command[:4], wrong, *command[5:], code=2).stderr, says)
    assert not (tmp_path / "made").exists()


def test_a_shallow_clone_does_not_know_when_the_code_changed(project: Path, tmp_path: Path) -> None:
    digest = make(project)
    (project / "dvc.lock").write_text("schema: '2.0'\n")
    commit(project)
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{project}", str(shallow))
    said = canon(shallow, "image", "base", "p", "--from", "oci:../below", "--to", "oci:../other", code=1).stderr
    assert_said(said, "is a shallow clone that ends at", "`git fetch --unshallow`")
    git(shallow, "fetch", "-q", "--unshallow")
    assert make(shallow, to="../other") == digest


def test_a_full_disk_leaves_no_layout(project: Path, tmp_path: Path) -> None:
    (project / "large.bin").write_bytes(os.urandom(300_000))
    commit(project)
    done = canon(
        project, "image", "base", "p", "--from", "oci:../below", "--to", "oci:../made", code=1, file_size=200_000
    )
    assert_said(done.stderr, "cannot write to the layout")
    assert not (tmp_path / "made").exists()


def test_layers_that_cannot_be_read_are_copied(project: Path, tmp_path: Path) -> None:
    digest = make_image(tmp_path / "below")
    layout = tmp_path / "below"
    manifest, _, _ = read_image(layout, digest)
    manifest["layers"][0]["mediaType"] += "+zstd"
    descriptor = add_blob(layout, json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    write_index(layout, [descriptor])
    made, _, _ = read_image(tmp_path / "made", make(project))
    assert made["layers"][0] == manifest["layers"][0]
    (project / "requirements.lock").write_text("")
    file = project / "pipelines/p.yaml"
    file.write_text(
        file.read_text() + "environment: {image: x@sha256:" + "0" * 64 + ", requirements: requirements.lock}\n"
    )
    commit(project)
    said = canon(project, "image", "base", "p", "--from", "oci:../below", "--to", "oci:../other", code=1).stderr
    assert_said(said, "tar+zstd cannot be read here")


def test_a_folder_that_is_no_repository_says_so(project: Path) -> None:
    shutil.rmtree(project / ".git")
    said = canon(project, "image", "base", "p", "--from", "oci:../below", "--to", "oci:../made", code=1).stderr
    assert_said(said, "is not in a Git repository; run `git init` there")


def test_bytecode_is_refused_and_not_left_out(packaged: Path, tmp_path: Path) -> None:
    file = packaged / "pipelines/p.yaml"
    file.write_text(
        file.read_text().replace("requirements: requirements.lock}", "requirements: requirements.lock, bytecode: true}")
    )
    commit(packaged)
    said = canon(packaged, "image", "base", "p", "--from", "oci:../below", "--to", "oci:../made", code=1).stderr
    assert_said(said, "asks for `environment.bytecode`, which no image gets yet; take it out")
    assert not (tmp_path / "made").exists()
