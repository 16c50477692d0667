"""The Workflow of the design as a whole, as the real controller ran it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clustered import make_clustered, template_of, workflow_of
from tests.harness.fixtures import MakeHarness
from tests.harness.harness import Harness
from tests.harness.manifests import pipeline, single, stage_template, workflow

ALL = {"prepare": True, "fit-gb": True, "train": True, "evaluate": True}
NONE = dict.fromkeys(ALL, False)


def test_plan_stages_and_deliver_run_in_order(harness: Harness) -> None:
    harness.apply(pipeline(ALL))
    report = harness.run(workflow(revision="abc"))
    assert report.phase == "Succeeded", report
    assert report.pods == 6
    began = [node.name for node in report.nodes if node.kind == "Pod"]
    assert began == [
        "co2.plan(0)", "co2.level-1.prepare(0)", "co2.level-1.fit-gb(0)", "co2.level-2.train(0)", "co2.level-2.evaluate(0)", "co2.deliver",
    ]  # fmt: skip
    assert report.log("plan(0)") == "plan abc\n"
    assert report.log("level-2.train(0)", "fetch") == f"fetched for {report.uid}\n"
    assert report.log("level-2.train(0)") == "running\n"
    assert report.log("level-2.train(0)", "push") == "saved train\n"
    assert report.node("level-2.train(0)").codes == {"code": 0, "fetch": 0, "main": 0, "push": 0}


def test_what_is_skipped_starts_no_pod(harness: Harness) -> None:
    harness.apply(pipeline(NONE, deliver=False))
    report = harness.run(workflow())
    assert (report.phase, report.pods) == ("Succeeded", 1)
    assert report.phases() == {
        "plan": "Succeeded", "plan(0)": "Succeeded",
        "level-1": "Succeeded", "level-1.prepare": "Skipped", "level-1.fit-gb": "Skipped",
        "level-2": "Succeeded", "level-2.train": "Skipped", "level-2.evaluate": "Skipped",
        "deliver": "Skipped",
    }  # fmt: skip
    assert report.node("deliver").message == "when 'false == true' evaluated false"


def test_a_task_runs_after_a_skipped_one(harness: Harness) -> None:
    harness.apply(pipeline({**NONE, "evaluate": True}))
    report = harness.run(workflow())
    assert (report.phase, report.pods) == ("Succeeded", 3)
    assert report.node("level-2.train").phase == "Skipped"
    assert report.node("level-2.evaluate").phase == "Succeeded"


def test_a_failing_stage_ends_the_workflow_and_shows_its_exit_code(harness: Harness) -> None:
    script = "cd /work; echo 3 > run/exit; exit 3"
    harness.apply(pipeline(ALL, stage=stage_template(main=script)))
    report = harness.run(workflow())
    assert (report.phase, report.pods) == ("Failed", 2)
    failed = report.node("level-1.prepare")
    assert (failed.phase, failed.exit_code, failed.message) == ("Failed", 3, "main: Error (exit code 3)")
    assert report.node("level-1.fit-gb").phase == "Omitted"
    assert [report.node(name).phase for name in ("level-1", "level-2", "deliver")] == ["Failed", "Omitted", "Omitted"]


@pytest.mark.parametrize("count", [200])
def test_many_skipped_tasks_cost_nothing(harness: Harness, count: int) -> None:
    names = [f"task-{number}" for number in range(count)]
    manifest = pipeline(dict.fromkeys(names, False), deliver=False)
    tasks = manifest["spec"]["templates"][1]["dag"]["tasks"]
    first = tasks[0]
    tasks[:] = [
        {**first, "name": name, "when": first["when"].replace("prepare", name), **({"depends": f"{before}.Succeeded || {before}.Skipped"} if before else {})}
        for name, before in zip(names, ["", *names], strict=False)
    ]  # fmt: skip
    manifest["spec"]["templates"][0]["dag"]["tasks"] = manifest["spec"]["templates"][0]["dag"]["tasks"][:2]
    harness.apply(manifest)
    report = harness.run(workflow())
    assert (report.phase, report.pods) == ("Succeeded", 1), report
    assert [node.phase for node in report.nodes].count("Skipped") == count


@pytest.mark.parametrize(
    "text", ["$(AWS_SECRET_ACCESS_KEY)", "$$(CANON_PIPELINE) $HOME $", "{{workflow.name}}\"\n'x\\"]
)
def test_a_parameter_reaches_plan_as_it_was_given(make_harness: MakeHarness, tmp_path: Path, text: str) -> None:
    """A kubelet replaces `$(NAME)` in a variable's value, by a Secret's as by any other: a message that quotes it would print that."""
    manifest = workflow_of(make_clustered(tmp_path))
    plan = template_of(manifest, "plan")
    plan["container"] |= single('printf "%s|" "$CANON_REVISION" "$CANON_SET" "$CANON_FRESH"')
    del plan["outputs"], plan["retryStrategy"]
    manifest["spec"] |= {"entrypoint": "plan", "templates": [plan]}
    harness = make_harness(
        namespace="ml", secrets={"canon-toy-cluster-remote": {"AWS_SECRET_ACCESS_KEY": "a secret that nobody prints"}}
    )
    harness.apply(manifest)
    started = workflow(revision=text, set=text, fresh=text)
    started["spec"]["workflowTemplateRef"] = {"name": "toy-cluster"}
    started["metadata"]["namespace"] = "ml"
    report = harness.run(started)
    assert report.phase == "Succeeded", report
    given = text.replace("{{workflow.name}}", report.name)  # the controller's own names are no secret
    assert report.log("") == f"{given}|" * 3
