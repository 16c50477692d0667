"""Datasets under profiles: which pins go where, folders, data that stays where it is, and what counts in the data hash."""

from __future__ import annotations

import shutil
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from canon.model.pins import data_hash
from canon.model.project import load_project
from canon.model.result import data_inputs
from canon.output.yaml import load_yaml
from canon.results.collect import collect_pins
from canon.results.locks import declared_stages
from tests.conftest import S3, Run, git, once
from tests.e2e.projects import snapshot, tiny_project, write

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """The small project, whose profile `cluster` is not pinned yet."""
    made = once(tmp_path_factory, "tiny-local", lambda folder: tiny_project(folder, pinned=("local",)))
    return shutil.copytree(made, tmp_path / "tiny", symlinks=True)


def pins(folder: Path, pipeline: str = "tiny") -> Any:
    return load_yaml((folder / "pipelines" / f"{pipeline}.pins.yaml").read_text(), "pins")


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_profile_that_is_not_pinned_yet_is_an_error_that_changes_nothing(tiny: Path, run: Run) -> None:
    before = snapshot(tiny)
    said = run(tiny, "canon", "profile", "cluster", code=1).stderr
    assert "has no pin of raw for the profile `cluster`; run `canon data pin --profile cluster`" in said
    assert run(tiny, "canon", "profile", "cluster", "--into", "../ws", code=1).stderr == said.replace(str(tiny), "")
    assert snapshot(tiny) == before
    assert "data.raw.from.cluster: is not pinned" in run(tiny, "canon", "check", code=1).stderr


def test_a_dataset_without_a_source_for_the_profile_is_named(tiny: Path, run: Run) -> None:
    replace(tiny / "pipelines" / "tiny.yaml", ", cluster: samples/large.txt", "")
    before = snapshot(tiny)
    remedy = "data.raw has no source for the profile `cluster`; add `cluster: …` to"
    assert remedy in run(tiny, "canon", "profile", "cluster", code=1).stderr
    assert remedy in run(tiny, "canon", "data", "pin", "raw", "--profile", "cluster", code=1).stderr
    assert run(tiny, "canon", "data", "pin", "--profile", "cluster").stdout == ""
    assert snapshot(tiny) == before


def test_pins_go_to_their_profile_whichever_the_workspace_has(tiny: Path, run: Run) -> None:
    original = snapshot(tiny)
    run(tiny, "canon", "data", "pin", "--profile", "cluster")
    assert pins(tiny)["profiles"]["cluster"]["raw"]["size"] == 19
    run(tiny, "canon", "profile", "cluster")
    (tiny / "samples" / "small.txt").write_text("one two three\n")
    (tiny / "samples" / "large.txt").write_text("one two three four five\n")
    run(tiny, "canon", "data", "pin", "--profile", "local")
    assert (pins(tiny)["raw"]["size"], pins(tiny)["profiles"]["local"]["raw"]["size"]) == (19, 14)
    run(tiny, "canon", "data", "pin")
    assert (pins(tiny)["raw"]["size"], pins(tiny)["profiles"]["local"]["raw"]["size"]) == (24, 14)
    assert pins(tiny)["profile"] == "cluster"
    run(tiny, "canon", "profile", "local")
    assert (pins(tiny)["raw"]["size"], pins(tiny)["profiles"]["cluster"]["raw"]["size"]) == (14, 24)
    git(tiny, "checkout", "-q", "--", ".")
    assert snapshot(tiny) == original


def test_a_source_that_changed_after_it_was_pinned_is_an_error(tiny: Path, run: Run) -> None:
    (tiny / "samples" / "small.txt").write_text("two one\n")
    said = run(tiny, "canon", "data", "get", code=1).stderr
    assert "changed since it was pinned" in said
    assert "canon data pin" in said
    assert not (tiny / "data" / "raw").exists()


def test_folders_are_datasets_locally_and_on_s3(tiny: Path, run: Run, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    write(tiny, {"samples/folder/a.txt": "one\n", "samples/folder/b/c.txt": "two\n"})
    s3.put("all/a.txt", b"one\n")
    s3.put("all/b/c.txt", b"two three\n")
    replace(tiny / "pipelines" / "tiny.yaml", "samples/small.txt", "samples/folder")
    replace(tiny / "pipelines" / "tiny.yaml", "samples/large.txt", s3.uri("all/"))
    run(tiny, "canon", "data", "pin")
    run(tiny, "canon", "data", "pin", "--profile", "cluster")
    run(tiny, "canon", "render")
    git(tiny, "add", ".")
    git(tiny, "commit", "-qm", "folders")
    assert (pins(tiny)["raw"]["nfiles"], pins(tiny)["raw"]["size"]) == (2, 8)
    run(tiny, "dvc", "repro", "count")
    assert (tiny / "out" / "counted.txt").read_text() == "2\n"
    workspace = tiny.parent / "ws"
    run(tiny, "canon", "profile", "cluster", "--into", str(workspace))
    run(workspace, "dvc", "repro", "count")
    assert (workspace / "out" / "counted.txt").read_text() == "9\n"
    lock = load_yaml((workspace / "dvc.lock").read_text(), "dvc.lock")
    (out,) = lock["stages"]["data-raw"]["outs"]
    assert {key: out[key] for key in ("md5", "size", "nfiles")} == {key: pins(workspace)["raw"][key] for key in ("md5", "size", "nfiles")}  # fmt: skip
    assert "up to date" in run(workspace, "dvc", "status", "count").stdout


def test_data_that_stays_where_it_is_is_known_by_its_pin(tiny: Path, run: Run) -> None:
    replace(tiny / "pipelines" / "tiny.yaml", "data/raw, from", "data/raw, materialize: false, from")
    replace(tiny / "count.py", 'pathlib.Path("data/raw")', 'pathlib.Path(yaml.safe_load(open("pipelines/tiny.pins.yaml"))["sources"]["raw"]["uri"])')  # fmt: skip
    run(tiny, "canon", "data", "pin", "--profile", "cluster")
    run(tiny, "canon", "render")
    stages = load_yaml((tiny / "dvc.yaml").read_text(), "dvc.yaml")["stages"]
    assert "data-raw" not in stages
    assert stages["count"]["deps"] == ["count.py"]
    assert {"pipelines/tiny.pins.yaml": ["raw"]} in stages["count"]["params"]
    run(tiny, "dvc", "repro", "count")
    assert (tiny / "out" / "counted.txt").read_text() == "2\n"
    run(tiny, "canon", "profile", "cluster")
    assert "raw" in run(tiny, "dvc", "status", "count").stdout
    run(tiny, "dvc", "repro", "count")
    assert (tiny / "out" / "counted.txt").read_text() == "12\n"
    run(tiny, "canon", "profile", "local")
    assert "is cached - skipping run" in run(tiny, "dvc", "repro", "count").stdout
    assert not (tiny / "data" / "raw").exists()
    assert run(tiny, "canon", "data", "get").stdout == ""


def test_inputs_that_dvc_tracks_and_other_pipelines_datasets_count_in_the_data_hash(tiny: Path, run: Run) -> None:
    write(tiny, {"labels.txt": "a b\n", "count2.py": "import shutil\nshutil.copy('data/raw', 'second.txt')\n"})
    run(tiny, "dvc", "add", "-q", "labels.txt")
    replace(tiny / "pipelines" / "tiny.yaml", "deps: [count.py, data/raw]", "deps: [count.py, data/raw, labels.txt]")
    (tiny / "pipelines" / "other.yaml").write_text(
        dedent("""\
        name: other
        dvc_file: other/dvc.yaml
        stages:
          copy:
            cmd: python count2.py
            deps: [count2.py, data/raw]
            outs: [second.txt]
        """)
    )
    run(tiny, "canon", "data", "pin", "--profile", "cluster")
    run(tiny, "canon", "render")
    git(tiny, "add", ".")
    git(tiny, "commit", "-qm", "more inputs")
    labels = load_yaml((tiny / "labels.txt.dvc").read_text(), "labels")["outs"][0]["md5"]
    for profile in ("local", "cluster"):
        run(tiny, "canon", "profile", profile)
        raw = f"sha256:{pins(tiny)['raw']['sha256']}"
        assert hash_of(tiny, "tiny") == data_hash([("raw", "file", raw), ("labels.txt", "dvc", f"md5:{labels}")])
        assert hash_of(tiny, "other") == data_hash([("tiny/raw", "file", raw)])
    # the shared dataset changed for both by one switch
    assert not (tiny / "pipelines" / "other.pins.yaml").exists()
    run(tiny, "dvc", "repro", "other/dvc.yaml:copy")
    assert (tiny / "second.txt").read_bytes() == (tiny / "samples" / "large.txt").read_bytes()


def hash_of(folder: Path, name: str) -> str:
    project = load_project(folder)
    pipeline = project.pipeline(name)
    return data_hash(data_inputs(collect_pins(project, pipeline, declared_stages(project, pipeline))))
