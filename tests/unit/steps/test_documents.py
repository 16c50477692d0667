"""What pods tell one another: kept for a while, and refused where it is not what they wrote."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from canon.model.errors import CanonError
from canon.model.stage import Out, Stage
from canon.remotes.folder import FolderObjects
from canon.steps.documents import (
    FOLDER,
    KEPT,
    load_plan,
    load_record,
    plan_path,
    record_path,
    remove_old,
    stage_document,
    stage_from_document,
)


def test_what_is_old_goes(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    for uid in ("old", "new"):
        objects.write(plan_path(uid), b"{}")
        objects.write(record_path(uid, "task"), b"{}")
    objects.write("canon/made/x", b"{}")
    now = time.time()
    for path in [*(tmp_path / FOLDER / "old").rglob("*.json"), tmp_path / "canon/made/x"]:
        os.utime(path, (now - KEPT - 1, now - KEPT - 1))
    assert remove_old(objects, now) == 2
    assert (objects.read(plan_path("old")), objects.read(plan_path("new"))) == (None, b"{}")
    assert objects.read("canon/made/x") == b"{}"
    assert remove_old(objects, now) == 0


@pytest.mark.parametrize("uid", ["", "../x", "a/b", "x" * 65])
def test_a_uid_leads_nowhere_else(uid: str) -> None:
    with pytest.raises(CanonError, match="is no uid of a workflow"):
        plan_path(uid)


@pytest.mark.parametrize("content", [b"[]", b"{}", b"\xff", b'{"protocol": 2}'])
def test_another_plan_is_refused(tmp_path: Path, content: bytes) -> None:
    objects = FolderObjects(tmp_path)
    with pytest.raises(CanonError, match="has no plan of the workflow"):
        load_plan(objects, "one")
    objects.write(plan_path("one"), content)
    with pytest.raises(CanonError, match="is not one of protocol 1"):
        load_plan(objects, "one")
    objects.write(record_path("one", "task"), content)
    with pytest.raises(CanonError, match="is damaged"):
        load_record(objects, "one", "task")


def test_a_stage_comes_back_as_it_was() -> None:
    stage = Stage(
        "fit@a",
        ("one", "two"),
        "x/dvc.yaml",
        "..",
        ("a",),
        (("p.yaml", ("k",)), ("q.yaml", ())),
        (Out("o", "metrics", cache=False),),
        meta={"a": [1]},
    )
    assert stage_from_document(stage_document(stage), "fit@a") == stage
    with pytest.raises(CanonError, match="does not say what `x` is"):
        stage_from_document({"name": "x", "other": 1}, "x")
