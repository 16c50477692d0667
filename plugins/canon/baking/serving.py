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
COMPOUND = set(";&|()\n`")
KEYWORDS = {"if", "for", "while", "until", "case", "{", "!", "time", "exec", "set", "cd", "export", "."}
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
    # `mlflow models serve` starts uvicorn as a child that SIGTERM does not reach (facts/mlflow.md): it is started itself.
    options = ("--host", ANY_ADDRESS, "--port", str(serving.port), "--timeout-graceful-shutdown", "1")
    return ["uvicorn", SCORING_SERVER, *options], {SCORING_PATH: f"{source}/{path}"}


def is_simple(command: str) -> bool:
    """Tell whether the shell can become the command, so that a signal to the one reaches the other."""
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    quoted = shlex.shlex(command, posix=True, punctuation_chars=True)
    quoted.whitespace_split = True
    parts = list(quoted)
    compound = "\n" in command or any(part and set(part) <= COMPOUND for part in parts)
    return bool(words) and not compound and "=" not in words[0] and words[0] not in KEYWORDS


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
