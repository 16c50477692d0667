"""Which stages have run-cache entries that other machines can use: our reasons, DVC's rule, and what `dvc push` really sends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dvc.dvcfile import load_file
from dvc.repo import Repo
from dvc.stage.cache import _can_hash

from canon.dvc.entries import load_entry_here
from canon.dvc.resolve import resolve_stages
from canon.dvc.runcache import reasons_without_entry, run_cache_key, run_cache_path
from canon.model.stage import stage_from_definition
from canon.output.yaml import load_yaml
from tests.conftest import Run

pytestmark = pytest.mark.usefixtures("quick")

STAGES: dict[str, tuple[bool, dict[str, Any]]] = {
    "plain": (True, {"deps": ["d"], "outs": ["plain.o"]}),
    "params": (True, {"params": ["a"], "outs": ["params.o"]}),
    "empty": (False, {"params": [{"empty.yaml": None}], "outs": ["empty.o"]}),
    "frozen": (True, {"frozen": True, "deps": ["d"], "outs": ["frozen.o"]}),
    "metric": (True, {"deps": ["d"], "metrics": [{"metric.o": {"cache": False}}]}),
    "plot": (True, {"deps": ["d"], "plots": [{"plot.o": {"cache": False}}]}),
    "uncached": (False, {"deps": ["d"], "outs": [{"uncached.o": {"cache": False}}]}),
    "kept": (False, {"deps": ["d"], "outs": [{"kept.o": {"persist": True}}]}),
    "unpushed": (False, {"deps": ["d"], "outs": [{"unpushed.o": {"push": False}}]}),
    "always": (False, {"deps": ["d"], "always_changed": True, "outs": ["always.o"]}),
    "nothing": (False, {"outs": ["nothing.o"]}),
    "outless": (False, {"deps": ["d"]}),
    "mixed": (False, {"deps": ["d"], "outs": ["mixed.o", {"mixed2.o": {"cache": False}}]}),
}  # fmt: skip


def test_what_repro_and_push_send_to_a_remote_is_what_the_reasons_say(tmp_path: Path, run: Run) -> None:
    root, remote = tmp_path / "root", tmp_path / "remote"
    root.mkdir()
    run(root, "dvc", "init", "-q", "--no-scm")
    run(root, "dvc", "remote", "add", "-q", "-d", "store", str(remote))
    for file, text in {"d": "d", "params.yaml": "a: 1\n", "empty.yaml": "{}\n", "frozen.o": "frozen"}.items():
        (root / file).write_text(text)
    stages = {
        name: {"cmd": f"for o in {name}.o {name}2.o; do echo {name} > $o; done", **definition}
        for name, (_, definition) in STAGES.items()
    }
    (root / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    run(root, "dvc", "repro", "-q")
    run(root, "dvc", "push", "-q", "--run-cache")
    for stage in resolve_stages(root, "dvc.yaml", load_yaml((root / "dvc.yaml").read_text(), "dvc.yaml")):
        expected = STAGES[stage.name][0]
        entry = load_entry_here(root, stage)
        outs = {out["path"]: out["md5"] for out in entry.get("outs", ())}
        sent = (remote / run_cache_path(run_cache_key(entry))).is_dir() and all(
            (remote / "files/md5" / outs[out.path][:2] / outs[out.path][2:]).is_file()
            for out in stage.outs
            if out.cache
        )
        assert sent == expected, stage.name
        assert (not reasons_without_entry(stage, entry)) == expected, stage.name


@pytest.mark.parametrize(
    "definition",
    [
        {"deps": ["http://localhost/x"], "outs": ["o"]},
        {"deps": ["d", "ds://data"], "outs": ["o"]},
        {"params": [{"http://localhost/p.yaml": ["a"]}], "outs": ["o"]},
        {"deps": ["d"], "outs": [{"http://localhost/o": {"cache": False}}]},
        {"deps": ["d"], "metrics": [{"../o": {"cache": False}}]},
        {"deps": ["d"], "metrics": [{"/elsewhere/o": {"cache": False}}]},
        {"deps": ["d"], "outs": ["o"]},
    ],
    ids=str,
)  # fmt: skip
def test_what_lies_elsewhere_has_a_reason_where_dvc_makes_no_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, definition: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").write_text("d")
    definition = {"cmd": "x", **definition}
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"s": definition}}))
        kept = _can_hash(load_file(repo, "dvc.yaml").stages["s"])
    assert (not reasons_without_entry(stage_from_definition("s", definition))) == kept
