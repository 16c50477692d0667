from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canon.model.errors import Problem, ProblemsError
from canon.model.paths import out_finding, path_finding
from canon.model.places import line_of
from canon.output.limits import MAX_DEPTH
from canon.output.yaml import compose_yaml, load_yaml

TEXT = """\
stages:
  a.b:
    deps:
      - x
      - y
  a:
    foreach: [1]
    do:
      outs: [z]
      b: 1
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("stages", 1),
        ("stages.a.b.deps[1]", 5),
        ("stages.a.b.deps[9]", 3),
        ("stages.a.outs[0]", 9),
        ("stages.a.nothing", 6),
        ("nothing", 1),
    ],
)
def test_a_dotted_path_leads_to_the_deepest_line_that_there_is(path: str, line: int) -> None:
    assert line_of(compose_yaml(TEXT, "x"), path) == line


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_collections_nest_to_the_limit_and_no_deeper(opening: str) -> None:
    closing = {"[": "]", "{a: ": "}"}.get(opening, "")

    def nested(depth: int) -> str:
        return opening * depth + "x" + closing * depth

    if opening != "? ":  # a mapping is no key
        load_yaml(nested(MAX_DEPTH), "f")
    for depth in (MAX_DEPTH + 1, 200_000):
        with pytest.raises(ProblemsError, match="nests more than"):
            load_yaml(nested(depth), "f")


def test_one_anchor_may_be_used_often_and_keys_may_be_overridden() -> None:
    assert load_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]\n", "f")["b"] == {"x": 1, "y": 3}


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("[]{}:,&*-? \n#'\"!|>%@`ab<1", max_size=60))
@settings(deadline=None, max_examples=300)
def test_any_text_is_a_value_or_a_problem_with_a_line(text: str) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        load_yaml(text, "f")
    except ProblemsError as error:
        problems = error.problems
    assert all(problem.line >= 1 and problem.remedy for problem in problems)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("a/b", ""),
        ("a/../b", ""),
        ("..a/b", ""),
        ("a/../../b", "leaves the repository"),
        ("/a", "leaves the repository"),
        ("a\tb", "control character"),
        ("é" * 128, "more than 255 bytes"),
    ],
)
def test_a_path_is_judged_by_its_text(path: str, wrong: str) -> None:
    assert wrong in (path_finding(path) or ("", ""))[0]
    assert bool(path_finding(path)) == bool(wrong)


@pytest.mark.parametrize("path", [".", "sub", ".git/x", "a/.dvc/x", "a/dvc.lock", "x.dvc", "a/../.dvcignore"])
def test_no_out_is_what_git_and_dvc_keep_themselves(path: str) -> None:
    assert out_finding(path, ("sub/dvc.yaml",))
    assert out_finding("sub/x", ("sub/dvc.yaml",)) is None
