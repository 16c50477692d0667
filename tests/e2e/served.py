"""A small project that trains a model and says what serves it: always with the same hashes, so that its images have golden digests."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import git
from tests.e2e.faults import canon
from tests.images import make_image

DATE = "2026-01-02T03:04:05Z"
FILES = {
    "pyproject.toml": '[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n',
    ".gitignore": "mlflow.db*\n.mlflow.db.lock\nmlartifacts/\n__pycache__/\n/data\n/model\n/metrics.json\n/results\n",
    "samples/raw.csv": "x\n1\n2\n",
    "params/p.yaml": "fit: {rate: 0.5}\n",
    "fit.py": """\
import json, pathlib
rate = pathlib.Path("params/p.yaml").read_text().split("rate: ")[1].split("}")[0]
raw = pathlib.Path("data/raw.csv").read_text().split()
model = pathlib.Path("model/parts")
model.mkdir(parents=True, exist_ok=True)
(model / "weights.json").write_text(json.dumps({"rate": float(rate), "sum": sum(map(int, raw[1:]))}))
(model.parent / "größe.txt").write_text("ü")
pathlib.Path("metrics.json").write_text(json.dumps({"rate": float(rate)}))
""",
    "lib/common.py": "NAME = 'common'\n",
    "serve.py": "import http.server\nhttp.server.test(port=8080)\n",
    "pipelines/p.yaml": """\
name: p
description: A small model.
environment: {image: example.org/base@DIGEST}
data:
  raw: {path: data/raw.csv, from: {local: samples/raw.csv}}
stages:
  fit:
    cmd: python3 fit.py
    deps: [fit.py, lib, data/raw.csv]
    params: [{params/p.yaml: [fit]}]
    outs: [model]
    metrics: [metrics.json]
artifacts: {net: {path: model, type: model}}
serving: {artifact: net, cmd: python3 serve.py, port: 8080}
""",
}


def served_project(folder: Path, more: Mapping[str, str] | None = None) -> None:
    """Write the project as `project` below ``folder``, its base as the layout `below`, run it and commit it. ``more``: files in place of its own."""
    below = make_image(folder / "below")
    root = folder / "project"
    for path, text in {**FILES, **(more or {})}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text.replace("DIGEST", below))
    (root / "fit.py").chmod(0o755)
    git(root, "init", "-q")
    for command in ("dvc init -q", "canon data pin", "canon render"):
        subprocess.run(command.split(), cwd=root, check=True, capture_output=True)
    git(root, "add", "--all")
    git(root, "commit", "-qm", "declared")
    repro(root)


def repro(root: Path, message: str = "trained") -> None:
    """Run it, and commit what dvc.lock says then."""
    subprocess.run(["dvc", "repro", "-q"], cwd=root, check=True, capture_output=True)
    git(root, "add", "--all")
    git(root, "commit", "-qm", message)


def bake(root: Path, *arguments: str, to: str = "../made") -> str:
    """Bake it into a layout; return the digest."""
    said = canon(root, "image", "bake", "p", "--from", "oci:../below", "--to", f"oci:{to}", *arguments).stdout
    return said.strip().rpartition("@")[2]
