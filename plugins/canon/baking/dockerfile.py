"""The serving image as a Dockerfile, for those who build with BuildKit: the same files, settings and labels, in layers of BuildKit's own.

Its digest is another one each time, so that `canon image verify` does not prove it. Format: Dockerfile reference, syntax 1.7-labs (`COPY --exclude`).
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from canon.baking.bake import serving_edits
from canon.baking.base import Base, Code
from canon.baking.code import SOURCE
from canon.baking.environment import ENVIRONMENT
from canon.baking.provenance import PROVENANCE, Provenance, format_provenance
from canon.image.images import Edits, variables
from canon.model.errors import CanonError
from canon.model.project import Pipeline

END = "END-OF-PROVENANCE"


def format_dockerfile(
    pipeline: Pipeline, code: Code, base: Base, provenance: Provenance, applied: Mapping[str, bytes]
) -> str:
    """The Dockerfile. Its context is the checkout, with the model in its place, filtered by `format_ignore`. Raises CanonError."""
    declared = pipeline.declaration.environment
    if declared is None or declared.image is None:
        raise CanonError(f"{pipeline.file} declares no `environment.image` to build on")
    if applied:
        raise CanonError(
            "the params of an experiment are not in the checkout; `dvc exp apply` it, commit, and ask again"
        )
    lines = [
        "# syntax=docker/dockerfile:1.7-labs",
        f"# Made by `canon image dockerfile {pipeline.name}` of {provenance.commit[:12]}; DOCKER_BUILDKIT=1 docker build .",
        "# `canon image dockerfile --ignore-file` prints the file that keeps everything else out of the context.",
        f"FROM {declared.image} AS base",
    ]
    if declared.requirements is not None:
        mount = f"--mount=type=bind,source={declared.requirements},target=/tmp/requirements.lock"
        lines.append(
            f"RUN {mount} python3 -m pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: --no-compile"
            f" --target /{ENVIRONMENT} -r /tmp/requirements.lock"
        )
    model = provenance.model.path
    lines += [
        f"COPY --exclude={_word(model)} . /{SOURCE}",
        *_settings(base.image.config, variables(base.image)),
        "",
        "FROM base AS serving",
    ]
    lines += [
        f"COPY {json.dumps([model, posixpath.join('/', SOURCE, model)])}",
        f'COPY <<"{END}" /{PROVENANCE}',
        format_provenance(provenance).decode().rstrip("\n"),
        END,
        *_edits(serving_edits(pipeline, provenance, base.image, code.commit.time)),
    ]
    return "\n".join(lines) + "\n"


def _settings(config: Mapping[str, Any], env: Mapping[str, str]) -> Iterator[str]:
    settings = config.get("config") or {}
    for name in ("PATH", "PYTHONPATH"):
        if name in env:
            yield f"ENV {name}={_quoted(env[name])}"
    yield f"WORKDIR {settings.get('WorkingDir') or '/'}"
    for name, value in sorted((settings.get("Labels") or {}).items()):
        yield f"LABEL {_quoted(name)}={_quoted(value)}"


def _edits(edits: Edits) -> Iterator[str]:
    for name, value in edits.env.items():
        yield f"ENV {name}={_quoted(value)}"
    for label, text in sorted(edits.labels.items()):
        yield f"LABEL {_quoted(label)}={_quoted(text or '')}"
    settings = edits.settings
    for port in settings["ExposedPorts"]:
        yield f"EXPOSE {port}"
    kind, *words = settings["Healthcheck"]["Test"]
    probe = f"CMD {json.dumps(words)}" if kind == "CMD" else f"CMD {words[0]}"
    yield f"HEALTHCHECK --interval=30s --timeout=3s --start-period=30s {probe}"
    yield f"USER {settings['User']}"
    yield f"ENTRYPOINT {json.dumps(settings['Entrypoint'])}"
    yield "CMD []"


def _word(path: str) -> str:
    """A pattern that means one path. Raises CanonError for one that a Dockerfile cannot say."""
    if any(char.isspace() for char in path):
        raise CanonError(f"a Dockerfile cannot leave out {path!r}, which has blanks in its name; rename it")
    return _pattern(path)


def _quoted(text: str) -> str:
    """A value as a word of a Dockerfile, in which nothing is a variable."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("\n", " ")
    return f'"{escaped}"'


def format_ignore(files: Iterable[str], model: str) -> str:
    """A `.dockerignore` that lets the source tree and the model through, and nothing else."""
    lines = ["# Only what Git has and the model: `canon image dockerfile --ignore-file`.", "**"]
    lines += [f"!{_pattern(path)}" for path in sorted(files)]
    return "\n".join([*lines, f"!{_pattern(model)}", "**/__pycache__"]) + "\n"


def _pattern(path: str) -> str:
    return "".join(f"\\{char}" if char in "*?[]\\!#" else char for char in path)
