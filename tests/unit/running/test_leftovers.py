"""What a killed run left is ended, and nothing that only has a number of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil

from canon.running.leftovers import GROUPS, Groups, end_leftovers


def sleeper(root: Path, **more: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "DVC_ROOT": str(root), **more}
    return subprocess.Popen(["/bin/sh", "-c", "sleep 300 & sleep 300"], env=env, start_new_session=True)


def test_the_group_of_a_command_is_ended(tmp_path: Path) -> None:
    said: list[str] = []
    process = sleeper(tmp_path, DVC_STAGE="a")
    Groups(tmp_path).started(process.pid)
    below = psutil.Process(process.pid).children()
    end_leftovers(tmp_path, said.append)
    process.wait()
    assert said == [f"canon: ended what a run that was killed left running (process {process.pid})"]
    assert psutil.wait_procs(below, timeout=30)[1] == []
    assert not (tmp_path / GROUPS).exists()


def test_what_had_ended_is_left_alone(tmp_path: Path) -> None:
    process = sleeper(tmp_path, DVC_STAGE="a")
    groups = Groups(tmp_path)
    groups.started(process.pid)
    groups.started(os.getpid())
    groups.ended(process.pid)
    with (tmp_path / GROUPS).open("a") as file:
        file.write(f"+{process.pid} ")  # a line that it had no time to end
    groups.ended(os.getpid())
    end_leftovers(tmp_path, lambda _: None)
    assert process.poll() is None
    os.killpg(process.pid, 9)
    process.wait()


def test_another_process_with_the_number_is_left_alone(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    (tmp_path / GROUPS).parent.mkdir(parents=True)
    for began in (psutil.Process(process.pid).create_time() - 60, psutil.Process(process.pid).create_time() + 60):
        (tmp_path / GROUPS).write_text(f"+{process.pid} {began!r}\n")
        end_leftovers(tmp_path, lambda _: None)
        assert process.poll() is None
    os.killpg(process.pid, 9)
    process.wait()
