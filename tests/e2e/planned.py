"""A project whose stages read from one another in every way that there is: a file, a part of a folder, a folder that others write into."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import S3, git

FILES = {
    "pyproject.toml": """\
[tool.canon]
default_profile = "local"
[tool.canon.profiles.local]
remote = "store"
[tool.canon.profiles.cluster]
remote = "store"
""",
    ".gitignore": "__pycache__/\n/data\n/results\n",
    "samples/raw.csv": "1\n2\n3\n",
    "samples/full.csv": "4\n5\n6\n7\n",
    "params/p.yaml": "fit: {rate: 0.5}\nnames: [a, b]\n",
    "notes/fixed.txt": "from Git\n",
    "prepare.py": """\
import pathlib
numbers = pathlib.Path("data/raw.csv").read_text().split()
out = pathlib.Path("data/prepared/deep")
out.mkdir(parents=True, exist_ok=True)
(out / "sum.txt").write_text(str(sum(map(int, numbers))))
(out.parent / "count.txt").write_text(str(len(numbers)))
""",
    "fit.py": """\
import json, pathlib, sys
name = sys.argv[1]
rate = float(pathlib.Path("params/p.yaml").read_text().split("rate: ")[1].split("}")[0])
total = int(pathlib.Path("data/prepared/deep/sum.txt").read_text())
pathlib.Path("results/fit").mkdir(parents=True, exist_ok=True)
pathlib.Path(f"results/fit/{name}.json").write_text(json.dumps({"name": name, "value": rate * total}))
""",
    "compare.py": """\
import json, pathlib
found = [json.loads(path.read_text()) for path in sorted(pathlib.Path("results/fit").glob("*.json"))]
pathlib.Path("results/all.json").write_text(json.dumps(found))
""",
    "pipelines/p.yaml": """\
name: p
track: false
vars: [params/p.yaml]
data:
  raw: {path: data/raw.csv, from: {local: samples/raw.csv, cluster: samples/full.csv}}
stages:
  prepare:
    cmd: python3 prepare.py
    deps: [prepare.py, data/raw.csv]
    outs: [data/prepared]
  fit:
    foreach: ${names}
    do:
      cmd: python3 fit.py ${item}
      deps: [fit.py, data/prepared/deep, data/prepared/count.txt]
      params: [{params/p.yaml: [fit]}]
      outs: ["results/fit/${item}.json"]
  compare:
    cmd: python3 compare.py
    deps: [compare.py, results/fit, notes]
    outs: [results/all.json]
""",
}


def write_project(root: Path, files: Mapping[str, str] = FILES) -> None:
    """Write, pin, render and commit it."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    git(root, "init", "-q", "-b", "main")
    for command in ("dvc init -q", "canon data pin", "canon data pin --profile cluster", "canon render"):
        subprocess.run(command.split(), cwd=root, check=True, capture_output=True)
    git(root, "add", "--all")
    git(root, "commit", "-qm", "declared")


def add_remote(root: Path, s3: S3, prefix: str = "dvc") -> None:
    """Give it a remote on S3, as its default one, and commit that."""
    for command in (
        ("dvc", "remote", "add", "-q", "-d", "store", f"s3://{s3.bucket}/{prefix}"),
        ("dvc", "remote", "modify", "-q", "store", "endpointurl", s3.endpoint),
    ):
        subprocess.run(command, cwd=root, check=True, capture_output=True)
    git(root, "commit", "-qam", "remote")


def run_and_push(root: Path) -> None:
    """Run what changed, and push data and entries by DVC itself."""
    for command in ("dvc repro -q", "dvc push -q --run-cache"):
        subprocess.run(command.split(), cwd=root, check=True, capture_output=True)
