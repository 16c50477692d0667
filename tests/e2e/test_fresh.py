"""A fingerprint that says "nothing to do" says so only where DVC would: whatever is changed, there is a doubt."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from canon.dvc.looked_at import looked_at, walked_through
from canon.dvc.repository import open_repository
from canon.running import fresh
from tests.conftest import BIN, git, once

PIPELINE = """\
vars: [values.yaml]
stages:
  fit:
    foreach: [a, b]
    do:
      cmd: mkdir -p out/${item} && cat code/one.py > out/${item}/x && echo ${rate} > out/${item}.txt
      deps: [code]
      params: [rate]
      outs: ["out/${item}"]
      metrics: [{"out/${item}.txt": {cache: false}}]
  join: {cmd: cat out/a/x out/b/x > joined, deps: [out/a, out/b], outs: [joined]}
  other: {cmd: cp data.csv copied, deps: [data.csv], outs: [copied]}
  third: {cmd: cp kept/in/x third, deps: [kept/in], outs: [third]}
"""


def dvc(folder: Path, *arguments: str) -> None:
    subprocess.run([BIN / "dvc", *arguments], cwd=folder, check=True)


def make(folder: Path) -> None:
    git(folder, "init", "-q")
    dvc(folder, "init", "-q")
    (folder / "code/deep").mkdir(parents=True)
    (folder / "code/one.py").write_text("1\n")
    (folder / "code/deep/two.py").write_text("2\n")
    (folder / "data.csv").write_text("1,2\n")
    (folder / "values.yaml").write_text("unused: 1\n")
    (folder / "params.yaml").write_text("rate: 1\n")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "kept/in").mkdir(parents=True)
    (folder / "kept/in/x").write_text("1\n")
    (folder / ".gitignore").write_text("/kept\n")
    (folder / "sub/empty").mkdir(parents=True)
    (folder / "sub/dvc.yaml").write_text("stages: {}\n")
    dvc(folder, "add", "-q", "data.csv")
    dvc(folder, "repro", "-q")


@pytest.fixture
def work(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    template = once(tmp_path_factory, "fresh", make)
    work = tmp_path / "work"
    shutil.copytree(template, work, symlinks=True)
    return work


def remember(work: Path, begun: int) -> bool:
    with open_repository(work) as repo:
        paths = looked_at(repo, repo.index.stages)
        assert paths is not None
        return fresh.remember(work, "asked", {"said": 1}, begun, paths=paths, shallow=walked_through(repo))


def later(work: Path) -> int:
    """The beginning of a run some time after all that there is was written."""
    time.sleep(0.06)
    return fresh.begin(work)


def test_where_nothing_changed_what_was_said_is_said_again(work: Path) -> None:
    assert fresh.load_fresh(work, "asked") is None
    assert remember(work, later(work))
    assert fresh.load_fresh(work, "asked") == {"said": 1}
    assert fresh.load_fresh(work, "something else") is None
    fresh.forget(work)
    assert fresh.load_fresh(work, "asked") is None


def test_a_fingerprint_that_a_commit_brought_is_none(work: Path) -> None:
    (work / fresh.FILE).parent.mkdir(parents=True, exist_ok=True)
    (work / fresh.FILE).write_text(json.dumps({"request": "asked", "begun": 1, "says": {"said": 1}, "paths": {}}))
    assert fresh.load_fresh(work, "asked") is None
    fresh.begin(work)
    assert fresh.load_fresh(work, "asked") is None


def same_size_and_time(file: Path) -> None:
    """As of a tool that puts the time back: ctime tells."""
    before = file.stat()
    file.write_text(file.read_text().replace("1", "7"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size


def added_with_the_time_put_back(folder: Path) -> None:
    """As `tar` and `rsync` do for folders."""
    before = folder.stat()
    (folder / "new").write_text("")
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


def cached(work: Path) -> list[Path]:
    return sorted(file for file in (work / ".dvc/cache/files/md5").rglob("*") if file.is_file())


CHANGES: dict[str, Callable[[Path], object]] = {
    "a dep": lambda work: (work / "code/one.py").write_text("3\n"),
    "a dep, unseen": lambda work: same_size_and_time(work / "code/one.py"),
    "a file below a dep": lambda work: (work / "code/deep/three.py").write_text(""),
    "a file below a dep, unseen": lambda work: added_with_the_time_put_back(work / "code/deep"),
    "a file below a dep is gone": lambda work: (work / "code/deep/two.py").unlink(),
    "a param": lambda work: (work / "params.yaml").write_text("rate: 2\n"),
    "a file of vars": lambda work: (work / "values.yaml").write_text("unused: 2\n"),
    "an out": lambda work: (work / "out/a.txt").write_text("9\n"),
    "a cached out is gone": lambda work: (work / "joined").unlink(),
    "a file in an out": lambda work: (work / "out/a/y").write_text(""),
    "dvc.yaml": lambda work: (work / "dvc.yaml").write_text(PIPELINE.replace("cp data", "cp ./data")),
    "dvc.yaml without stages": lambda work: (work / "sub/dvc.yaml").write_text("stages: {a: {cmd: exit 1}}\n"),
    "a new dvc.yaml": lambda work: (work / "sub/empty/dvc.yaml").write_text("stages: {a: {cmd: exit 1}}\n"),
    "dvc.lock": lambda work: (work / "dvc.lock").unlink(),
    "a .dvc file": lambda work: (work / "data.csv.dvc").write_text((work / "data.csv.dvc").read_text().replace("size: 4", "size: 5")),
    "the settings": lambda work: (work / ".dvc/config.local").write_text("[cache]\n    dir = /tmp/none\n"),
    ".dvcignore": lambda work: (work / "code/.dvcignore").write_text("deep\n"),
    ".dvcignore above a dep that Git ignores": lambda work: (work / "kept/.dvcignore").write_text("x\n"),
    "a spooled row": lambda work: (work / ".dvc/tmp/canon/spool/1").mkdir(parents=True),
    "a session": lambda work: (work / ".dvc/tmp/canon/sessions/1").mkdir(parents=True),
    "the fingerprint": lambda work: (work / fresh.FILE).write_text("[1"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_any_change_is_a_doubt(work: Path, name: str) -> None:
    assert remember(work, later(work))
    CHANGES[name](work)
    assert fresh.load_fresh(work, "asked") is None


def test_each_object_of_the_cache_counts(work: Path) -> None:
    for file in cached(work):
        assert remember(work, later(work))
        content = file.read_bytes()
        file.unlink()
        assert fresh.load_fresh(work, "asked") is None, file
        file.write_bytes(content)
        file.chmod(0o444)


def test_what_changes_while_the_run_looks_is_not_remembered(work: Path) -> None:
    begun = later(work)
    (work / "code/one.py").write_text("4\n")
    assert not remember(work, begun)
    assert fresh.load_fresh(work, "asked") is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("deps: [data.csv]", "deps: [data.csv], always_changed: true"),
        ("{cmd: cp data.csv copied, deps: [data.csv], outs: [copied]}", "{cmd: cp data.csv copied}"),
        ("deps: [data.csv]", "deps: [data.csv, 's3://bucket/key']"),
        ("    do:\n", "    do:\n      vars: [values.yaml]\n"),
    ],
)
def test_what_a_look_cannot_tell_has_no_fingerprint(work: Path, before: str, after: str) -> None:
    (work / "dvc.yaml").write_text(PIPELINE.replace(before, after))
    with open_repository(work) as repo:
        assert looked_at(repo, repo.index.stages) is None


def test_what_is_asked_is_known_by_a_hash() -> None:
    token = {"DVC_STUDIO_TOKEN": "s3cret", "TERM": "xterm"}
    request = fresh.request_of(["p", "a"], token)
    assert request == fresh.request_of(["p", "a"], {**token, "TERM": "dumb"})
    assert len({request, fresh.request_of(["p"], token), fresh.request_of(["p", "a"], {})}) == 3


def test_links_to_folders_are_followed_no_further_than_by_dvc(work: Path) -> None:
    """Two that lead up would have no end."""
    (work / "code/up").symlink_to(".")
    (work / "linked").symlink_to("code")
    known = fresh.signatures_of(work, ["code", "linked"])
    below = {"", "/one.py", "/deep", "/deep/two.py", "/up"}
    assert set(known) == {f"{top}{each}" for top in ("code", "linked") for each in below}


def test_a_fingerprint_that_cannot_be_written_fails_nothing(work: Path) -> None:
    (work / fresh.FILE).mkdir(parents=True)
    assert not remember(work, later(work))


def test_an_inode_is_no_time(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Overlays and network file systems number files beyond 2**62."""
    signature = fresh._signature

    def large(path: str) -> fresh.Signature:
        found = signature(path)
        return found and [found[0], 2**63, 2**63, *found[3:]]

    monkeypatch.setattr(fresh, "_signature", large)
    assert remember(work, later(work))
    assert fresh.load_fresh(work, "asked")
