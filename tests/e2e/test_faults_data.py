"""Data that changed or went away, hostile pins, full disks, several commands at once, and commands that are interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from canon.model.errors import ProblemsError
from canon.model.project import load_project
from tests.conftest import S3, git
from tests.e2e.faults import (
    STALE,
    assert_said,
    canon,
    commit,
    declare,
    unchanged,
    write,
)
from tests.e2e.projects import at_once

MEBIBYTE = 1024 * 1024


def test_a_local_source_that_changed_or_went_away(toy: Path) -> None:
    write(toy, "data/source.csv", "a,b\n1,9\n")
    with unchanged(toy):
        assert_said(
            canon(toy, "data", "get", code=1).stderr,
            "canon: the source data/source.csv changed since it was pinned: sha256 ", "(8 bytes) now", "(8 bytes) pinned; run `canon data pin` if the new content is meant",
        )  # fmt: skip
        assert_said(
            canon(toy, "check", code=1).stderr,
            "pipelines/toy.yaml:3: data.raw.from.local: data/source.csv changed since it was pinned\n    remedy: run `canon data pin toy/raw`",
        )
    (toy / "data/source.csv").unlink()
    with unchanged(toy):
        for command in (("get",), ("pin",)):
            assert_said(
                canon(toy, "data", *command, code=1).stderr, "canon: there is no source data/source.csv (looked for"
            )
        done = canon(toy, "check", code=1)
    assert_said(
        done.stderr,
        "pipelines/toy.yaml:3: data.raw.from.local: there is no data/source.csv\n    remedy: bring it back",
        "canon: 1 error",
    )


def test_an_object_that_changed_at_the_same_size_or_went_away(toy: Path, s3: S3) -> None:
    endpoint = {"AWS_ENDPOINT_URL": s3.endpoint}
    s3.put("raw.csv", b"a,b\n1,2\n")
    declare(
        toy,
        "a: {cmd: x, deps: [raw.csv], outs: [o]}",
        head=f"data: {{raw: {{path: raw.csv, from: {{local: {s3.uri('raw.csv')}}}}}}}\n",
    )
    canon(toy, "data", "pin", env=endpoint)
    canon(toy, "data", "get", env=endpoint)
    kept = (toy / "raw.csv").read_bytes()
    (toy / "raw.csv").write_bytes(b"a,b\n0,0\n")
    s3.put("raw.csv", b"a,b\n1,9\n")
    with unchanged(toy):
        done = canon(toy, "data", "get", env=endpoint, code=1)
    assert_said(
        done.stderr,
        f"canon: the source {s3.uri('raw.csv')} changed since it was pinned: sha256 ",
        "run `canon data pin`",
    )
    assert kept == b"a,b\n1,2\n"
    s3.client.delete_object(Bucket=s3.bucket, Key="raw.csv")
    with unchanged(toy):
        for command in (("get",), ("pin",)):
            assert_said(canon(toy, "data", *command, env=endpoint, code=1).stderr, s3.uri("raw.csv"))


SECRET = "hunter2-secret"
PINS: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "a list": ("- a\n", ("pipelines/toy.pins.yaml:1: is no pins file\n    remedy: restore the file with `git checkout`",)),
    "types": (
        "raw: {sha256: 1, md5: x, size: -1, nfiles: a, foo: 1}\nsources: {raw: {uri: 3}}\nprofiles: {cluster: {raw: 3, sources: {raw: 3}}}\n1: 2\n",
        (":1: raw.sha256: should be a text, not 1", ":1: raw.md5: should have another form, not 'x'", ":1: raw.size: should be greater",
         ":1: raw.nfiles: should be a valid integer", ":1: raw.foo: unknown key `foo`", ":2: sources.raw.uri: should be a text",
         ":3: profiles.cluster.raw: should be a mapping", ":3: profiles.cluster.sources.raw: should be a mapping", ":4: 1: should be a text, not 1"),
    ),
    "a password": (f"sources: {{raw: {{uri: 'https://user:{SECRET}@example.invalid/x'}}}}\n", (":1: sources.raw.uri: the URI carries credentials\n    remedy: take them out",)),
    "a signature": (f"sources: {{raw: {{uri: 's3://b/x?X-Amz-Signature={SECRET}'}}}}\n", (":1: sources.raw.uri: the URI carries credentials",)),
    "no UTF-8": (b"\nraw: \xe9\n", ("pipelines/toy.pins.yaml:2: is not UTF-8 text (byte 6)",)),
    "itself": ("raw: &r {sha256: *r}\n", ("pipelines/toy.pins.yaml:1: its aliases expand",)),
}  # fmt: skip


@pytest.mark.parametrize("name", ["types", "a password"])
def test_a_command_refuses_a_hostile_pins_file(toy: Path, name: str) -> None:
    text, sentences = PINS[name]
    write(toy, "pipelines/toy.pins.yaml", text)
    with unchanged(toy):
        done = canon(toy, "data", "get", code=1)
    assert_said(done.stderr, *sentences)
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("name", PINS)
def test_a_hostile_pins_file_is_a_problem_with_its_line(toy: Path, name: str) -> None:
    text, sentences = PINS[name]
    write(toy, "pipelines/toy.pins.yaml", text)
    with pytest.raises(ProblemsError) as caught:
        load_project(toy)
    assert_said(str(caught.value), *sentences)
    assert SECRET not in str(caught.value)


def test_pins_cannot_name_files_that_the_declaration_does_not(toy: Path) -> None:
    pins = (toy / "pipelines/toy.pins.yaml").read_text()
    for uri, sentence in (
        ("../../../etc/hostname", "the source ../../../etc/hostname leaves the repository"),
        ("/etc/hostname", "/etc/hostname"),
    ):
        write(toy, "pipelines/toy.pins.yaml", pins.replace("data/source.csv", uri))
        with unchanged(toy):
            assert_said(canon(toy, "data", "get", code=1).stderr, sentence)
    with unchanged(toy):
        assert_said(
            canon(toy, "check", code=1).stderr,
            "pipelines/toy.yaml:3: data.raw.from.local: pipelines/toy.pins.yaml holds a pin of another source, /etc/hostname",
        )


def test_a_full_disk_leaves_everything_as_it_was(toy: Path) -> None:
    write(toy, "data/source.csv", os.urandom(64 * 1024))
    canon(toy, "data", "pin")
    canon(toy, "data", "get")
    write(toy, "raw.csv", "what was there")
    write(toy, "dvc.yaml", STALE)
    write(
        toy,
        "pipelines/toy.pins.yaml",
        (toy / "pipelines/toy.pins.yaml").read_text().replace("size: 65536", "size: 65536 "),
    )
    write(toy, "data/other.csv", "a,b\n1,4\n")
    for command, place in (
        (("render",), toy / "dvc.yaml"),
        (("data", "pin", "--profile", "cluster"), toy / "pipelines/toy.pins.yaml"),
        (("data", "get"), toy / "raw.csv"),
        (("profile", "cluster"), toy / ".dvc/tmp/canon/profile.json"),
    ):
        with unchanged(toy):
            done = canon(toy, *command, file_size=64, code=1)
        assert_said(done.stderr, f"canon: cannot write {place}: File too large")


def test_a_profile_that_fails_in_the_middle_is_taken_back(toy: Path) -> None:
    # The journal and the first file have room, the second one has not.
    write(toy, "params/toy.yaml", "train:\n  lr: 0.1\n" + "# a comment\n" * 400)
    commit(toy)
    size = len((toy / "params/toy.yaml").read_bytes())
    done = canon(toy, "profile", "cluster", file_size=size - 100, code=1)
    assert_said(done.stderr, "canon: cannot write", "File too large")
    canon(toy, "profile", "local")
    assert git(toy, "status", "--porcelain") == ""


ROUNDS = pytest.mark.parametrize("rounds", [5, pytest.param(50, marks=pytest.mark.soak)])


def leftovers(root: Path) -> list[str]:
    return [
        str(path)
        for path in root.rglob(".*")
        if ".git" not in path.parts and (path.suffix == ".tmp" or "canon-get" in path.name)
    ]


@ROUNDS
def test_two_renders_at_once_write_one_file_whole(toy: Path, rounds: int) -> None:
    rendered = (toy / "dvc.yaml").read_bytes()
    seen: set[bytes] = set()
    for _ in range(rounds):
        write(toy, "dvc.yaml", STALE.encode())
        done = threading.Event()
        reader = threading.Thread(target=watch, args=(toy / "dvc.yaml", done, seen))
        reader.start()
        ended = at_once(toy, ("canon", "render"), ("canon", "render"))
        done.set()
        reader.join()
        assert [(end.returncode, "Traceback" in end.stderr) for end in ended] == [(0, False)] * 2, ended
        assert (toy / "dvc.yaml").read_bytes() == rendered
        assert not leftovers(toy)
    assert seen <= {STALE.encode(), rendered}


def watch(path: Path, done: threading.Event, seen: set[bytes]) -> None:
    while not done.wait(0.001):
        seen.add(path.read_bytes())


@ROUNDS
def test_two_pins_at_once_are_both_kept(toy: Path, rounds: int) -> None:
    declare(
        toy,
        "a: {cmd: x}",
        head="data:\n"
        + "".join(f"  d{number}: {{path: d{number}.csv, from: {{local: data/d{number}.csv}}}}\n" for number in (1, 2)),
    )
    (toy / "pipelines/toy.pins.yaml").unlink()
    for number in (1, 2):
        write(toy, f"data/d{number}.csv", str(number))
    canon(toy, "data", "pin")
    both = (toy / "pipelines/toy.pins.yaml").read_bytes()
    for _ in range(rounds):
        (toy / "pipelines/toy.pins.yaml").unlink()
        ended = at_once(toy, ("canon", "data", "pin", "d1"), ("canon", "data", "pin", "d2"))
        assert [(end.returncode, "Traceback" in end.stderr) for end in ended] == [(0, False)] * 2, ended
        assert (toy / "pipelines/toy.pins.yaml").read_bytes() == both


@ROUNDS
def test_two_gets_at_once_bring_the_data_whole(toy: Path, rounds: int) -> None:
    for number in range(3):
        write(toy, f"data/folder/{number}.bin", os.urandom(MEBIBYTE))
    declare(toy, "a: {cmd: x}", head="data: {raw: {path: brought, from: {local: data/folder}}}\n")
    canon(toy, "data", "pin")
    for number in range(rounds):
        if number % 2:  # over another content, too
            (toy / "brought/0.bin").write_bytes(b"other")
        else:
            subprocess.run(("rm", "-rf", "brought"), cwd=toy, check=True)
        ended = at_once(toy, ("canon", "data", "get"), ("canon", "data", "get"))
        assert [(end.returncode, "Traceback" in end.stderr) for end in ended] == [(0, False)] * 2, ended
        for path in sorted((toy / "data/folder").iterdir()):
            assert (toy / "brought" / path.name).read_bytes() == path.read_bytes()
        assert sorted(path.name for path in (toy / "brought").iterdir()) == ["0.bin", "1.bin", "2.bin"]
        assert not leftovers(toy)


# A signal at a chosen moment: Python tells of renames and of opened files before it does them.
SIGNALLED = """
import os, signal, sys
number, event, part = int(sys.argv.pop(1)), sys.argv.pop(1), sys.argv.pop(1)
def hook(name, arguments):
    if name == event and part in str(arguments):
        os.kill(os.getpid(), number)
sys.addaudithook(hook)
from canon.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("number", "command", "event", "part"),
    [
        (signal.SIGINT, ("render",), "os.rename", "dvc.yaml"),
        (signal.SIGTERM, ("render",), "os.rename", "dvc.yaml"),
        (signal.SIGINT, ("data", "pin"), "open", "source.csv"),
        (signal.SIGTERM, ("data", "pin"), "os.rename", "pins.yaml"),
        (signal.SIGINT, ("data", "get"), "os.rename", "/new"),
        (signal.SIGTERM, ("data", "get"), "open", "/new"),
    ],
)
def test_an_interrupted_command_leaves_the_old_file(
    toy: Path, number: signal.Signals, command: tuple[str, ...], event: str, part: str
) -> None:
    write(toy, "data/source.csv", os.urandom(2 * MEBIBYTE))
    if command[1:] == ("get",):
        canon(toy, "data", "pin")
    write(toy, "dvc.yaml", STALE)
    write(toy, "raw.csv", "what was there")
    with unchanged(toy):
        done = subprocess.run(
            (sys.executable, "-c", SIGNALLED, str(int(number)), event, part, *command),
            cwd=toy, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 128 + number, done.stderr
    assert "Traceback" not in done.stderr
    assert not leftovers(toy)
