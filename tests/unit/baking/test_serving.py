"""Which commands the shell can become, and what serves a model without one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from canon.baking.serving import check_servable, health_path, is_simple, serving_command
from canon.model.errors import CanonError
from canon.model.pins import Pins
from canon.model.project import Pipeline, load_declaration
from canon.model.settings import Settings

SETTINGS = Settings.model_validate({"default_profile": "local", "profiles": {"local": {}}})
TEXT = """\
name: p
stages: {fit: {cmd: python fit.py, deps: [fit.py], outs: [model]}}
artifacts: {net: {path: model, type: model}}
"""


def pipeline(serving: str) -> Pipeline:
    declaration, raw = load_declaration(TEXT + serving, "pipelines/p.yaml", SETTINGS)
    return Pipeline("pipelines/p.yaml", declaration, raw, Pins())


@pytest.mark.parametrize(
    ("command", "simple"),
    [
        ("uvicorn app:app --port 8080", True),
        ("python -c 'a; b & c'", True),
        ("serve > /dev/null 2>&1", True),
        ("cd app && serve", False),
        ("serve; other", False),
        ("serve | tee log", False),
        ("PORT=1 serve", False),
        ("if true; then serve; fi", False),
        ("one\ntwo", False),
        ("serve 'unfinished", False),
        ("(serve)", False),
        ("serve --at http://x/#top", True),
        ("serve a#b && other", False),
        ("serve a;>b other", False),
        ("serve\n", True),
        ("serve <<END", False),
        ("serve &> log", False),
        (": nothing", False),
        ("eval serve", False),
        ("trap other TERM", False),
    ],
)
def test_the_shell_becomes_a_simple_command_and_no_other(command: str, simple: bool) -> None:  # noqa: FBT001
    assert is_simple(command) is simple


def test_a_simple_command_that_is_executed_does_what_it_did(tmp_path: Path) -> None:
    for command in ("echo 'a; b' > out", "printf '%s' \"x  y\" > out"):
        results = []
        for text in (command, f"exec {command}"):
            subprocess.run(["/bin/sh", "-c", text], cwd=tmp_path, check=True)
            results.append((tmp_path / "out").read_bytes())
        assert is_simple(command)
        assert results[0] == results[1] != b""


def test_a_declared_command_is_run_by_the_shell() -> None:
    assert serving_command(pipeline("serving: {artifact: net, cmd: serve it}\n")) == (
        ["/bin/sh", "-c", "exec serve it"],
        {},
    )
    assert serving_command(pipeline("serving: {artifact: net, cmd: cd x && serve}\n"))[0] == [
        "/bin/sh",
        "-c",
        "cd x && serve",
    ]


def test_without_a_command_mlflows_server_is_uvicorn_itself() -> None:
    known = pipeline("serving: {artifact: net, port: 9000}\n")
    command, variables = serving_command(known)
    assert command[:2] == ["uvicorn", "mlflow.pyfunc.scoring_server.app:app"]
    assert command[command.index("--port") + 1] == "9000"
    assert variables == {"__pyfunc_model_path__": "/opt/canon/src/model"}
    assert health_path(known) == "/health"
    check_servable(known, {"MLmodel", "x"})
    with pytest.raises(CanonError, match=r"model has no MLmodel, .*; add `serving\.cmd` to pipelines/p\.yaml"):
        check_servable(known, {"x"})
    check_servable(pipeline("serving: {artifact: net, cmd: serve}\n"), {"x"})


def test_a_declaration_that_serves_nothing() -> None:
    with pytest.raises(CanonError, match="does not say what serves the model"):
        serving_command(pipeline(""))
