"""The keys of a declaration, and the values that each takes, are those of DVC's schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import voluptuous
from dvc import schema as dvc_schema
from dvc.annotations import ANNOTATION_SCHEMA, ARTIFACT_SCHEMA
from pydantic import BaseModel, ValidationError

from canon.model.declaration import Declaration
from canon.model.definition import (
    Artifact,
    ForeachDefinition,
    OutFlags,
    PlotDefinition,
    PlotFlags,
    StageDefinition,
)
from canon.output.yaml import load_yaml
from tests.conftest import ROOT

GENERATED = sorted((ROOT / "tests" / "golden").glob("*/rendered/**/dvc.yaml"))


# --- The keys of the model are those of DVC's schema -----------------------------------------------------------------


def names(schema: Mapping[Any, Any]) -> set[str]:
    return {str(key.schema if isinstance(key, voluptuous.Marker) else key) for key in schema}


def keys(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


@pytest.mark.parametrize(
    ("model", "schema", "ours"),
    [
        (StageDefinition, dvc_schema.STAGE_DEFINITION, {"pod", "environment"}),
        (ForeachDefinition, dvc_schema.FOREACH_IN, set()),
        (OutFlags, dvc_schema.OUT_PSTAGE_DETAILED_SCHEMA[str], set()),
        (PlotFlags, dvc_schema.PLOT_PROPS_SCHEMA, set()),
        (PlotDefinition, dvc_schema.PLOT_DEFINITION, set()),
        (Artifact, ARTIFACT_SCHEMA, set()),
        (Artifact, {**ANNOTATION_SCHEMA, "path": str}, set()),
    ],
)
def test_a_key_of_dvcs_schema_is_a_key_of_ours(model: type[BaseModel], schema: Mapping[Any, Any], ours: set[str]) -> None:  # fmt: skip
    assert keys(model) - ours == names(schema)
    assert keys(model) >= ours


def test_every_block_of_a_dvc_yaml_can_be_declared() -> None:
    declared = {"params": "parameters"}  # `params` of a declaration are the profiles' overlays
    assert {declared.get(name, name) for name in names(dvc_schema.MULTI_STAGE_SCHEMA)} <= keys(Declaration)


PROBES: list[Any] = ["a", 1, 1.5, True, [], ["a"], [1], [["a"]], {}, {"a": "b"}, {"a": 1}, {"a": ["b"]}, {"a": [1]}, {"a": {}}, {"a": None},
                     [{"a": {}}], [{"a": "b"}], [{"a": {"x": 1}}], [{"a": [{}]}], {1: "a"}, {"a": {"b": "c"}}]  # fmt: skip
STRICTER = {
    # What DVC's schema lets pass and DVC itself refuses or cannot use afterwards.
    ("cmd", "[1]"), ("cmd", "[['a']]"), ("cmd", "[{'a': {}}]"), ("cmd", "[{'a': 'b'}]"), ("cmd", "[{'a': {'x': 1}}]"), ("cmd", "[{'a': [{}]}]"),
    ("params", "[{'a': {}}]"), ("params", "[{'a': 'b'}]"), ("params", "[{'a': {'x': 1}}]"), ("params", "[{'a': [{}]}]"),
}  # fmt: skip


def accepted_by_dvc(definition: Mapping[str, Any]) -> bool:
    try:
        dvc_schema.COMPILED_MULTI_STAGE_SCHEMA({"stages": {"a": definition}})
    except voluptuous.Invalid:
        return False
    return True


def accepted(model: type[BaseModel], value: object) -> bool:
    try:
        model.model_validate(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("key", sorted(names(dvc_schema.STAGE_DEFINITION)))
def test_a_stages_key_takes_the_values_that_dvc_takes(key: str) -> None:
    for value in PROBES:
        definition = {"cmd": "x", key: value}
        if (key, str(value)) not in STRICTER:
            assert accepted(StageDefinition, definition) == accepted_by_dvc(definition), value


@pytest.mark.parametrize("value", PROBES)
def test_foreach_takes_the_values_that_dvc_takes(value: Any) -> None:
    definition = {"foreach": value, "do": {"cmd": "x"}}
    assert accepted(ForeachDefinition, definition) == accepted_by_dvc(definition)


@pytest.mark.parametrize("key", sorted(names(dvc_schema.PLOT_PROPS_SCHEMA)))
def test_an_outs_flag_takes_the_values_that_dvc_takes(key: str) -> None:
    for value in PROBES:
        for kind in ("outs", "plots"):
            definition = {"cmd": "x", kind: [{"a": {key: value}}]}
            assert accepted(StageDefinition, definition) == accepted_by_dvc(definition), (kind, value)


@pytest.mark.parametrize("key", sorted(names(dvc_schema.PLOT_DEFINITION)))
def test_a_plots_key_takes_the_values_that_dvc_takes(key: str) -> None:
    for value in PROBES:
        ours = accepted(PlotDefinition, {key: value})
        try:
            dvc_schema.COMPILED_MULTI_STAGE_SCHEMA({"plots": [{"a": {key: value}}]})
        except voluptuous.Invalid:
            assert not ours, value
        else:
            assert ours, value


# --- What is emitted --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [ROOT / "dvc.yaml", ROOT / "pipelines" / "sunspots" / "dvc.yaml", *GENERATED],
                         ids=lambda path: path.relative_to(ROOT).as_posix())  # fmt: skip
def test_dvcs_schema_takes_the_committed_files(path: Path) -> None:
    dvc_schema.COMPILED_MULTI_STAGE_SCHEMA(load_yaml(path.read_text(), path.name))
