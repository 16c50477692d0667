"""Commands as processes: one after the other, their output in a file, and none left where they were started from is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from canon.running import children as children_module
from canon.running.children import Children, Ended, Work
from canon.running.logs import Follower, last_lines, log_path
from tests.conftest import ROOT


def work(folder: Path, name: str, *commands: str) -> Work:
    shell = tuple(("/bin/sh", "-c", command) for command in commands)
    return Work(name, shell, folder, dict(os.environ), folder / f"logs/{name}.log")


def ended(children: Children) -> Ended:
    found = children.next_ended(30)
    assert found is not None
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody reaps yet does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.returncode == 0 and not done.stdout.startswith("Z")


def wait_for(file: Path) -> str:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if file.exists() and file.read_text().endswith("\n"):
            return file.read_text()
        time.sleep(0.01)
    raise AssertionError(f"{file} never came")


def wait_until_gone(pid: int) -> None:
    end = time.monotonic() + 30
    while is_alive(pid):
        assert time.monotonic() < end, f"{pid} goes on"
        time.sleep(0.01)


def test_commands_run_one_after_the_other_up_to_the_first_that_fails(tmp_path: Path) -> None:
    with Children() as children:
        children.start(work(tmp_path, "good", "echo one; echo two >&2", "pwd; cat"))
        children.start(work(tmp_path, "bad", "exit 7", "touch never"))
        children.start(work(tmp_path, "killed", "kill -9 $$"))
        found = {each.name: each.code for each in (ended(children), ended(children), ended(children))}
    assert found == {"good": 0, "bad": 7, "killed": 137}
    assert (tmp_path / "logs/good.log").read_text() == f"one\ntwo\n{tmp_path}\n"
    assert not (tmp_path / "never").exists()


def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    with Children() as children:
        children.start(Work("a", (("/bin/sh", "-c", "true"),), tmp_path / "none", {}, tmp_path / "a.log"))
        assert isinstance(ended(children).error, FileNotFoundError)
        children.start(Work("b", (("/no/shell", "-c", "true"),), tmp_path, {}, tmp_path / "b.log"))
        assert ended(children).code == 127
        assert "not found" in last_lines(tmp_path / "b.log")[0]


def test_a_daemon_that_keeps_the_output_open_is_not_waited_for(tmp_path: Path) -> None:
    with Children() as children:
        children.start(work(tmp_path, "a", "sleep 300 & echo $! > pid"))
        assert ended(children).code == 0
    pid = int((tmp_path / "pid").read_text())
    assert is_alive(pid), "what a finished stage leaves behind goes on, as after `dvc repro`"
    os.kill(pid, signal.SIGKILL)


def test_a_signal_reaches_all_that_a_stage_started_and_no_command_follows(tmp_path: Path) -> None:
    with Children() as children:
        children.start(
            work(tmp_path, "a", "trap 'echo heard; exit 3' INT; sleep 300 & echo $! > pid; wait", "touch never")
        )
        pid = int(wait_for(tmp_path / "pid"))
        children.send(signal.SIGINT)
        assert ended(children).code == 3
    wait_until_gone(pid)
    assert not (tmp_path / "never").exists()
    assert last_lines(tmp_path / "logs/a.log") == ["heard"]


def test_nothing_runs_after_the_context(tmp_path: Path) -> None:
    with Children() as children:
        children.start(work(tmp_path, "a", "trap '' INT TERM; echo $$ > pid; sleep 300"))
        pid = int(wait_for(tmp_path / "pid"))
    assert not is_alive(pid)


KILLED = """
import os, sys
from pathlib import Path
from canon.running.children import Children, Work
folder = Path(sys.argv[1])
with Children() as children:
    for name in ("a", "b"):
        command = f"trap '' HUP INT TERM; sleep 300 & echo $! $$ > {name}; wait"
        children.start(Work(name, (("/bin/sh", "-c", command),), folder, dict(os.environ), folder / f"{name}.log"))
    children.next_ended(None)
"""


def test_a_kill_of_the_process_ends_its_commands(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(KILLED))
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path)], cwd=ROOT)
    pids = [int(each) for name in ("a", "b") for each in wait_for(tmp_path / name).split()]
    process.kill()
    process.wait()
    for pid in pids:
        wait_until_gone(pid)


def test_a_command_waits_until_the_watchdog_knows_of_it(tmp_path: Path) -> None:
    """The process is killed just before it names the group: the command never begins."""
    script = tmp_path / "script.py"
    patched = KILLED.replace(
        "folder = ",
        "from canon.running.watchdog import Watchdog\nWatchdog.started = lambda self, group: os.kill(os.getpid(), 9)\nfolder = ",
    )
    script.write_text(patched)
    subprocess.run([sys.executable, str(script), str(tmp_path)], cwd=ROOT, check=False)
    time.sleep(0.2)
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_a_log_that_grows_beyond_measure_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children_module, "LARGEST_LOG", 1 << 20)
    monkeypatch.setattr(children_module, "_TICK", 0.05)
    with Children() as children:
        children.start(work(tmp_path, "a", "yes | head -c 20000000; sleep 0.2; echo the end"))
        assert ended(children).code == 0
    log = tmp_path / "logs/a.log"
    assert log.stat().st_size < 20_000_000
    assert last_lines(log) == ["the end"]


def test_the_end_of_a_log(tmp_path: Path) -> None:
    log = log_path(tmp_path, "sub/dvc.yaml:fit@a%b")
    assert log.parent == tmp_path / ".dvc/tmp/canon/logs"
    assert last_lines(log) == []
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * 100_000 + b"\n\n10%\r20%\r 30%\n\x1b[2Jred\xff\n\n")
    assert last_lines(log, 2) == [" 30%", "\ufffd[2Jred\ufffd"]
    follower = Follower(log)
    assert len(follower.new_lines()) == 5
    with log.open("ab") as file:
        file.write(b"half")
    assert follower.new_lines() == []
    assert follower.new_lines(end=True) == ["half"]
    log.write_bytes(b"new\n")
    assert follower.new_lines() == ["new"]


def test_the_log_of_a_stage_with_a_long_name(tmp_path: Path) -> None:
    """DVC takes any length: a `foreach` over texts."""
    long = [log_path(tmp_path, f"fit@{'é' * 200}{end}") for end in "ab"]
    for log in long:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
    assert long[0] != long[1]


def test_a_variable_of_the_user_reaches_the_command(tmp_path: Path) -> None:
    each = work(tmp_path, "a", 'echo "$go$CANON_GATE"')
    with Children() as children:
        children.start(Work(each.name, each.commands, each.folder, {**each.env, "go": "theirs"}, each.log))
        assert ended(children).code == 0
    assert each.log.read_text() == "theirs\n"


def test_variables_that_no_shell_can_name_reach_the_command(tmp_path: Path) -> None:
    """Such as the function `module` that bash exports on clusters; and what the command meets is else the same."""
    log, env = (
        tmp_path / "a.log",
        {"PATH": os.environ["PATH"], "BASH_FUNC_module%%": "() {  echo loaded; }", "a.b": "1"},
    )
    with Children() as children:
        children.start(Work("a", (("/bin/sh", "-c", "cat; yes | head -n 1"), ("env",)), tmp_path, env, log))
        children.start(Work("b", (("/no/shell", "-c", "true"),), tmp_path, env, tmp_path / "b.log"))
        assert {found.name: found.code for found in (ended(children), ended(children))} == {"a": 0, "b": 127}
    first, *others = log.read_text().splitlines()
    assert first == "y"
    assert not any(line.startswith("yes:") for line in others), "a signal that Python ignores ends what does not"
    assert {f"{name}={value}" for name, value in env.items()} <= {*others}
    assert last_lines(tmp_path / "b.log") == ["/no/shell: No such file or directory"]
