"""What can go wrong while `canon run` runs: stages that fail, signals, stages that meddle, two at once, a full disk, floods of output."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.e2e import graphs
from tests.e2e.projects import write

pytestmark = pytest.mark.usefixtures("quick")
Make = Callable[[str], Path]


@pytest.fixture
def make(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Make a project of these stages."""

    def project(stages: str) -> Path:
        lines = "".join(f"  {line}\n" for line in stages.strip().splitlines())
        return graphs.make_project(
            tmp_path_factory, tmp_path / "p", {"pipelines/p.yaml": f"name: p\ntrack: false\nstages:\n{lines}"}
        )

    return project


def started(root: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["canon", "run", "-j", "4", *arguments], cwd=root, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def wait_until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def states(root: Path, run: Run) -> dict[str, str]:
    done = run(root, "canon", "run", "--dry-run", "--json")
    return {each["stage"]: each["does"] for each in json.loads(done.stdout)["stages"]}


def test_a_stage_that_fails(make: Make, run: Run) -> None:
    """Its own code is the command's, its log's tail is shown, those that run are kept, nothing new starts without --keep-going."""
    root = make("""
bad: {cmd: "echo first; echo the reason >&2; exit 7", outs: [bad]}
beside: {cmd: while test -e bad; do :; done; sleep 0.3; echo x > beside, outs: [beside]}
below: {cmd: cat bad > below, deps: [bad], outs: [below]}
after: {cmd: cat beside > after, deps: [beside], outs: [after]}
""")
    done = run(root, "canon", "run", "-j", "2", "--json", code=7)
    assert "bad: failed" in done.stderr
    assert "    the reason\n" in done.stderr
    ended = {each["stage"]: (each["state"], each["code"]) for each in json.loads(done.stdout)["stages"]}
    assert ended == {"bad": ("failed", 7), "beside": ("done", 0), "below": ("blocked", 0), "after": ("blocked", 0)}
    assert states(root, run) == {"bad": "runs", "beside": "unchanged", "below": "depends", "after": "runs"}
    run(root, "canon", "run", "--keep-going", code=7)
    assert (root / "after").exists()


def test_an_import_that_fails_says_why(make: Make, run: Run) -> None:
    """DVC's own message is `SCM error`; the cause has the words."""
    root = make("a: {cmd: cat x > a, deps: [x], outs: [a]}")
    repo = "{url: 'file://u:secret@localhost/nowhere', rev_lock: abcdef}"
    write(root, {"x.dvc": f"deps: [{{path: x, repo: {repo}}}]\nouts: [{{path: x}}]\n"})
    done = run(root, "canon", "run", "--json", code=1)
    assert "x.dvc: failed (SCM error: Failed to clone repo 'file://localhost/nowhere'" in done.stderr
    assert "secret" not in done.stderr + done.stdout


def test_a_stage_that_does_not_write_its_out_fails(make: Make, run: Run) -> None:
    root = make("""
a: {cmd: "true", outs: [a]}
b: {cmd: echo b > b, outs: [b]}
""")
    done = run(root, "canon", "run", "-k", code=1)
    assert "a: failed" in done.stderr
    assert "does not exist" in done.stderr
    assert states(root, run) == {"a": "runs", "b": "unchanged"}


POLITE = """
quick: {cmd: echo x > quick, outs: [quick]}
long: {cmd: "trap 'echo heard > heard; echo half > long; exit 0' INT TERM; touch ready; while :; do sleep 0.05; done", outs: [long]}
later: {cmd: cat long > later, deps: [long], outs: [later]}
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_reaches_the_commands_and_keeps_what_has_finished(
    make: Make, run: Run, number: int, code: int
) -> None:
    root = make(POLITE)
    with started(root, "--json") as process:
        wait_until(lambda: (root / "ready").exists() and (root / "dvc.lock").exists())
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert (root / "heard").exists()
    assert {each["stage"]: each["state"] for each in json.loads(out)["stages"]} == {
        "quick": "done",
        "long": "stopped",
        "later": "blocked",
    }
    assert graphs.stages_alive(root) == []
    assert states(root, run) == {"quick": "unchanged", "long": "runs", "later": "depends"}


def test_commands_that_heed_no_signal_are_killed_in_the_end(make: Make) -> None:
    root = make("long: {cmd: \"trap '' INT TERM; touch ready; sleep 300 & sleep 300\", outs: [long]}")
    with started(root) as process:
        wait_until((root / "ready").exists)
        for _ in range(3):  # each is the next step at once
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        process.communicate(timeout=60)
    assert process.returncode == 130
    wait_until(lambda: graphs.stages_alive(root) == [])


def test_two_at_once(make: Make, run: Run) -> None:
    root = make("a: {cmd: touch ready; while ! test -e go; do sleep 0.05; done; echo a > a, outs: [a]}")
    with started(root) as process:
        wait_until((root / "ready").exists)
        second = run(root, "canon", "run", code=1)
        assert "`canon run` works in" in second.stderr
        assert "since 20" in second.stderr
        busy = subprocess.run(["dvc", "repro"], cwd=root, capture_output=True, text=True, check=False)
        assert busy.returncode != 0
        assert "is busy" in busy.stderr
        assert "canon run" in busy.stderr
        (root / "go").touch()
        process.communicate(timeout=60)
    assert process.returncode == 0
    (root / "ready").unlink()
    (root / "go").unlink()
    with subprocess.Popen(["dvc", "repro", "-f"], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        wait_until((root / "ready").exists)
        done = run(root, "canon", "run", code=1)
        assert "another process works on files of this run" in done.stderr
        assert "repro" in done.stderr
        (root / "go").touch()
    run(root, "canon", "run")


def test_what_a_killed_run_left_is_ended_first(make: Make, run: Run) -> None:
    """Also where the watchdog was killed with it."""
    root = make(
        "a: {cmd: 'echo $PPID > parent; test -e again && echo a > a && exit; touch again; echo half > a; sleep 300', outs: [a]}"
    )
    process = started(root)
    wait_until((root / "again").exists)
    parent = int((root / "parent").read_text())
    below = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True, check=True
    ).stdout
    (watchdog,) = [
        int(line.split()[0]) for line in below.splitlines() if "sys.stdin.buffer" in line or "import os, signal" in line
    ]
    os.kill(watchdog, signal.SIGKILL)
    process.kill()
    process.communicate()
    assert graphs.stages_alive(root)
    done = run(root, "canon", "run")
    assert "ended what a run that was killed left running" in done.stderr
    assert graphs.stages_alive(root) == []
    assert (root / "a").read_text() == "a\n"


def test_a_stage_that_writes_an_out_of_one_that_has_ended_is_named(make: Make, run: Run) -> None:
    root = make("""
a: {cmd: echo a > a, outs: [a]}
b: {cmd: cat a > b; echo meddled > a, deps: [a], outs: [b]}
""")
    done = run(root, "canon", "run", "--json")
    (said,) = json.loads(done.stdout)["warnings"]
    assert "an out of `a`" in said
    assert "by `b`" in said
    assert said in done.stderr


def test_a_stage_that_writes_or_reads_what_another_is_writing_is_named(make: Make, run: Run) -> None:
    root = make("""
a: {cmd: 'echo half > a; while ! test -e seen; do sleep 0.05; done; echo a > a', outs: [a]}
reads: {cmd: 'while ! test -e a; do :; done; exec 3< a; sleep 1.5; touch seen; echo x > reads', outs: [reads]}
c: {cmd: 'echo half > c; while ! test -e seen; do sleep 0.05; done', outs: [c]}
writes: {cmd: 'while ! test -e c; do :; done; exec 3>> c; sleep 1.5; echo x > writes', outs: [writes]}
""")
    done = run(root, "canon", "run", "-j", "4", "-k", "--json", code=1)
    ended = {each["stage"]: each["state"] for each in json.loads(done.stdout)["stages"]}
    assert ended == {"a": "done", "reads": "done", "c": "failed", "writes": "failed"}
    warnings = "\n".join(json.loads(done.stdout)["warnings"])
    assert f"`reads` reads {root}/a, which `a` is writing" in warnings
    assert f"`writes` has {root}/c open for writing, an out of `c`" in warnings


def test_files_that_come_and_go_in_a_folder_that_others_read(make: Make, run: Run) -> None:
    """As Python's caches beside modules. Under `dvc repro` nothing runs while it reads; here what cannot be read is read again. A link to nowhere stays put."""
    root = make("""
a: {cmd: "until test -e began; do sleep 0.05; done; ln -s nowhere src/l; touch here; until test -e b -a -e d; do sleep 0.05; done; sleep 0.5; rm src/l; echo x > a", outs: [a]}
b: {cmd: touch began; until test -e here; do sleep 0.05; done; echo x > b, deps: [src], outs: [b]}
c: {cmd: cat d > c, deps: [src, d], outs: [c]}
d: {cmd: until test -e here; do sleep 0.05; done; echo x > d, outs: [d]}
never: {cmd: echo x > never, deps: [gone], outs: [never]}
missing: {cmd: echo x > missing, deps: [nowhere], outs: [missing]}
""")
    write(root, {"src/module": "x\n", "gone/.keep": ""})
    (root / "gone/link").symlink_to("nowhere")
    done = run(root, "canon", "run", "-j", "4", "-k", code=1)
    assert "p: 4 done, 2 failed" in done.stderr
    assert "never: failed ([Errno 2] No such file or directory" in done.stderr
    assert done.stderr.index("missing: failed") < done.stderr.index("d: done"), (
        "a dep that is not there is said at once"
    )
    assert sorted((root / ".gitignore").read_text().split()) == ["/a", "/b", "/c", "/d"]
    assert run(root, "dvc", "status", "a", "b", "c", "d").stdout == "Data and pipelines are up to date.\n"


@pytest.mark.parametrize("text", ["{[", "words"])
def test_a_stage_that_spoils_dvc_lock_ends_the_run(make: Make, run: Run, text: str) -> None:
    """What has finished until then is in the journal, and goes into the file when it is one again."""
    root = make(f"""
a: {{cmd: echo x > a, outs: [a]}}
b: {{cmd: "echo '{text}' > dvc.lock; cat a > b", deps: [a], outs: [b]}}
c: {{cmd: cat b > c, deps: [b], outs: [c]}}
""")
    done = run(root, "canon", "run", code=1)
    assert f"{root}/dvc.lock is no lock file any more" in done.stderr
    assert "Traceback" not in done.stderr
    (root / "dvc.lock").unlink()
    done = run(root, "canon", "run")
    assert "p: 1 unchanged, 2 done" in done.stderr, (
        "what stood in the file is gone, what was about to be written is not"
    )
    assert run(root, "dvc", "status").stdout == "Data and pipelines are up to date.\n"


def test_a_disk_that_is_full(make: Make, run: Run) -> None:
    """Of files no larger than a limit: the stage whose out cannot be kept has failed, all else is as it was."""
    root = make("""
small: {cmd: echo x > small, outs: [small]}
big: {cmd: head -c 3000000 /dev/zero > big, deps: [small], outs: [big]}
""")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))  # noqa: E731
    done = subprocess.run(["canon", "run"], cwd=root, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode != 0
    assert "big: failed" in done.stderr
    assert states(root, run) == {"small": "unchanged", "big": "runs"}
    run(root, "canon", "run")


def test_floods_of_output_and_what_is_no_text(make: Make, run: Run) -> None:
    root = make("""
flood: {cmd: 'yes "a line that is repeated" | head -c 30000000; echo x > flood', outs: [flood]}
endless: {cmd: 'head -c 5000000 /dev/zero | tr "\\\\0" x; echo x > endless', outs: [endless]}
binary: {cmd: 'head -c 1000000 /dev/urandom; printf "\\\\033[2Jlast"; exit 9', outs: [binary]}
daemon: {cmd: 'sleep 300 & echo $! > pid; echo x > daemon', outs: [daemon]}
""")
    done = run(root, "canon", "run", "-k", "-j", "4", code=9)
    assert len(done.stderr) < 30_000
    assert "\x1b" not in done.stderr
    assert (root / ".dvc/tmp/canon/logs/flood.log").stat().st_size == 30_000_000
    assert {name: each for name, each in states(root, run).items() if each != "unchanged"} == {"binary": "runs"}
    os.kill(int((root / "pid").read_text()), signal.SIGKILL)


def test_what_is_generated_has_to_be_current(make: Make, run: Run) -> None:
    root = make("a: {cmd: echo a > a, outs: [a]}")
    declared = root / "pipelines/p.yaml"
    write(root, {"pipelines/p.yaml": declared.read_text().replace("echo a", "echo b")})
    done = run(root, "canon", "run", code=1)
    assert "dvc.yaml: stale; run `canon render`" in done.stderr
    assert not (root / "a").exists()
    assert "canon: rendered dvc.yaml" in run(root, "canon", "run", "--render").stderr
    assert (root / "a").read_text() == "b\n"


def test_what_cannot_be_run_is_said(make: Make, run: Run) -> None:
    root = make("a: {cmd: echo a > a, outs: [a]}")
    assert "none" in run(root, "canon", "run", "p", "none", code=1).stderr
    run(root, "dvc", "config", "core.interactive", "true")
    assert "core.interactive is set" in run(root, "canon", "run", code=1).stderr
    write(
        root, {"pipelines/q.yaml": "name: q\ndvc_file: sub/dvc.yaml\ntrack: false\nstages: {b: {cmd: x, outs: [b]}}\n"}
    )
    run(root, "canon", "render")
    assert "name one of p, q" in run(root, "canon", "run", code=2).stderr
    assert "`a` is no pipeline" in run(root, "canon", "run", "a", code=2).stderr


def test_data_that_is_not_here_is_said_with_what_brings_it(make: Make, run: Run) -> None:
    root = make("a: {cmd: cp raw a, deps: [raw], outs: [a]}")
    (root / "raw").write_text("raw")
    run(root, "dvc", "add", "-q", "raw")
    (root / "raw").unlink()
    shutil.rmtree(root / ".dvc/cache")
    done = run(root, "canon", "run", code=1)
    assert "missing data 'source': raw; `dvc pull`, or `canon run --pull`, brings what was pushed" in done.stderr


def test_a_command_that_no_system_can_start(make: Make, run: Run) -> None:
    root = make("""
bad: {cmd: "echo 'a\\0b' > bad", outs: [bad]}
good: {cmd: echo x > good, outs: [good]}
""")
    done = run(root, "canon", "run", "-k", code=1)
    assert "bad: failed (its command cannot be started: embedded null byte)" in done.stderr
    assert "good: done" in done.stderr


def test_a_file_of_a_run_that_is_a_link_is_not_written_through(make: Make, run: Run, tmp_path: Path) -> None:
    root = make("a: {cmd: echo x > a, outs: [a]}")
    other = tmp_path / "other"
    other.write_text("kept\n")
    (root / ".dvc/tmp/canon").mkdir(parents=True)
    (root / ".dvc/tmp/canon/run.lock").symlink_to(other)
    done = run(root, "canon", "run", "--dry-run", code=1)
    assert ".dvc/tmp/canon/run.lock" in done.stderr
    (root / ".dvc/tmp/canon/run.lock").unlink()
    (root / ".dvc/tmp/canon/fresh.clock").symlink_to(other)
    run(root, "canon", "run")
    assert other.read_text() == "kept\n"
