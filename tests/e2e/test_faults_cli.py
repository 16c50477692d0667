"""The command line's edge: exit codes, streams, JSON for scripts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import BIN
from tests.e2e.faults import assert_said, canon, unchanged, write

ESCAPE = "\x1b["


@pytest.fixture
def installed(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, and the installed command: how it starts is a part of what is tested."""
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    return toy


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("nope", "No such command 'nope'"),
        ("check extra", "unexpected extra argument(s) (extra)"),
        ("data pin --jobs 0", "Invalid value for '--jobs'"),
        ("data", "Usage: canon data"),
    ],
)
def test_wrong_usage_is_2(toy: Path, arguments: str, sentence: str) -> None:
    with unchanged(toy):
        done = canon(toy, *arguments.split(), code=2)
    assert_said(done.stderr + done.stdout, sentence, "Usage: canon")


def test_a_name_that_is_not_declared_is_answered_by_those_that_are(toy: Path) -> None:
    with unchanged(toy):
        assert_said(canon(toy, "data", "get", "nope", code=1).stderr, "there is no dataset `nope`; declared: toy/raw")
        assert_said(
            canon(toy, "profile", "nope", code=1).stderr,
            "there is no profile `nope`; pyproject.toml declares: local, cluster",
        )


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (("check",), {"ok", "problems"}),
        (("render",), {"written", "files"}),
        (("render", "--check"), {"changed"}),
        (("data", "pin"), {"dataset", "profile", "changed", "uri", "sha256", "md5", "size"}),
        (("data", "get"), {"dataset", "path", "moved"}),
        (("profile", "cluster"), {"profile", "workspace", "changed", "left_out"}),
        (("log",), {"sent", "left", "settled", "results"}),
    ],
)
def test_json_is_all_that_stands_on_stdout(toy: Path, arguments: tuple[str, ...], keys: set[str]) -> None:
    (toy / "dvc.yaml").unlink()
    done = canon(toy, *arguments, "--json", code=1 if "check" in {arguments[0], arguments[-1].strip("-")} else 0)
    value = json.loads(done.stdout)
    assert set(value[0] if isinstance(value, list) else value) == keys


def test_json_of_an_error_leaves_stdout_empty_but_for_a_check(toy: Path) -> None:
    write(toy, "pipelines/toy.yaml", "- 1\n")
    assert canon(toy, "render", "--json", code=1).stdout == ""
    answer = json.loads(canon(toy, "check", "--json", code=1).stdout)
    assert (answer["ok"], answer["problems"][0]["line"], answer["problems"][0]["file"]) == (
        False,
        1,
        "pipelines/toy.yaml",
    )


def shell(folder: Path, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ("bash", "-c", script),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **env},
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception" not in done.stderr, done.stderr
    return done


def test_a_reader_that_has_enough_ends_the_command_silently(installed: Path) -> None:
    done = shell(
        installed, 'canon schema | head -1; echo "${PIPESTATUS[1]}"; canon check | true; echo "${PIPESTATUS[0]}"'
    )
    assert (done.stdout.split(), done.stderr) == (["{", "0", "141"], "")


def test_streams_that_are_closed_full_or_narrow(installed: Path) -> None:
    with unchanged(installed):
        assert shell(installed, "canon check >&- 2>&- <&-").returncode == 0
        assert shell(installed, "canon data pin --dry-run >&- 2>&-").returncode == 0
        full = shell(installed, "canon check > /dev/full")
        narrow = shell(installed, "canon schema", PYTHONIOENCODING="ascii")
    assert (full.returncode, full.stderr) == (1, "canon: the output: No space left on device; make room\n")
    assert "profile \u2192 source" in json.loads(narrow.stdout)["$defs"]["Dataset"]["properties"]["from"]["description"]


def test_a_traceback_is_shown_where_it_is_asked_for(installed: Path) -> None:
    for options, env in ((("--debug",), {}), ((), {"CANON_DEBUG": "1"})):
        done = subprocess.run(
            ("canon", *options, "data", "get", "nope"), cwd=installed, capture_output=True, text=True, check=False, env={**os.environ, **env}
        )  # fmt: skip
        assert done.returncode == 1
        assert_said(done.stderr, "Traceback (most recent call last)", "CanonError: there is no dataset `nope`")


def test_a_pipe_gets_plain_text_and_a_terminal_no_colour_where_none_is_wanted(installed: Path) -> None:
    for command in (("data", "pin", "--dry-run"), ("--help",)):
        piped = canon(installed, *command, env={"FORCE_COLOR": "", "TERM": "xterm"})
        assert ESCAPE not in piped.stdout + piped.stderr
    drawn = on_a_terminal(installed, "canon", "data", "pin", "--dry-run", TERM="xterm", NO_COLOR="1")
    assert_said(drawn, "8/8 bytes", "toy/raw  local")
    assert not re.search(r"\x1b\[(3|4|9|10)[0-9]", drawn)
    assert ESCAPE not in on_a_terminal(installed, "canon", "data", "pin", "--dry-run", TERM="dumb")


def on_a_terminal(folder: Path, *command: str, **env: str) -> str:
    """What a command writes to a terminal."""
    spawn = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    done = subprocess.run(
        (sys.executable, "-c", spawn, *command),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **env},
    )
    return done.stdout
