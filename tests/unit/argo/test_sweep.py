"""The Workflow of a sweep: which pods wait for which, and what happens where one fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from canon.model.errors import ProblemsError
from tests.clustered import HEAD, SWEPT, SWEPT_PARAMS, make_clustered, sweep_of, template_of


def swept(root: Path, count: int, declaration: str = HEAD + SWEPT) -> dict[str, Any]:
    make_clustered(root, declaration)
    (root / "p.yaml").write_text(SWEPT_PARAMS)
    return sweep_of(root, [{"p.yaml": {"lr": number}} for number in range(count)])[0]


def tasks(manifest: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    return {task["name"]: task for task in template_of(manifest, name)["dag"]["tasks"]}


def given(task: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in task["arguments"]["parameters"]}


def test_each_point_is_a_workflow_to_its_pods(tmp_path: Path) -> None:
    manifest = swept(tmp_path, 2)
    found = tasks(manifest, "stages")
    assert list(found) == ["p0-prepare", "p0-train", "p0-judge", "deliver-0", "p1-train", "p1-judge", "deliver-1"]
    assert found["p1-train"]["depends"] == "(p0-prepare.Succeeded || p0-prepare.Skipped)"
    assert found["deliver-1"]["depends"] == "(p1-judge.Succeeded || p1-judge.Skipped)"
    assert [given(task)["point"] for task in found.values()] == ["0", "0", "0", "0", "1", "1", "1"]
    assert (given(found["p1-train"])["task"], given(found["deliver-1"])) == (
        "train",
        {"point": "1", "revision": "{{inputs.parameters.revision}}"},
    )
    for name in ("stage", "stage-2", "deliver"):
        template = template_of(manifest, name)
        containers = template.get("containerSet", {}).get("containers") or [template["container"]]
        workflows = [each["value"] for one in containers for each in one["env"] if each["name"] == "CANON_WORKFLOW"]
        assert set(workflows) == {"{{workflow.uid}}.{{inputs.parameters.point}}"}
    plan = template_of(manifest, "plan")["container"]
    names = {each["name"]: each.get("value") for each in plan["env"]}
    assert plan["args"] == ["step", "sweep"]
    assert names["CANON_WORKFLOW"] == "{{workflow.uid}}"
    assert names["CANON_POINTS"] == "{{=replace(workflow.parameters.points, '$', '$$')}}"
    assert not {"CANON_SET", "CANON_FRESH"} & names.keys()
    assert [each["name"] for each in manifest["spec"]["arguments"]["parameters"]] == ["revision", "points"]
    assert manifest["metadata"]["annotations"]["workflows.argoproj.io/title"] == "toy (cluster): 2 points"


def test_a_task_that_fails_stops_nothing_of_other_points(tmp_path: Path) -> None:
    for template in swept(tmp_path, 2)["spec"]["templates"]:
        assert template.get("dag", {"failFast": False})["failFast"] is False


def test_more_pods_than_a_dag_may_have_are_cut_and_looked_at_between(tmp_path: Path) -> None:
    manifest = swept(tmp_path, 150)
    main = tasks(manifest, "main")
    assert list(main) == ["plan", "stages-1", "next-1", "stages-2", "next-2", "stages-3", "end"]
    for number, after in ((1, "next-1"), (2, "next-2"), (3, "end")):
        block = f"stages-{number}"
        assert main[after]["depends"] == f"{block}.Succeeded || {block}.Failed || {block}.Errored"
        assert given(main[after]) == {"block": str(number)}
    assert main["stages-2"]["depends"] == "next-1.Succeeded"
    assert given(main["stages-2"])["run"] == "{{tasks.next-1.outputs.parameters.run}}"
    counts = [len(tasks(manifest, f"stages-{number}")) for number in (1, 2, 3)]
    assert (counts, sum(counts)) == ([200, 200, 51], 1 + 3 * 150)
    assert template_of(manifest, "next")["container"]["args"] == ["step", "next"]


@pytest.mark.soak
def test_a_sweep_that_is_too_large_is_refused_with_what_helps(tmp_path: Path) -> None:
    stages = "stages:\n" + "".join(
        f"  long-name-of-a-stage-{number}: {{cmd: x, deps: [x], params: [{{p.yaml: [lr]}}], outs: [out-{number}]}}\n" for number in range(40)
    )  # fmt: skip
    with pytest.raises(ProblemsError, match=r"the spec has .* bytes"):
        swept(tmp_path, 150, HEAD + stages)
