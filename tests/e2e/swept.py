"""A project to sweep over: `prepare` reads one param, `fit` reads what it makes and another one, `data-raw` reads none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.planned import write_project

FILES: Mapping[str, str] = {
    "pyproject.toml": """\
[tool.canon]
default_profile = "local"
[tool.canon.profiles.local]
[tool.canon.profiles.cluster]
""",
    ".gitignore": "__pycache__/\n/data\nmlflow.db*\n.mlflow.db.lock\nmlartifacts/\n",
    "samples/raw.csv": "1\n2\n3\n",
    "samples/full.csv": "4\n5\n6\n",
    "params/p.yaml": "prepare:\n  scale: 1\nfit:\n  rate: 0.5   # how fast\n  note: x\n",
    "step.py": """\
import json, os, pathlib, sys
params = {}
for line in pathlib.Path("params/p.yaml").read_text().splitlines():
    key, _, value = line.partition(":")
    params[key.strip()] = value.split("#")[0].strip()
stage = sys.argv[1]
if "COUNT" in os.environ:
    with open(os.environ["COUNT"], "a") as log:
        log.write(f"{stage} {params['scale']} {params['rate']}\\n")
if stage == "prepare":
    pathlib.Path("data").mkdir(exist_ok=True)
    total = sum(map(int, pathlib.Path("data/raw.csv").read_text().split()))
    pathlib.Path("data/prepared.txt").write_text(str(total * int(params["scale"])))
else:
    if params["rate"] == os.environ.get("BREAK", "9"):
        sys.exit(3)
    value = float(params["rate"]) * int(pathlib.Path("data/prepared.txt").read_text())
    pathlib.Path("data/fit.json").write_text(json.dumps({"value": value}))
""",
    "pipelines/p.yaml": """\
name: p
data:
  raw: {path: data/raw.csv, from: {local: samples/raw.csv, cluster: samples/full.csv}}
stages:
  prepare:
    cmd: python3 step.py prepare
    deps: [step.py, data/raw.csv]
    params: [{params/p.yaml: [prepare]}]
    outs: [data/prepared.txt]
  fit:
    cmd: python3 step.py fit
    deps: [step.py, data/prepared.txt]
    params: [{params/p.yaml: [fit]}]
    metrics: [data/fit.json]
""",
}


def write_swept(root: Path, files: Mapping[str, str] = FILES) -> None:
    """Write, pin, render and commit it; nothing has run."""
    write_project(root, files)


def executions(log: Path) -> list[str]:
    """What has run so far, sorted: stage, scale and rate."""
    return sorted(log.read_text().splitlines()) if log.exists() else []


def counted(log: Path, **more: str) -> dict[str, str]:
    """The environment in which stages note that they ran."""
    return {**os.environ, "COUNT": str(log), **more}
