"""The Workflow of a large sweep as the controller would run it: its DAGs are the rendered ones, its pods say what they are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.clustered import HEAD, SWEPT, SWEPT_PARAMS, make_clustered, sweep_of
from tests.harness.fixtures import MakeHarness
from tests.harness.manifests import PRIVATE, single

POINTS = 150
"""Pods in three blocks."""
PASSED = {
    "p0-prepare": True,
    "p0-train": True,
    "p0-judge": True,
    "deliver-0": True,
    "p1-train": True,
    "p1-judge": True,
    "deliver-1": True,
}


def replaced(template: dict[str, Any], outputs: dict[str, dict[str, str]]) -> dict[str, Any]:
    """A template whose pod is a shell: names, inputs, and outputs stay."""
    kept: dict[str, Any] = {key: template[key] for key in ("name", "inputs", "outputs") if key in template}
    script = "exit 0"
    if template["name"] in outputs:
        script = "\n".join(
            f"printf '%s' '{text}' > /private/{name}" for name, text in outputs[template["name"]].items()
        )
        kept["volumes"] = [{"name": "private", "emptyDir": {}}]
        kept["outputs"] = {
            "parameters": [
                {"name": name, "valueFrom": {"path": f"/private/{name}"}} for name in outputs[template["name"]]
            ]
        }
        if template["name"] == "next":
            script = 'echo "block {{inputs.parameters.block}}"\n' + script + '\n[ "{{inputs.parameters.block}}" != 3 ]'
    elif template["name"].startswith("stage"):
        script = 'echo "{{inputs.parameters.task}} of {{inputs.parameters.point}}"\n[ "{{inputs.parameters.task}}{{inputs.parameters.point}}" != train1 ]'
    return {**kept, "container": single(script, mounts=PRIVATE if template["name"] in outputs else [])}


def test_blocks_go_on_with_what_can_and_the_end_says_what_has_failed(tmp_path: Path, make_harness: MakeHarness) -> None:
    root = make_clustered(tmp_path, HEAD + SWEPT)
    (root / "p.yaml").write_text(SWEPT_PARAMS)
    manifest, layout = sweep_of(root, [{"p.yaml": {"lr": number}} for number in range(POINTS)])
    runs = {node.name: node.name in PASSED for node in layout.nodes}
    after = {name: is_run and name not in {"p1-judge", "deliver-1"} for name, is_run in runs.items()}
    outputs = {"plan": {"run": json.dumps(runs), "image": "user:1", "revision": ""}, "next": {"run": json.dumps(after)}}
    spec = manifest["spec"]
    spec["templates"] = [each if "dag" in each else replaced(each, outputs) for each in spec["templates"]]
    report = make_harness().run({**_head(manifest), "spec": spec})
    assert report.phase == "Failed"
    ran = {node.name.partition(".")[2]: node.phase for node in report.nodes if node.kind == "Pod"}
    assert ran == {
        "plan": "Succeeded",
        "stages-1.p0-prepare": "Succeeded", "stages-1.p0-train": "Succeeded", "stages-1.p1-train": "Failed", "next-1": "Succeeded",
        "stages-1.p0-judge": "Succeeded", "next-2": "Succeeded", "stages-2.deliver-0": "Succeeded", "end": "Failed",
    }  # fmt: skip
    assert report.log("stages-1.p1-train") == "train of 1\n"
    assert (report.log("next-2"), report.log("end")) == ("block 2\n", "block 3\n")
    phases = report.phases()
    assert [phases[f"stages-{number}"] for number in (1, 2, 3)] == ["Failed", "Succeeded", "Succeeded"]
    assert (phases["stages-1.p1-judge"], phases["stages-2.deliver-1"]) == ("Omitted", "Skipped")


def _head(manifest: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": manifest["apiVersion"],
        "kind": "Workflow",
        "metadata": {"name": "toy-sweep", "namespace": "default"},
    }
