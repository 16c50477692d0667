from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from canon.model.project import declaration_files
from canon.model.schema import build_schema
from canon.output.yaml import load_yaml
from tests.conftest import ROOT

DECLARED = [ROOT / file for file in declaration_files(ROOT)]
DECLARED += [project / file for project in sorted((ROOT / "tests" / "golden").glob("*/project")) for file in declaration_files(project)]  # fmt: skip
VALIDATOR = jsonschema.Draft202012Validator(json.loads((ROOT / "pipelines" / "pipeline.schema.json").read_text()))


def test_the_schema_is_one() -> None:
    for settings in (False, True):
        jsonschema.Draft202012Validator.check_schema(build_schema(settings=settings))


@pytest.mark.parametrize("file", DECLARED, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_a_declaration_is_valid_in_an_editor_and_says_which_schema(file: Path) -> None:
    text = file.read_text()
    assert [error.message for error in VALIDATOR.iter_errors(json.loads(json.dumps(load_yaml(text, file.name))))] == []
    first = text.splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (file.parent / first.partition("=")[2]).resolve() == ROOT / "pipelines" / "pipeline.schema.json"


def test_the_settings_of_this_project_are_valid() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["canon"]
    jsonschema.Draft202012Validator(build_schema(settings=True)).validate(table)


STAGES = {"a": {"cmd": "x"}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "co2"},
        {"name": "CO2", "stages": STAGES},
        {"name": "co2", "stages": {}},
        {"name": "co2", "stages": STAGES, "stage": {}},
        {"name": "co2", "stages": {"a": {}}},
        {"name": "co2", "stages": {"a": {"cmd": 3}}},
        {"name": "co2", "stages": {"a": {"cmd": ""}}},
        {"name": "co2", "stages": {"a": {"cmd": "x", "dep": []}}},
        {"name": "co2", "stages": {"a": {"cmd": "x", "deps": "a"}}},
        {"name": "co2", "stages": {"a": {"cmd": "x", "outs": [{"a": {"cache": "no"}}]}}},
        {"name": "co2", "stages": {"a": {"cmd": "x", "pod": {"memory": "1 GB"}}}},
        {"name": "co2", "stages": {"a": {"cmd": "x", "pod": {"cpu": 0}}}},
        {"name": "co2", "stages": {"a": {"foreach": [1]}}},
        {"name": "co2", "stages": {"a": {"foreach": [1], "do": {"cmd": "x"}, "cmd": "x"}}},
        {"name": "co2", "stages": STAGES, "track": "yes"},
        {"name": "co2", "stages": STAGES, "dvc_file": "a.yaml"},
        {"name": "co2", "stages": STAGES, "data": {"raw": {"path": "a"}}},
        {"name": "co2", "stages": STAGES, "artifacts": {"a": {"type": "model"}}},
        {"name": "co2", "stages": STAGES, "workflow": {"group": "all"}},
        {"name": "co2", "stages": STAGES, "deploy": {"a": {"namespace": "b", "gates": ["rmse"]}}},
    ],
    ids=str,
)
def test_an_editor_marks_what_is_wrong(wrong: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(wrong)


def test_a_key_is_described_where_its_name_does_not_say_enough() -> None:
    described = build_schema()["properties"]
    assert "description" in described["params"]
    assert "description" in described["track"]
