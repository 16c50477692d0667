"""What a branch's own Workflow may not have: whatever no stage of the trusted declaration has, under whichever key of `pod`."""

from __future__ import annotations

from pathlib import Path

import pytest

from canon.model.project import Pipeline, load_project
from canon.workflows.rights import granted_problems
from tests.clustered import HEAD, make_clustered

STAGE = "  {name}: {{cmd: sh t.sh, deps: [t.sh], outs: [{name}], pod: {{{pod}}}}}\n"
GIVEN = {
    "env_from": "env_from: [theirs]",
    "secrets": "secrets: {KEY: {secret: theirs, key: one}}",
    "volumes": "volumes: [{mount: /mnt/a, claim: shared, read_only: true}, {mount: /mnt/b, secret: theirs}]",
    "image_pull_secrets": "image_pull_secrets: [theirs]",
    "node_selector": "node_selector: {pool: cpu}",
    "tolerations": "tolerations: [{key: cpu, operator: Exists}]",
    "affinity": "affinity: {nodeAffinity: {x: 1}}",
    "priority_class": "priority_class: low",
}


def declared(folder: Path, *pods: str) -> Pipeline:
    stages = "".join(STAGE.format(name=f"stage-{number}", pod=pod) for number, pod in enumerate(pods))
    return load_project(make_clustered(folder, f"{HEAD}stages:\n{stages}")).pipelines[0]


def findings(tmp_path: Path, trusted: str, wanted: str) -> list[str]:
    found = granted_problems(declared(tmp_path / "own", "cpu: 1", wanted), declared(tmp_path / "main", trusted), "main")
    return [f"{problem.path}: {problem.message}" for problem in found]


@pytest.mark.parametrize("key", GIVEN)
def test_what_some_stage_has_any_stage_may_have(tmp_path: Path, key: str) -> None:
    assert findings(tmp_path, GIVEN[key], GIVEN[key]) == []
    assert findings(tmp_path, "cpu: 1", GIVEN[key])[0].startswith(f"stages.stage-1.pod.{key}: ")


@pytest.mark.parametrize(
    ("trusted", "wanted", "words"),
    [
        ("env_from: [theirs]", "env_from: [theirs, other]", "the Secret other"),
        (
            "secrets: {KEY: {secret: theirs, key: one}}",
            "secrets: {KEY: {secret: theirs, key: two}}",
            "the key two of the Secret theirs",
        ),
        ("env_from: [theirs]", "volumes: [{mount: /mnt/a, secret: theirs}]", 'the volume {"secret":"theirs"}'),
        (
            "volumes: [{mount: /mnt/a, claim: shared, read_only: true}]",
            "volumes: [{mount: /mnt/a, claim: shared}]",
            "to be written",
        ),
        ("node_selector: {pool: cpu}", "node_selector: {pool: gpu}", "the node pool=gpu"),
        ("tolerations: [{key: cpu}]", "tolerations: [{operator: Exists}]", 'the toleration {"operator":"Exists"}'),
        ("priority_class: low", "priority_class: high", "`high`"),
    ],
)
def test_another_one_is_refused(tmp_path: Path, trusted: str, wanted: str, words: str) -> None:
    (found,) = findings(tmp_path, trusted, wanted)
    assert words in found
    assert "what no stage has on main" in found


def test_what_the_namespaces_quota_bounds_is_free(tmp_path: Path) -> None:
    free = "cpu: 64, memory: 1Ti, gpu: 8, retries: 9, timeout: 9h, env: {A: b}, shared_memory: 1Gi, volumes: [{mount: /mnt/a, empty_dir: 1Ti}]"
    assert findings(tmp_path, "cpu: 1", free) == []


def test_a_group_of_stages_is_looked_into(tmp_path: Path) -> None:
    trusted = declared(tmp_path / "main", "cpu: 1")
    stages = "  fit: {foreach: [a], do: {cmd: sh t.sh, outs: ['${item}'], pod: {env_from: [other]}}}\n"
    own = load_project(make_clustered(tmp_path / "own", f"{HEAD}stages:\n{stages}")).pipelines[0]
    assert [problem.path for problem in granted_problems(own, trusted, "main")] == ["stages.fit.pod.env_from"]
