"""The script that `main` runs, by this machine's own shell."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from canon.model.stage import Stage
from canon.steps.places import Places
from canon.steps.script import format_script


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(tmp_path / "src", tmp_path / "run", tmp_path / "private", tmp_path / "emissary")
    found.code.mkdir()
    found.run.mkdir()
    return found


def started(places: Places, *commands: str) -> subprocess.Popen[bytes]:
    """The script of stages with these commands, in a group of its own, as Argo's executor starts it."""
    stages = [Stage(name=f"stage-{number}", cmd=command) for number, command in enumerate(commands)]
    places.script.write_text(format_script(stages, 0, places, {}))
    return subprocess.Popen(["/bin/sh", str(places.script)], start_new_session=True)


def ended(process: subprocess.Popen[bytes], file: Path) -> int:
    """The exit code after SIGTERM, which is sent when a file is there."""
    end = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    return process.wait(timeout=60)


def test_exit_codes_of_stages_are_written_until_one_fails(places: Places) -> None:
    places.go_file(1).write_text("run")
    assert started(places, "true", "exit 3", "true").wait(timeout=60) == 3
    assert [places.exit_file(number).exists() for number in range(3)] == [True, True, False]
    assert [places.exit_file(number).read_text() for number in range(2)] == ["0\n", "3\n"]


def test_nothing_runs_after_what_cannot_be_saved(places: Places) -> None:
    places.go_file(1).write_text("refused\n")
    assert started(places, "true", "touch ../begun").wait(timeout=60) == 65
    assert not (places.code.parent / "begun").exists()


@pytest.mark.parametrize("code", [0, 9])
def test_a_command_that_is_terminated_puts_things_in_order_and_is_not_done(places: Places, code: int) -> None:
    """143 is a code that another attempt is made for. The command is a program that a shell runs, as almost all are."""
    program = places.code.parent / "program.sh"
    program.write_text(
        f"trap 'sleep 0.3; touch ../in-order; exit {code}' TERM; touch ../begun; while :; do sleep 0.05; done"
    )
    process = started(places, "sh ../program.sh; touch ../next")
    assert ended(process, places.code.parent / "begun") == 143
    assert (places.code.parent / "in-order").exists()
    assert not (places.code.parent / "next").exists()
    assert not places.exit_file(0).exists()


def test_waiting_for_push_ends_with_it(places: Places) -> None:
    process = started(places, "true", "touch ../begun")
    assert ended(process, places.exit_file(0)) == 143
    assert not (places.code.parent / "begun").exists()
