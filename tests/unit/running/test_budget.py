"""How many stages run side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from canon.model.project import load_project
from canon.running import budget as budget_module
from canon.running.budget import Budget, Need, declared_needs, machine, parse_quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", 0.5), ("2", 2), (1.5, 1.5), ("2Gi", 2 * 2**30), ("1k", 1000), ("1e3", 1000), ("1.5M", 1.5e6), ("1E", 1e18), ("3Ki", 3072), (".5", 0.5)],
)  # fmt: skip
def test_quantities_are_numbers(text: str | float, number: float) -> None:
    assert parse_quantity(text) == pytest.approx(number)


def test_what_stages_declare_together_has_to_fit() -> None:
    needs = {"a": Need(2, 0), "b": Need(1.5, 0), "m": Need(0, 600), "group": Need(3, 0)}
    budget = Budget(4, Need(4, 1000), needs)
    assert budget.allows("a", ["b"])
    assert not budget.allows("a", ["b", "a"])
    assert not budget.allows("m", ["m"])
    assert budget.allows("m", ["a", "b"])
    assert not budget.allows("group@x", ["a"]), "members of a group need what the group says"
    assert budget.allows("other", ["a", "b", "m"])
    assert not budget.allows("other", ["1", "2", "3", "4"])


def test_a_stage_that_needs_more_than_there_is_runs_alone() -> None:
    budget = Budget(4, Need(4, 1000), {"huge": Need(64, 1e12)})
    assert budget.allows("huge", [])
    assert not budget.allows("huge", ["small"])
    assert not budget.allows("small", ["huge"])


def test_needs_are_read_from_the_declarations(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n')
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/a.yaml").write_text(
        "name: a\ndvc_file: sub/dvc.yaml\nstages:\n  fit: {foreach: [1, 2], do: {cmd: x, outs: ['o${item}'], pod: {cpu: 500m, memory: 1Gi}}}\n"
        "  last: {cmd: x, outs: [o]}\n"
    )
    assert declared_needs(load_project(tmp_path)) == {"sub/dvc.yaml:fit": Need(0.5, 2**30)}


def test_a_container_has_what_its_limits_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory").write_text("1000000\n")
    (tmp_path / "cpu").write_text("150000 100000\n")
    monkeypatch.setattr(budget_module, "_CGROUP_MEMORY", tmp_path / "memory")
    monkeypatch.setattr(budget_module, "_CGROUP_CPU", tmp_path / "cpu")
    assert machine() == Need(min(1.5, machine().cpu), 1_000_000)
    (tmp_path / "memory").write_text("max\n")
    (tmp_path / "cpu").write_text("max 100000\n")
    assert machine().memory > 1_000_000
    assert machine().cpu >= 1
