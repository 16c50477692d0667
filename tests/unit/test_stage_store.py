"""Where users' own runs inside stages go, and which stores have to be there before two stages use them at once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from canon.mlflow import stage_store
from canon.mlflow.stage_store import StageCode, make_stores, stage_addresses
from canon.model.stage import Out, Stage


def store_of(root: Path) -> str:
    return f"sqlite:///{root}/mlflow.db"


@pytest.mark.parametrize(
    ("stage", "uses"),
    [
        (Stage("a", "mlflow run ."), True),
        (Stage("a", ("true", "MLFLOW_X=1 python x.py")), True),
        (Stage("a", "python code.py", deps=("code.py",)), True),
        (Stage("a", "python run.py", deps=("package",)), True),
        (Stage("a", "python code.py", wdir="package", deps=("../code.py",)), True),
        (Stage("a", "python run.py", deps=("data", "large.py", "missing.py", "made.py", "s3://bucket/mlflow")), False),
    ],
)
def test_a_stage_may_use_mlflow_where_what_it_declares_names_it(tmp_path: Path, stage: Stage, *, uses: bool) -> None:
    for folder in ("package/inner", "data"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("code.py", "package/inner/module.py", "data/text.csv", "made.py"):
        (tmp_path / file).write_text("import mlflow\n")
    (tmp_path / "large.py").write_text("import mlflow\n" + "#" * (1 << 20))
    makes = Stage("makes", "true", outs=(Out("made.py"),))
    assert StageCode(tmp_path, (makes, stage)).uses_mlflow(stage) is uses


ROOT_STAGE, BELOW = Stage("here", "python x.py"), Stage("below", "python x.py", wdir="sub")


def test_a_stage_is_told_the_store_where_its_own_folder_is_not_the_stores(tmp_path: Path) -> None:
    uri, copy = store_of(tmp_path), tmp_path / "copy"
    assert stage_addresses(uri, (ROOT_STAGE, BELOW), tmp_path) == {"below": uri}
    assert stage_addresses(uri, (ROOT_STAGE, BELOW), copy) == {"here": uri, "below": uri}  # a copy vanishes
    assert stage_addresses("postgresql://host/rows", (ROOT_STAGE, BELOW), tmp_path) == {}
    for path in ("mlflow.db", "sub/mlruns", "mlruns/0"):
        assert stage_addresses(uri, (Stage("a", "x", outs=(Out(path),)), BELOW), tmp_path) == {}
        assert stage_addresses(uri, (Stage("a", "x", deps=(path,)), BELOW), tmp_path) == {}


def test_what_the_user_says_stands_and_another_pythons_mlflow_gets_no_store_of_this_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = store_of(tmp_path)
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
        assert stage_addresses(uri, (BELOW,), tmp_path) == {}
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert stage_addresses(uri, (BELOW,), tmp_path) == {}


def test_a_store_is_made_where_two_stages_may_be_the_first_to_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Path, Path]] = []
    monkeypatch.setattr(stage_store, "make_store", lambda file, folder: made.append((file, folder)))
    uri, copy = store_of(tmp_path), tmp_path / "copy"
    uses = [Stage(name, "mlflow run .") for name in ("a", "b")]
    plain, own = Stage("c", "true"), Stage("d", "mlflow run .", wdir="sub")
    make_stores(StageCode(tmp_path, (uses[0], plain)), uri, tmp_path, {})
    make_stores(StageCode(tmp_path, (uses[0], own)), uri, tmp_path, {})  # each a store of its own
    assert made == []
    make_stores(StageCode(tmp_path, (*uses, plain)), uri, tmp_path, {})
    make_stores(StageCode(tmp_path, (uses[0], own)), uri, tmp_path, {"d": uri})
    make_stores(StageCode(copy, uses), uri, tmp_path, {"a": uri, "b": uri})
    assert made == [(tmp_path / "mlflow.db", tmp_path)] * 3
    make_stores(StageCode(tmp_path, (*uses, Stage("e", "x", outs=(Out("mlflow.db"),)))), uri, tmp_path, {})
    (tmp_path / "mlflow.db").touch()
    make_stores(StageCode(tmp_path, uses), uri, tmp_path, {})
    assert len(made) == 3
