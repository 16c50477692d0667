"""What a push must be to start a Workflow: the selector, evaluated as expr-lang does, on payloads as forges send them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from canon.argo.triggers import format_selector, regex_from_url
from canon.model.errors import CanonError

COMMIT = "1f2e3d4c" * 5
GITHUB = {"x-github-event": ["push"]}
GITLAB = {"x-gitlab-event": ["Push Hook"]}


def lookup(path: str, values: dict[str, Any]) -> Any:
    """`payload.repository?.clone_url`: a key that is missing is nil, and so is what `?.` asks of nil."""
    value: Any = values
    for part in re.split(r"\?\.|\.", path):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def holds(selector: str, metadata: dict[str, Any], payload: dict[str, Any], discriminator: str = "toy") -> bool:
    """The selector's own part of the language: `&&` of lines, `||`, `==` on lists, `??`, `matches`."""

    def term(text: str) -> bool:
        text = text.strip()
        if own := re.fullmatch(r'discriminator == "([^"]+)"', text):
            return own[1] == discriminator
        if header := re.fullmatch(r'metadata\["([^"]+)"\] == \["([^"]+)"\]', text):
            return bool(metadata.get(header[1]) == [header[2]])
        matched = re.fullmatch(r'\((payload[\w.?]+) \?\? ""\) matches "([^"]+)"', text)
        assert matched, text
        value = lookup(matched[1], {"payload": payload})
        return re.search(matched[2].replace("$", r"\Z"), "" if value is None else value) is not None

    def line(text: str) -> bool:
        whole = text[1:-1] if text.startswith(("((", "(metadata")) else text
        return any(term(each) for each in whole.split(" || "))

    return all(line(text) for text in selector.split("\n&& "))


def github(ref: str = "refs/heads/exp/a", after: str = COMMIT, name: str = "ml/toy") -> dict[str, Any]:
    urls = {"clone_url": f"https://git.example.com/{name}.git", "ssh_url": f"git@git.example.com:{name}.git"}
    return {"ref": ref, "after": after, "repository": urls}


def gitlab(name: str = "ml/toy") -> dict[str, Any]:
    urls = {"git_http_url": f"https://git.example.com/{name}.git", "git_ssh_url": f"git@git.example.com:{name}.git"}
    return {"ref": "refs/heads/exp/a", "after": COMMIT, "project": urls}


URLS = [
    "https://git.example.com/ml/toy.git",
    "https://git.example.com/ml/toy",
    "http://git.example.com:3000/ml/toy.git",
    "git@git.example.com:ml/toy.git",
    "ssh://git@git.example.com/ml/toy.git",
    "ssh://git@git.example.com:2222/ml/toy.git",
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize(("metadata", "payload"), [(GITHUB, github()), (GITLAB, gitlab()), ({"x-gitea-event": ["push"]}, github())])  # fmt: skip
def test_a_push_to_a_declared_branch_starts_one(url: str, metadata: dict[str, Any], payload: dict[str, Any]) -> None:
    assert holds(format_selector("toy", url, ["exp/*"]), metadata, payload)


@pytest.mark.parametrize(
    ("metadata", "payload"),
    [
        ({"x-github-event": ["pull_request"]}, github()),
        ({"x-gitlab-event": ["Merge Request Hook"]}, gitlab()),
        ({"x-gitlab-event": ["Tag Push Hook"]}, gitlab()),
        ({}, github()),
        (GITHUB, github(name="fork/toy")),
        (GITHUB, github(name="ml/toy2")),
        (GITHUB, github(name="x/ml/toy")),
        (GITLAB, gitlab(name="fork/toy")),
        (GITHUB, github(ref="refs/heads/main")),
        (GITHUB, github(ref="refs/tags/exp/a")),
        (GITHUB, github(ref="refs/heads/exp/a/b")),
        (GITHUB, github(ref="refs/heads/my/refs/heads/exp/a")),
        (GITHUB, github(after="0" * 40)),
        (GITHUB, github(after="--upload-pack=x")),
        (GITHUB, github(after=COMMIT + "\nx")),
        (GITHUB, {"after": COMMIT, "ref": "refs/heads/exp/a"}),
        (GITHUB, {}),
    ],
)
def test_nothing_else_does(metadata: dict[str, Any], payload: dict[str, Any]) -> None:
    assert not holds(format_selector("toy", URLS[0], ["exp/*"]), metadata, payload)


@pytest.mark.parametrize("discriminator", ["", "other", "toy2"])
def test_the_webhook_of_another_pipeline_does_not_either(discriminator: str) -> None:
    selector = format_selector("toy", URLS[0], ["exp/*"])
    assert holds(selector, GITHUB, github())
    assert not holds(selector, GITHUB, github(), discriminator)


def test_any_of_several_patterns_will_do() -> None:
    selector = format_selector("toy", URLS[0], ["exp/*", "release-1.x"])
    assert holds(selector, GITHUB, github(ref="refs/heads/release-1.x"))
    assert not holds(selector, GITHUB, github(ref="refs/heads/release-1zx"))


def test_a_url_that_no_forge_has_is_refused() -> None:
    for url in ("../toy.git", "file:///srv/toy.git", "https://git.example.com/ml/toy.git?x=1", 'https://h/"]'):
        with pytest.raises(CanonError, match=r"tool\.canon\.git\.url.*write https://HOST/PATH\.git"):
            regex_from_url(url)
