"""A pod brings what its stage reads and nothing else: counted at the S3 server, for files and for folders of many files."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from canon.planning.known import remote_path
from tests.conftest import S3, once
from tests.counted import Counted, counted
from tests.e2e.planned import FILES, add_remote, write_project
from tests.e2e.test_steps import Workflow

pytestmark = pytest.mark.usefixtures("quick")
LISTS = 3
"""How often the list of a folder's files may be read by one pod: for the key, for the whole of the data, and by DVC."""
PREPARE = """\
import pathlib
out = pathlib.Path("data/prepared/many")
out.mkdir(parents=True, exist_ok=True)
for number in range(COUNT):
    (out / f"{number % 100:02}").mkdir(exist_ok=True)
    (out / f"{number % 100:02}/{number}.txt").write_text(f"{number}\\n")
(out.parent / "one.txt").write_text("1" * 1000)
(out.parent / "unread.txt").write_text("2" * 100_000)
pathlib.Path("data/other.txt").write_text("3" * 10_000)
pathlib.Path("data/unread.txt").write_text("4" * 100_000)
"""
PIPELINE = """\
name: p
track: false
data:
  raw: {path: data/raw.csv, from: {local: samples/raw.csv, cluster: samples/full.csv}}
stages:
  prepare:
    cmd: python3 prepare.py
    deps: [prepare.py, data/raw.csv]
    outs: [data/prepared, data/other.txt, data/unread.txt]
  of-files: {cmd: echo 1 > a.txt, deps: [data/prepared/one.txt, data/other.txt], outs: [a.txt]}
  of-part: {cmd: find data/prepared -type f | wc -l > b.txt, deps: [data/prepared/many], outs: [b.txt]}
  of-whole: {cmd: find data/prepared -type f | wc -l > c.txt, deps: [data/prepared], outs: [c.txt]}
"""


@pytest.fixture(params=[50, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(2400)])])
def count(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@pytest.fixture
def seen(s3: S3) -> Iterator[Counted]:
    with counted(s3.endpoint) as found:
        yield found


@pytest.fixture
def workflow(count: int, s3: S3, seen: Counted, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A workflow whose remote is behind the counter, and whose folder was made."""
    files = FILES | {"prepare.py": PREPARE.replace("COUNT", str(count)), "pipelines/p.yaml": PIPELINE}
    made = once(tmp_path_factory, f"bytes-{count}", lambda folder: write_project(folder, files))
    root = shutil.copytree(made, tmp_path / "project", symlinks=True)
    add_remote(root, s3)
    found = Workflow(root, tmp_path / "pods", replace(s3, endpoint=seen.url), "one")
    found.patience = 60 + count / 5
    for task in ("data-raw", "prepare"):
        assert found.run(task) == 0
    return found


def expected(files: dict[str, str]) -> dict[str, list[int]]:
    """Key of an object → its bytes, once."""
    contents = [text.encode() for text in files.values()]
    return {
        f"dvc/{remote_path(hashlib.md5(each, usedforsecurity=False).hexdigest())}": [len(each)] for each in contents
    }


def test_a_pod_brings_exactly_what_its_stage_reads_and_sends_what_it_made(
    workflow: Workflow, seen: Counted, s3: S3, count: int
) -> None:
    """Each byte once; where nothing runs, none."""
    many = {f"many/{number % 100:02}/{number}.txt": f"{number}\n" for number in range(count)}
    beside = {"one.txt": "1" * 1000, "unread.txt": "2" * 100_000}
    wanted = {
        "of-files": {"one.txt": beside["one.txt"], "../other.txt": "3" * 10_000},
        "of-part": many,
        "of-whole": many | beside,
    }
    for task, files in wanted.items():
        seen.clear()
        pod = workflow.pod(task)
        workflow.pull(pod)
        read = seen.read("dvc/files/")
        lists = {key: read.pop(key) for key in list(read) if key.endswith(".dir")}
        assert read == expected(files)
        assert len(lists) == 1
        assert all(len(each) <= LISTS for each in lists.values())
        top = pod.places.code / "data/prepared"
        there = {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}
        assert there == {name for name in files if not name.startswith("../")}
        assert seen.written("dvc/files/") == seen.written("dvc/runs/") == {}

    seen.clear()
    assert workflow.run("of-part") == 0
    sent = expected({"b.txt": f"{count}\n"})
    assert seen.written("dvc/files/") == {key: sizes[0] for key, sizes in sent.items()}
    assert not sent.keys() & seen.read("dvc/files/").keys()
    seen.clear()
    again = Workflow(workflow.project, workflow.folder, replace(s3, endpoint=seen.url), "two")
    for task in ("data-raw", "prepare", "of-part"):
        assert again.run(task) == 0
    assert all("nothing to run" in each for each in again.said)
    assert {key for key in seen.read("dvc/files/") if not key.endswith(".dir")} == set()
