"""Names in tags and expressions."""

from __future__ import annotations

import pytest

from canon.argo.expressions import RETRIED, Scope, expression_findings, jsonpath_keys, tag_findings
from canon.argo.pods import RETRY

SCOPE = Scope(workflow={"revision"}, inputs={"run", "image"}, outputs={"plan": {"run"}, "fit-gb": {"entry"}})


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "{{workflow.uid}} {{ workflow.parameters.revision }}",
        "{{tasks.plan.outputs.parameters.run}} == true",
        "{{=jsonpath(inputs.parameters.run, \"$['fit-gb']\")}} == true",
        "{{=tasks['fit-gb'].outputs.parameters.entry ?? jsonpath(inputs.parameters['run'], '$.x')}}",
        "{{=asInt(inputs.parameters.run) in [1, 2] and not (inputs.parameters.image contains 'x') || false}}",
    ],
)
def test_names_that_exist_are_taken(text: str) -> None:
    assert list(tag_findings(text, SCOPE)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{=jsonpath(inputs.parameters.rum, '$.x')}}", "`inputs.parameters.rum`: the template has no input `rum`"),
        ("{{inputs.parameters.rum}}", "the template has no input `rum`"),
        ("{{workflow.parameters.revison}}", "the Workflow has no parameter `revison`"),
        ("{{workflow.annotations.canon.dev/revision}}", "the Workflow has no annotation `canon.dev/revision`"),
        ("{{workflow.labels.x}}", "there is nothing of this name here"),
        ("{{tasks.plam.outputs.parameters.run}}", "there is no task `plam` in this DAG"),
        ("{{tasks.plan.outputs.parameters.rum}}", "the task `plan` has no output `rum`"),
        ("{{=tasks['fit-gp'].outputs.parameters.entry}}", "there is no task `fit-gp` in this DAG"),
        ("{{=jsonpth(inputs.parameters.run, '$.x')}}", "`jsonpth`: there is nothing of this name here"),
        ("{{=jsonpath}}", "`jsonpath`: there is nothing of this name here"),
        ("{{=lastRetry.status}}", "`lastRetry.status`: there is nothing of this name here"),
        ("{{workflow.uid", "does not close it"),
    ],
)
def test_a_name_that_does_not_exist_is_found(text: str, said: str) -> None:
    findings = list(tag_findings(text, SCOPE))
    assert len(findings) == 1
    assert said in findings[0]


def test_an_output_is_known_where_its_task_is_alone() -> None:
    assert list(tag_findings("{{tasks.plan.outputs.parameters.run}}", Scope(inputs={"run"}))) != []


def test_the_expression_of_retries_names_what_the_controller_has() -> None:
    assert list(expression_findings(RETRY, Scope(), RETRIED)) == []
    (finding,) = expression_findings(RETRY.replace("lastRetry.exitCode", "lastRetry.exitcode"), Scope(), RETRIED)
    assert finding.startswith("`lastRetry.exitcode`")


def test_the_keys_of_a_jsonpath_are_read() -> None:
    assert jsonpath_keys("{{=jsonpath(inputs.parameters.run, \"$['fit-gb']\")}} == true") == ["fit-gb"]
