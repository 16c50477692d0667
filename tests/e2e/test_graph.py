"""`canon graph`: from a declaration to the picture of it, by the installed command."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from canon.model.release import format_release, release_path
from tests.cluster_objects import NEW, release
from tests.conftest import git
from tests.e2e.faults import canon, commit, unchanged, write

pytestmark = pytest.mark.usefixtures("quick")
SETTINGS = '[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n'
TOY = """\
name: toy
environment: {image: 'python@sha256:000', requirements: requirements.lock}
data:
  raw: {path: data/raw.csv, from: {local: samples/raw.csv}}
  big: {path: big, from: {local: 's3://user:secret@bucket/big'}, materialize: false}
params: {local: params/local.yaml}
stages:
  prepare: {cmd: x, deps: [code/a.py, code/b.py, data/raw.csv, labels/x.csv], params: [{params/toy.yaml: [seed]}], outs: [prepared]}
  fit:
    foreach: [1, 2, 3, 4, 5, 6, 7]
    do: {cmd: 'x ${item}', deps: [prepared, big/part.csv], params: [{params/toy.yaml: [lr]}], outs: ['fits/${item}']}
  choose: {cmd: x, deps: [fits, code/c.py], outs: [model], metrics: [metrics.json], frozen: true}
artifacts: {toy: {path: model, type: model}}
serving: {artifact: toy, cmd: serve}
deploy: {staging: {namespace: toy-staging}, production: {namespace: toy, from: staging, gates: [rmse <= 0.5]}}
"""
OTHER = (
    "name: other\ndvc_file: other/dvc.yaml\ntrack: false\nstages:\n  use: {cmd: x, deps: [model], outs: [other/used]}\n"
)


@pytest.fixture
def project(repository: Path) -> Path:
    write(repository, "pyproject.toml", SETTINGS)
    write(repository, "pipelines/toy.yaml", TOY.replace("user:secret@", ""))
    write(repository, "labels.dvc", "outs: [{path: labels}]\n")
    (repository / ".dvc").mkdir()
    return repository


def drawn(root: Path, *arguments: str) -> tuple[dict[str, dict[str, Any]], set[tuple[str, str]]]:
    """Nodes by their label, and edges as labels."""
    found = json.loads(canon(root, "graph", *arguments, "--json").stdout)
    names = {node["id"]: node["label"] for node in found["nodes"]}
    return {node["label"]: node for node in found["nodes"]}, {
        (names[edge["from"]], names[edge["to"]]) for edge in found["edges"]
    }


def test_from_what_is_declared_to_where_it_is_released(project: Path) -> None:
    nodes, edges = drawn(project, "toy")
    kinds = {label: (node["kind"], node["what"]) for label, node in nodes.items()}
    assert kinds == {
        "raw": ("declared", "dataset"), "big": ("declared", "dataset"), "labels": ("declared", "dataset"), "code/": ("declared", "files"),
        "params/toy.yaml": ("declared", "params"), "params/local.yaml": ("declared", "overlay"), "environment": ("declared", "environment"),
        "source tree": ("declared", "source tree"), "data-raw": ("automated", "stage"), "prepare": ("automated", "stage"),
        "fit \u00d7 7": ("automated", "stage"), "choose": ("automated", "stage"), "track": ("automated", "track"), "base": ("automated", "base"),
        "bake": ("automated", "bake"), "release": ("automated", "release"), "promote": ("automated", "promote"), "data/raw.csv": ("artifact", "out"),
        "prepared": ("artifact", "out"), "7 outs": ("artifact", "out"), "model": ("artifact", "model"), "metrics.json": ("artifact", "metrics"),
        "results/toy.json": ("artifact", "result"), "row in MLflow": ("artifact", "row"), "base image": ("artifact", "base image"),
        "serving image": ("artifact", "serving image"), "staging": ("declared", "deploy"), "production": ("declared", "deploy"),
    }  # fmt: skip
    fit = "fit \u00d7 7"
    assert edges == {
        ("raw", "data-raw"), ("data-raw", "data/raw.csv"), ("data/raw.csv", "prepare"), ("labels", "prepare"), ("code/", "prepare"),
        ("params/toy.yaml", "prepare"), ("params/local.yaml", "params/toy.yaml"), ("prepare", "prepared"), ("prepared", fit), ("big", fit),
        ("params/toy.yaml", fit), (fit, "7 outs"), ("7 outs", "choose"), ("code/", "choose"), ("choose", "model"), ("choose", "metrics.json"),
        *(("environment", each) for each in ("prepare", fit, "choose", "base")), ("model", "track"), ("metrics.json", "track"),
        ("track", "results/toy.json"), ("track", "row in MLflow"), ("source tree", "base"), ("base", "base image"), ("base image", "bake"),
        ("model", "bake"), ("bake", "serving image"), ("serving image", "release"), ("release", "staging"), ("staging", "promote"),
        ("promote", "production"),
    }  # fmt: skip
    assert nodes["code/"]["members"] == ["code/a.py", "code/b.py", "code/c.py"]
    assert nodes[fit]["members"] == [f"fit@{number}" for number in range(1, 8)]
    assert nodes["7 outs"]["details"] == ["fits/\u2026"]
    assert nodes["raw"]["details"] == ["local: samples/raw.csv", "not pinned"]
    assert nodes["params/toy.yaml"]["details"] == ["lr, seed"]
    assert nodes["promote"]["details"] == ["rmse <= 0.5"]
    assert nodes["choose"]["details"] == ["frozen"]


def test_all_members_and_only_some_stages(project: Path) -> None:
    nodes, edges = drawn(project, "toy", "--all")
    assert ("fit@3", "fits/3") in edges
    assert ("fits/3", "choose") in edges
    assert ("prepared", "fit@7") in edges
    nodes, edges = drawn(project, "--stages", " choose,prepare")
    assert {label for label, node in nodes.items() if node["what"] == "stage"} == {"choose", "prepare"}
    assert {"data/raw.csv", "model", "code/"} <= set(nodes)
    assert ("7 outs", "choose") in edges
    assert "serving image" not in nodes
    assert "there is no stage `nope`" in canon(project, "graph", "--stages", "nope", code=2).stderr
    assert "names no stage" in canon(project, "graph", "--stages", " , ", code=2).stderr


def test_several_pipelines_are_one_picture_and_one_has_what_it_reads_of_others(project: Path) -> None:
    write(project, "pipelines/other.yaml", OTHER)
    nodes, edges = drawn(project)
    assert ("model", "use") in edges
    assert ("use", "other/used") in edges
    assert nodes["use"]["details"] == ["pipeline other"]
    assert {"track", "log"} <= set(nodes)
    nodes, edges = drawn(project, "other")
    assert {("choose", "model"), ("model", "use"), ("other/used", "log"), ("log", "row in MLflow")} <= edges
    assert not {"track", "staging", "serving image"} & set(nodes)


def test_what_is_released_is_what_the_clone_knows(project: Path) -> None:
    file = project / release_path("toy", "staging")
    file.parent.mkdir(parents=True)
    file.write_text(format_release(release()))
    nodes, _ = drawn(project, "toy")
    assert nodes["staging"]["details"] == ["namespace toy-staging", "#7 v0.0.1", f"sha256:{NEW[:12]}"]
    assert nodes["production"]["details"] == ["namespace toy", "never released"]
    settings = SETTINGS.replace('"local"\n', '"local"\ngit = {url = "https://git.example.com/toy.git"}\n', 1)
    write(project, "pyproject.toml", settings)
    commit(project)
    file.write_text("number: none\n")  # what is not committed is no release
    assert drawn(project, "toy")[0]["staging"]["details"][1] == "#7 v0.0.1"
    commit(project)
    assert drawn(project, "toy")[0]["staging"]["details"][1] == "argo/toy/releases/staging.yaml cannot be read"
    write(project, "pyproject.toml", settings.replace('.git"}', '.git", releases = {branch = "deploy"}}'))
    assert "does not know" in drawn(project, "toy")[0]["staging"]["details"][1]
    git(project, "branch", "deploy", "HEAD~1")
    assert drawn(project, "toy")[0]["staging"]["details"][1] == "#7 v0.0.1"


def test_the_picture_is_the_same_in_whatever_order_stages_are_declared(project: Path) -> None:
    before = canon(project, "graph", "toy").stdout
    head, _, rest = TOY.replace("user:secret@", "").partition("stages:\n")
    prepare, fit, tail = rest.partition("  fit:\n")
    loop, choose, end = (fit + tail).partition("  choose:")
    last, artifacts, after = (choose + end).partition("artifacts:")
    write(project, "pipelines/toy.yaml", f"{head}stages:\n{last}{loop}{prepare}{artifacts}{after}")
    assert canon(project, "graph", "toy").stdout == before


def test_formats_and_files(project: Path) -> None:
    commit(project)
    printed = canon(project, "graph", "toy")
    assert printed.stdout.startswith("flowchart LR\n")
    assert printed.stderr == ""
    svg = canon(project, "graph", "toy", "--format", "svg").stdout
    assert ET.fromstring(svg).tag.endswith("svg")  # noqa: S314  of our own
    (project / "docs").mkdir()
    done = canon(project, "graph", "toy", "-o", "docs/toy.svg")
    assert (done.stdout, done.stderr) == ("", "canon: docs/toy.svg written\n")
    assert (project / "docs/toy.svg").read_text() == svg
    assert "is up to date" in canon(project, "graph", "toy", "-o", "docs/toy.svg").stderr
    canon(project, "graph", "toy", "-o", "docs/toy.mmd")
    assert (project / "docs/toy.mmd").read_text() == printed.stdout
    with unchanged(project):
        assert "goes with neither" in canon(project, "graph", "--json", "-o", "x", code=2).stderr
        assert "there is no pipeline `no`" in canon(project, "graph", "no", code=1).stderr


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (".", "--output . is a folder; name a file in it, for example `graph.svg`"),
        ("/dev/full", "--output /dev/full is no file; leave --output out, and say `canon graph > /dev/full`"),
        ("pipe", "--output pipe is no file"),
        ("nowhere/x.svg", "--output nowhere/x.svg: there is no folder nowhere; make it, or name another"),
        ("README.md/x.svg", "there is no folder README.md"),
    ],
)
def test_where_no_file_can_be_is_said(project: Path, place: str, words: str) -> None:
    os.mkfifo(project / "pipe")
    with unchanged(project):
        assert words in canon(project, "graph", "-o", place, code=2, seconds=30).stderr


def test_what_cannot_be_written_is_said(project: Path) -> None:
    assert "cannot write /proc/x.svg: No such file or directory" in canon(project, "graph", "-o", "/proc/x.svg", code=1).stderr  # fmt: skip
    full = subprocess.run(
        ("sh", "-c", "canon graph > /dev/full"), cwd=project, capture_output=True, text=True, check=False
    )
    assert (full.returncode, full.stderr) == (1, "canon: the output: No space left on device; make room\n")


def test_hostile_paths_are_text(project: Path) -> None:
    paths = [
        'a"]; click x',
        "<script>alert(1)</script>",
        "%%{init}%%",
        "\u202eexe.csv",
        "it's & ]]>",
        "end",
        "__init__",
    ]
    listed = json.dumps(paths, ensure_ascii=False)
    stages = f"  train: {{cmd: x, deps: {listed}, outs: {json.dumps([f'o{path}' for path in paths])}}}\n"
    write(project, "pipelines/toy.yaml", f"name: toy\nstages:\n{stages}")
    text = canon(project, "graph", "--all").stdout
    labels = text.partition("classDef")[0]
    assert not {'"];', "<script", "%%", "\u202e", "&"} & {
        each for each in ('"];', "<script", "%%", "\u202e", "&") if each in labels
    }
    svg = canon(project, "graph", "--format", "svg").stdout
    assert "<script" not in svg
    assert ET.fromstring(svg).tag.endswith("svg")  # noqa: S314
    nodes, edges = drawn(project)
    assert ("train", "7 outs") in edges
    assert set(nodes["./"]["members"]) == {path for path in paths if "/" not in path}


def test_no_secret_of_a_url_is_drawn(project: Path) -> None:
    urls = ["https://user:secret@host/x?token=secret", "s3://user:secret@bucket/y", "s3://user:secret@[z"]
    outs = json.dumps([f"{url}2" for url in urls[1:]])
    stages = f"  a: {{cmd: x, deps: {json.dumps(urls)}, outs: {outs}}}\n  b: {{cmd: x, deps: [c], outs: ['ssh://u:secret@h/z']}}\n"
    write(project, "pipelines/toy.yaml", f"name: toy\ntrack: false\nstages:\n{stages}")
    for way in (["--json"], ["--format", "svg"], ["--format", "mermaid"]):
        shown = canon(project, "graph", *way).stdout
        assert "bucket" in shown
        assert "secret" not in shown


def test_what_is_no_graph_is_said_as_render_says_it(project: Path) -> None:
    write(
        project,
        "pipelines/toy.yaml",
        "name: toy\nstages:\n  a: {cmd: x, deps: [p], outs: [q]}\n  b: {cmd: x, deps: [q], outs: [p]}\n",
    )
    for command in ("render", "graph"):
        assert "pipelines/toy.yaml:3: stages.a: the stages form a cycle: a -> b -> a" in canon(project, command, code=1).stderr  # fmt: skip


def test_a_group_that_feeds_itself_is_drawn(project: Path) -> None:
    items = "  s: {foreach: [1, 2, 3, 4, 5, 6], do: {cmd: 'x ${item}', outs: ['o/${item}']}}\n"
    chain = "".join(f"  c{n}: {{cmd: x, deps: [o/{n}], outs: [t/{n}]}}\n" for n in range(1, 7))
    write(project, "pipelines/toy.yaml", f"name: toy\nstages:\n{items}{chain}  z: {{cmd: x, deps: [t], outs: [z]}}\n")
    svg = canon(project, "graph", "--format", "svg").stdout
    assert svg.count("marker-end") == len(drawn(project)[1])
