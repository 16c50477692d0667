"""The file of a release."""

from __future__ import annotations

import pytest

from canon.model.errors import ProblemsError
from canon.model.release import Origin, Release, format_release, release_from_text, release_path

RELEASE = Release(
    schema=1,
    pipeline="co2",
    environment="staging",
    number=12,
    image=f"registry.example.com/ml/co2@sha256:{'a' * 64}",
    version="v0.0.7",
    commit="b" * 40,
    tree="c" * 40,
    experiment="d" * 40,
    result="e" * 64,
    data_hash="f" * 64,
    entries={"train": "0" * 64},
    run="https://mlflow.example.com/#/experiments/1/runs/2",
    metrics={"rmse": 0.25, "bad": float("nan")},
    promoted=Origin(environment="dev", number=11),
    time="2026-11-26T10:00:00Z",
    author="A B <a@example.com>",
    why="because: it is better",
)
PATH = "argo/co2/releases/staging.yaml"


def test_it_is_read_as_it_was_written() -> None:
    text = format_release(RELEASE)
    found = release_from_text(text, PATH)
    assert format_release(found) == text
    assert found.model_copy(update={"metrics": {}}) == RELEASE.model_copy(update={"metrics": {}})
    assert (found.tag, found.version_tag) == ("co2#staging#12", "co2@v0.0.7")
    assert found.digest == f"sha256:{'a' * 64}"
    assert release_path("co2", "staging") == PATH


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("image: registry.example.com/ml/co2@sha256", "image: registry.example.com/ml/co2:latest@md5", "image"),
        ("number: 12", "number: twelve", "number"),
        ("why:", "wyh:", "wyh"),
        ("schema: 1", "schema: 2", "schema"),
        ("environment: staging", "environment: production", "pipeline"),
    ],
)
def test_what_was_edited_into_nonsense_is_named(old: str, new: str, path: str) -> None:
    text = format_release(RELEASE)
    assert old in text
    with pytest.raises(ProblemsError, match="restore what Git has of the file") as found:
        release_from_text(text.replace(old, new, 1), PATH)
    assert path in {problem.path for problem in found.value.problems}
    assert {problem.file for problem in found.value.problems} == {PATH}


@pytest.mark.parametrize("text", ["", "[]", "- a: [", "x"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(ProblemsError):
        release_from_text(text, PATH)
