"""What Argo's user interface says of a Workflow."""

from __future__ import annotations

import json

import pytest

from canon.argo.annotations import DESCRIPTION, description_annotation, description_expression
from canon.argo.site import Remote, Site
from canon.argo.submission import build_own, build_reference

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LINKS = "[code](https://git.example.com/ml/co2) · [MLflow](http://mlflow:5000)"


def site(git_url: str = "https://git.example.com/ml/co2.git", mlflow: str | None = "http://mlflow:5000") -> Site:
    return Site("co2", "cluster", "ml", "tools@sha256:1", "patch", git_url, ("main",), Remote("s3://b"), mlflow=mlflow)


def evaluate(expression: str, commit: str) -> str:
    """Texts and the commit, with `+` between them: in expr-lang a text is written as in JSON (looked at with expr 1.17)."""
    decoder, found, rest = json.JSONDecoder(), "", expression
    while rest:
        if rest.startswith("payload.after"):
            found, rest = found + commit, rest.removeprefix("payload.after")
        else:
            text, end = decoder.raw_decode(rest)
            found, rest = found + text, rest[end:]
        assert not rest or rest.startswith(" + ")
        rest = rest.removeprefix(" + ")
    return found


@pytest.mark.parametrize("text", ["", "Find  **cats**.\nOn GPUs.", 'say "x" \\ + payload.after', "nul \0 {{x}} é 😀"])
def test_a_push_says_the_same_as_who_knows_the_commit(text: str) -> None:
    known = description_annotation(site(), text, COMMIT)[DESCRIPTION]
    assert evaluate(description_expression(site(), text, "payload.after")[DESCRIPTION], COMMIT) == known
    words, _, links = known.rpartition("\n")
    assert words == " ".join(text.replace("\0", "").split())
    assert links == f"[commit](https://git.example.com/ml/co2/commit/{COMMIT}) · {LINKS}"


def test_what_has_no_page_is_no_link() -> None:
    bare = site("git@git.example.com:ml/co2.git", None)
    assert description_annotation(bare, "", COMMIT) == {}
    assert description_expression(bare, "", "payload.after") == {}
    assert description_annotation(bare, "text", COMMIT) == {DESCRIPTION: "text"}
    assert description_expression(bare, "text", "payload.after") == {DESCRIPTION: '"text"'}


def test_what_is_submitted_links_to_its_commit() -> None:
    parameters = {"revision": COMMIT}
    reference = build_reference(site(), parameters, "text")
    assert reference["metadata"]["annotations"] == description_annotation(site(), "text", COMMIT)
    template = {
        "metadata": {"annotations": {"title": "t", DESCRIPTION: "without"}},
        "spec": {"arguments": {"parameters": [{"name": "revision"}]}},
    }
    own = build_own(site(), template, parameters, "text")
    assert own["metadata"]["annotations"] == {"title": "t", **description_annotation(site(), "text", COMMIT)}
