"""The metrics that a workspace has."""

from __future__ import annotations

from pathlib import Path

from canon.model.project import load_project
from canon.running.metrics import LARGEST, load_metrics

SETTINGS = '[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n'
DECLARED = """\
name: toy
dvc_file: sub/dvc.yaml
stages:
  fit: {cmd: x, outs: [o.json], metrics: [m.json, sub/m.yaml: {cache: false}, gone.json, broken.json, text.json]}
  none: {cmd: x, outs: [p]}
"""


def test_of_each_stage_what_can_be_read(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": SETTINGS, "pipelines/toy.yaml": DECLARED, "m.json": '{"rmse": 0.5, "a": {"b": 1, "c": "x"}}', "sub/m.yaml": "r2: .nan\n",
        "broken.json": "{", "o.json": '{"no": 1}', "text.json": '"x"',
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = load_metrics(load_project(tmp_path))
    assert {stage: {name: str(value) for name, value in metrics.items()} for stage, metrics in found.items()} == {
        "sub/dvc.yaml:fit": {"rmse": "0.5", "a.b": "1.0", "r2": "nan"}
    }
    (tmp_path / "m.json").write_text(" " * LARGEST + '{"rmse": 1}')
    assert "rmse" not in load_metrics(load_project(tmp_path))["sub/dvc.yaml:fit"]
