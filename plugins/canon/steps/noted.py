"""What was delivered of the same results before: kept in the remote, so that a commit of other words moves no data to deliver them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from canon.baking.provenance import BakedModel
from canon.baking.trained import BakedLayer
from canon.dvc.track_stage import definition_hash
from canon.image.descriptors import Descriptor
from canon.model.canonical import format_canonical, sha256_of
from canon.model.errors import CanonError
from canon.model.project import Pipeline
from canon.model.result import Result, format_result, result_from_text
from canon.remotes.objects import Objects

NOTED = "canon/results"
"""Folder of the remote, beside `canon/made`: who may write there is believed."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A result, and the layer with its model where an image was baked."""

    result: Result
    baked: BakedLayer | None


def noted_path(pipeline: Pipeline, values: Mapping[str, str]) -> str:
    """Where it is kept for results of stages (stage → value of its entry) under one declaration."""
    return f"{NOTED}/{pipeline.name}/{sha256_of([definition_hash(pipeline), dict(values)])}"


def load_noted(objects: Objects, path: str) -> Noted | None:
    """What was noted; None for nothing, and for what this version did not write. Raises CanonError where the remote does not answer."""
    content = objects.read(path)
    if content is None:
        return None
    try:
        document = json.loads(content)
        baked = document["baked"] and BakedLayer(
            BakedModel.model_validate(document["baked"]["model"]), Descriptor.model_validate(document["baked"]["layer"])
        )
        return Noted(result_from_text(document["result"], path), baked or None)
    except (CanonError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def write_noted(objects: Objects, path: str, noted: Noted) -> None:
    """Note it. Raises CanonError."""
    baked = noted.baked and {"model": noted.baked.model.model_dump(), "layer": noted.baked.layer.document()}
    objects.write(path, format_canonical({"result": format_result(noted.result).decode(), "baked": baked}))
