"""How the service starts: by the declared command, or by MLflow's scoring server for a model in MLflow's format."""

from __future__ import annotations

import shlex
from collections.abc import Collection

from canon.baking.code import SOURCE
from canon.model.delivery import Serving
from canon.model.errors import CanonError
from canon.model.project import Pipeline

MLFLOW_FILE = "MLmodel"
SCORING_SERVER = "mlflow.pyfunc.scoring_server.app:app"
SCORING_PATH = "__pyfunc_model_path__"
"""Variable that names the model to that application (mlflow/pyfunc/scoring_server/app.py)."""
OPERATORS = set(";&|()<>")
REDIRECTIONS = {"<", ">", ">>", "<>", ">|", "<&", ">&"}
SHELL_ONLY = {
    *("if", "for", "while", "until", "case", "{", "!", "time", ".", ":", "alias", "builtin", "cd", "command", "eval", "exec", "exit"),
    *("export", "local", "read", "readonly", "return", "set", "shift", "source", "trap", "ulimit", "umask", "unset", "wait"),
}  # fmt: skip
"""Words that begin what only the shell can run: reserved ones, and commands that are no programs."""
ANY_ADDRESS = "0.0.0.0"  # noqa: S104  a container's own address, which its host maps


def served(pipeline: Pipeline) -> tuple[Serving, str]:
    """What serves the model, and the model's path. Raises CanonError where the declaration says neither."""
    serving = pipeline.declaration.serving
    if serving is None:
        raise CanonError(
            f"{pipeline.file} does not say what serves the model; add `serving: {{artifact: NAME, cmd: …, port: …}}`"
        )
    return serving, pipeline.declaration.artifacts[serving.artifact].path


def serving_command(pipeline: Pipeline, source: str = f"/{SOURCE}") -> tuple[list[str], dict[str, str]]:
    """The command, as an image's entry point has it, and variables that it needs; ``source``: where the code lies. Raises CanonError."""
    serving, path = served(pipeline)
    if serving.cmd is not None:
        return ["/bin/sh", "-c", f"exec {serving.cmd}" if is_simple(serving.cmd) else serving.cmd], {}
    # `mlflow models serve` starts uvicorn as a child that SIGTERM does not reach: it is started itself.
    options = ("--host", ANY_ADDRESS, "--port", str(serving.port), "--timeout-graceful-shutdown", "1")
    return ["uvicorn", SCORING_SERVER, *options], {SCORING_PATH: f"{source}/{path}"}


def is_simple(command: str) -> bool:
    """Tell whether the shell can become the command, so that a signal to the one reaches the other; no where it is not certain.

    Of any other the shell runs the parts, and must: who writes one ends it with an `exec` of his own.
    """
    shell = shlex.shlex(command.strip(), posix=True, punctuation_chars=True)
    shell.whitespace_split = True
    shell.commenters = ""  # shlex takes any `#` for one, and what follows `a#b` would not be seen
    try:
        words = list(shell)
    except ValueError:
        return False
    compound = any(word and set(word) <= OPERATORS and word not in REDIRECTIONS for word in words)
    return (
        bool(words)
        and not compound
        and "\n" not in command.strip()
        and "=" not in words[0]
        and words[0] not in SHELL_ONLY
    )


def health_path(pipeline: Pipeline) -> str:
    """Where the service says that it is well; MLflow's has `/health`, too."""
    return served(pipeline)[0].health


def check_servable(pipeline: Pipeline, files: Collection[str]) -> None:
    """Raise CanonError when nothing can serve a model of these files: no command is declared, and it is not in MLflow's format."""
    serving, path = served(pipeline)
    if serving.cmd is None and MLFLOW_FILE not in files:
        raise CanonError(
            f"{path} has no {MLFLOW_FILE}, so that MLflow's scoring server cannot serve it; add `serving.cmd` to {pipeline.file}"
        )
