"""The languages of conditions, and retries as the controller decides them: no container is run."""

from __future__ import annotations

from typing import Any

import pytest

from canon.argo.pods import RETRY
from tests.harness.conditions import evaluate_depends, evaluate_when
from tests.harness.errors import HangsError, InvalidSpecError, NodeError
from tests.harness.expressions import evaluate
from tests.harness.graph import ordered, phase_of
from tests.harness.outcome import Outcome
from tests.harness.resolve import Scope, SkippedError, UnresolvedError
from tests.harness.retry import backoff, decide, is_too_long

PLAN = '{"fit-gb": true, "prepare": {"run": false, "names": ["a", "b"]}}'
VALUES = {
    "inputs": {"parameters": {"run": PLAN, "stage": "train"}},
    "tasks": {
        "plan": {"outputs": {"parameters": {"plan": PLAN}}},
        "fit-b": {"outputs": {"parameters": {"entry": None}}},
    },
    "workflow": {"status": "Failed", "annotations": {"canon.dev/revision": "abc"}},
    "lastRetry": {"exitCode": "137"},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("jsonpath(inputs.parameters.run, \"$['fit-gb']\")", True),
        ("jsonpath(tasks.plan.outputs.parameters.plan, '$.prepare.run')", False),
        ("jsonpath(tasks.plan.outputs.parameters.plan, '$.prepare.names[1]')", "b"),
        ("jsonpath(tasks['fit-b'].outputs.parameters.entry ?? '{\"stage\":\"none\"}', '$.stage')", "none"),
        ("asInt(lastRetry.exitCode) in [137, 143]", True),
        ("asInt(lastRetry.exitCode) not in [137]", False),
        ("lastRetry.exitCode == 137", False),
        ("inputs.parameters.stage matches '^tr' && not (inputs.parameters.stage contains 'x')", True),
        ("workflow.status != 'Succeeded' || unknown.name", True),
        ("false and unknown.name", False),
        ("(1 < 2) == true ? 'yes' : 'no'", "yes"),
        ("'a' startsWith 'b' or 'ab' endsWith \"b\"", True),
        ("!(1.5 >= 2)", True),
        ("'it\\'s' == `it's`", True),
        ("nil ?? nil ?? 3", 3),
        ("1 == true", False),
        ("replace('$(A) $', '$', '$$')", "$$(A) $$"),
    ],
)
def test_values_of_expressions(text: str, value: Any) -> None:
    found = evaluate(text, VALUES)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        "jsonpath(inputs.parameters.nope, '$.a')",
        "jsonpath(tasks['nope'].outputs.parameters.plan, '$.a')",
        "jsonpath(tasks['fit-b'].outputs.parameters.nope ?? '{}', '$.a')",
        "inputs.parameter.run",
    ],
)
def test_a_wrong_name_hangs(text: str) -> None:
    with pytest.raises(HangsError, match="stay Running for ever"):
        evaluate(text, VALUES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jsonpath(inputs.parameters.run, '$.nope')", "'nope' not found"),
        ("jsonpath(inputs.parameters.stage, '$.a')", "no JSON"),
        ("jsonpath(tasks['fit-b'].outputs.parameters.entry, '$.a')", "cannot use null as argument"),
        ("jsonpath(inputs.parameters.run, 'nope')", "invalid JSONPath"),
        ("jsonpath(inputs.parameters.run)", "wrong arguments of jsonpath"),
        ("sprig(1)", "unknown name sprig"),
        ("asInt('x')", "int('x')"),
        ("'a' < 1", "a < 1"),
        ("1 && true", "1 is no bool"),
        ("1 +", "unexpected '+'"),
        ("(1", "unexpected 'end'"),
        ("a ; b", "unexpected ';'"),
    ],
)
def test_what_fails_a_node(text: str, message: str) -> None:
    with pytest.raises(NodeError) as raised:
        evaluate(text, VALUES)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("", True),
        ("true == true", True),
        ("false == true", False),
        ("foo == foo", True),
        ("'Failed' != 'Succeeded'", True),
        ("(1 == 1) && !(2 == 3)", True),
        ("a in (b, a)", True),
        ("'abc' =~ '^a'", True),
    ],
)
def test_when(text: str, runs: bool) -> None:  # noqa: FBT001  a value of the table
    assert evaluate_when(text) is runs


@pytest.mark.parametrize("text", ["foo", "{{=jsonpath(a)}} == true", "true =="])
def test_when_that_is_no_condition(text: str) -> None:
    with pytest.raises(NodeError, match=r"'when' expression|Expected boolean evaluation"):
        evaluate_when(text)


PHASES = {"a": "Succeeded", "b-1": "Skipped", "c": "Failed", "d": "Error", "e": "Omitted"}


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("a.Succeeded", True),
        ("b-1.Succeeded", False),
        ("(b-1.Succeeded || b-1.Skipped) && a", True),
        ("b-1", True),
        ("c", False),
        ("c.Failed && !a.Failed", True),
        ("d.Errored", True),
        ("e", False),
        ("e.Omitted", True),
    ],
)
def test_depends(text: str, runs: bool) -> None:  # noqa: FBT001  a value of the table
    assert evaluate_depends(text, PHASES) is runs


def test_the_order_and_phase_of_a_dag() -> None:
    tasks = [
        {"name": "c", "depends": "b.Skipped || b.Succeeded"},
        {"name": "b", "depends": "a.Succeeded"},
        {"name": "a"},
        {"name": "after", "depends": "a.Failed"},
    ]
    found = ordered("templates.main", tasks)
    assert [task["name"] for task in found] == ["a", "b", "after", "c"]
    assert phase_of(found, {"a": "Succeeded", "b": "Skipped", "c": "Succeeded", "after": "Omitted"}) == "Succeeded"
    assert phase_of(found, {"a": "Error", "b": "Omitted", "c": "Omitted", "after": "Omitted"}) == "Error"
    assert phase_of(found[:1] + found[2:3], {"a": "Failed", "after": "Succeeded"}) == "Succeeded"


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([{"name": "a", "depends": "b"}, {"name": "b", "depends": "a"}], "graph with cycle: a, b"),
        ([{"name": "a", "depends": "b"}], "dependency 'b' not defined"),
        ([{"name": "a"}, {"name": "a"}], "not unique"),
        ([{"name": "a"}, {"name": "b", "depends": "a.Done"}], "Done is no result"),
        ([{"name": "a"}, {"name": "b", "depends": "(a"}], "invalid depends"),
    ],
)
def test_graphs_that_are_none(tasks: list[dict[str, str]], message: str) -> None:
    with pytest.raises(InvalidSpecError) as raised:
        ordered("templates.main", tasks)
    assert message in str(raised.value)


def test_names_in_texts() -> None:
    scope = Scope(VALUES)
    text = "{{ inputs.parameters.stage }} of {{workflow.annotations.canon.dev/revision}}: {{=asInt(lastRetry.exitCode) in [137]}}"
    assert scope.text(text) == "train of abc: true"
    with pytest.raises(UnresolvedError, match=r"failed to resolve {{workflow.annotations.canon.dev/nope}}"):
        scope.text("{{workflow.annotations.canon.dev/nope}}")
    with pytest.raises(SkippedError):
        scope.text("{{tasks.fit-b.outputs.parameters.entry}}")
    with pytest.raises(NodeError, match="is nil"):
        scope.text("{{=tasks['fit-b'].outputs.parameters.entry}}")


@pytest.mark.parametrize(
    ("phase", "message", "code", "again"),
    [
        ("Failed", "main: Error (exit code 3)", 3, False),
        ("Failed", "main: Error (exit code 64)", 64, False),
        ("Failed", "main: Error (exit code 65)", 65, False),  # of a chain: what a stage left cannot be saved
        ("Failed", "push: Error (exit code 65)", 0, False),
        ("Failed", "Pod was active on the node longer than the specified deadline", 143, False),
        ("Failed", "fetch: Error (exit code 4)", 64, True),
        ("Failed", "push: Error (exit code 5)", 0, True),
        ("Failed", "main: Error (exit code 137)", 137, True),
        ("Failed", "main: Error (exit code 143)", 143, True),
        ("Failed", "code: Error (exit code 7)", None, True),
        ("Error", "pod deleted", None, True),
    ],
)
def test_the_expression_tells_infrastructure_from_a_failing_stage(
    phase: str,
    message: str,
    code: int | None,
    again: bool,  # noqa: FBT001  a value of the table
) -> None:
    strategy = {"limit": "2", "retryPolicy": "Always", "expression": RETRY}
    said = decide(strategy, 1, Outcome(phase, message, code), 1.0)
    assert said == (None if again else "retryStrategy.expression evaluated to false")
    if again:
        assert decide(strategy, 3, Outcome(phase, message, code), 1.0) == "No more retries left"


def test_policies() -> None:
    failed, error = Outcome("Failed", "f"), Outcome("Error", "e")
    assert [decide({"retryPolicy": "OnError"}, 1, each, 1.0) for each in (failed, error)] == ["f", None]
    assert [decide({}, 1, each, 1.0) for each in (failed, error)] == [None, "e"]
    assert decide({"expression": "lastRetry.status == 'Error'"}, 1, error, 1.0) is None
    with pytest.raises(NodeError, match="Sometimes is not a valid RetryPolicy"):
        decide({"retryPolicy": "Sometimes"}, 1, failed, 1.0)


def test_backoff() -> None:
    strategy = {"backoff": {"duration": "10s", "factor": "2", "cap": "1m"}}
    assert [backoff(strategy, attempts) for attempts in (1, 2, 3, 4)] == [10, 20, 40, 60]
    assert backoff({}, 1) == 0
    limited = {"backoff": {**strategy["backoff"], "maxDuration": "1m"}}
    assert [is_too_long(limited, 3, elapsed) for elapsed in (19.0, 21.0)] == [False, True]
    assert not is_too_long(strategy, 3, 1000.0)
    with pytest.raises(NodeError, match="soon"):
        backoff({"backoff": {"duration": "soon"}}, 1)
