"""`canon submit`: which commits may run, by which Workflow, and what is refused; an Argo Server answers, and nothing runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from canon.argo.annotations import DESCRIPTION, TITLE
from canon.model.cluster import DAG_VARIABLE, PLAN
from canon.output.yaml import load_yaml
from canon.steps.settings import settings_from_text
from tests.argo_server import TOKEN, ArgoServer
from tests.clustered import CLUSTER, COMMON, HEAD, template_of
from tests.conftest import git
from tests.e2e.faults import canon
from tests.e2e.submitted import ANOTHER, STAGES, TRIGGERS, URL, commit, template

pytestmark = pytest.mark.usefixtures("quick")


def test_a_pushed_commit_is_submitted_by_its_template(pushed: Path, argo: ArgoServer) -> None:
    done = canon(pushed, "submit", "toy", "-S", "lr=0.25", "-S", "params/toy.yaml:seed=2", "--fresh")
    assert done.stdout == "toy-cluster-00000\n"
    head = git(pushed, "rev-parse", "HEAD")
    assert f"{head[:12]} is submitted: {argo.url}/workflows/ml/toy-cluster-00000" in done.stderr
    manifest = argo.workflows["toy-cluster-00000"].manifest
    assert manifest["spec"].keys() == {"workflowTemplateRef", "arguments"}  # what `templateReferencing: Strict` takes
    assert manifest["spec"]["workflowTemplateRef"] == {"name": "toy-cluster"}
    assert manifest["metadata"]["labels"] == {"canon.dev/pipeline": "toy", "canon.dev/profile": "cluster"}
    given = {each["name"]: each["value"] for each in manifest["spec"]["arguments"]["parameters"]}
    assert (given["revision"], given["fresh"]) == (head, "true")
    assert settings_from_text(given["set"]) == {"params/toy.yaml": {"lr": 0.25, "seed": 2}}


def test_json_says_what_a_script_needs(pushed: Path, argo: ArgoServer) -> None:
    said = json.loads(canon(pushed, "submit", "toy", "--json").stdout)
    assert said == {
        "name": "toy-cluster-00000", "uid": "uid-toy-cluster-00000", "namespace": "ml",
        "link": f"{argo.url}/workflows/ml/toy-cluster-00000", "revision": git(pushed, "rev-parse", "HEAD"),
    }  # fmt: skip


def touched(pushed: Path) -> tuple[object, ...]:
    """What a command could leave in a repository."""
    said = [
        git(pushed, *words)
        for words in (("for-each-ref",), ("worktree", "list"), ("count-objects", "-v"), ("status", "--short"))
    ]
    return (*said, sorted((pushed / ".git").iterdir()))


@pytest.mark.soak
def test_nothing_in_the_repository_is_touched_also_where_branches_have_to_be_fetched(
    pushed: Path, argo: ArgoServer, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", "code.git", "colleague")
    theirs = commit(tmp_path / "colleague", p_dot_sh="echo theirs > prepared\n")
    commit(pushed, "exp/a", pipelines__toy_dot_yaml=HEAD + TRIGGERS + STAGES + ANOTHER, j_dot_sh="echo")
    git(pushed, "checkout", "-q", "main")
    before = touched(pushed)
    canon(pushed, "submit", "toy")
    canon(pushed, "submit", "toy", "--rev", "exp/a")
    assert touched(pushed) == before
    assert len(argo.workflows) == 2
    assert git(tmp_path / "code.git", "rev-parse", "main") == theirs
    assert "Git knows no commit" in canon(pushed, "submit", "toy", "--rev", theirs, code=1).stderr


def test_dry_run_prints_what_would_be_submitted(pushed: Path, argo: ArgoServer) -> None:
    said = canon(pushed, "submit", "toy", "--dry-run")
    assert argo.workflows == {}
    assert [method for method, _, _ in argo.requests] == ["GET"]
    assert TOKEN not in said.stdout + said.stderr
    printed = load_yaml(said.stdout, "stdout")
    canon(pushed, "submit", "toy")
    submitted = argo.workflows["toy-cluster-00000"].manifest
    assert printed["spec"] == submitted["spec"]
    assert printed["metadata"]["generateName"] == "toy-cluster-"


def test_dry_run_needs_no_server(pushed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = canon(pushed, "submit", "toy", "--dry-run")
    assert load_yaml(said.stdout, "stdout")["spec"]["workflowTemplateRef"] == {"name": "toy-cluster"}
    assert "taken for that of main" in said.stderr
    monkeypatch.delenv("ARGO_SERVER", raising=False)
    assert "no Argo Server is named; give --server" in canon(pushed, "submit", "toy", code=1).stderr


def test_another_dag_brings_its_own_workflow(pushed: Path, argo: ArgoServer) -> None:
    declared = template(pushed)
    head = commit(
        pushed, "exp/a", pipelines__toy_dot_yaml=HEAD + TRIGGERS + STAGES + ANOTHER, j_dot_sh="echo judged > verdict\n"
    )
    said = canon(pushed, "submit", "toy", "-S", "lr=1")
    assert "has other stages: the workflow brings its own" in said.stderr
    manifest = argo.workflows["toy-cluster-00000"].manifest
    assert "workflowTemplateRef" not in manifest["spec"]
    assert [task["name"] for task in template_of(manifest, "stages")["dag"]["tasks"]] == ["prepare", "train", "judge"]
    given = {each["name"]: each["value"] for each in manifest["spec"]["arguments"]["parameters"]}
    assert given.keys() == {"revision", "set", "fresh"}
    assert (given["revision"], given["fresh"]) == (head, "false")
    # all else is as the template has it
    for key in declared["spec"].keys() - {"arguments", "templates"}:
        assert manifest["spec"][key] == declared["spec"][key]
    variables = [
        {each["name"]: each.get("value") for each in template_of(of, PLAN)["container"]["env"]}
        for of in (declared, manifest)
    ]
    assert variables[0].pop(DAG_VARIABLE) != variables[1].pop(DAG_VARIABLE)
    assert variables[0] == variables[1]
    said_of, declared_of = manifest["metadata"]["annotations"], declared["metadata"]["annotations"]
    assert said_of[TITLE] == declared_of[TITLE]
    assert f"[commit](https://git.example.com/ml/toy/commit/{head})" in said_of[DESCRIPTION]
    assert manifest["metadata"]["labels"] == declared["metadata"]["labels"]


@pytest.mark.soak
def test_a_namespace_without_the_template_gets_an_own_workflow(pushed: Path, argo: ArgoServer) -> None:
    argo.templates.clear()
    assert "ml has no template toy-cluster of Canon's" in canon(pushed, "submit", "toy").stderr
    assert "templates" in argo.workflows["toy-cluster-00000"].manifest["spec"]


def test_a_cluster_of_templates_alone_refuses_an_own_workflow(pushed: Path, argo: ArgoServer) -> None:
    argo.strict = True
    commit(
        pushed, "exp/a", pipelines__toy_dot_yaml=HEAD + TRIGGERS + STAGES + ANOTHER, j_dot_sh="echo judged > verdict\n"
    )
    said = canon(pushed, "submit", "toy", code=1)
    assert said.stdout == "toy-cluster-00000\n"
    assert "the cluster runs workflows of its templates alone" in said.stderr
    assert "merge the branch" in said.stderr
    git(pushed, "checkout", "-q", "main")
    canon(pushed, "submit", "toy")


def test_an_unpushed_commit_is_refused(pushed: Path, argo: ArgoServer) -> None:
    head = commit(pushed, "exp/a", push=False, p_dot_sh="echo more > prepared\n")
    assert f"{head[:12]} is on no branch of {URL}" in canon(pushed, "submit", "toy", code=1).stderr
    assert argo.requests == []
    git(pushed, "push", "-q", "origin", "HEAD")
    canon(pushed, "submit", "toy")
    assert canon(pushed, "submit", "toy", "--rev", "main").returncode == 0


def test_a_branch_that_triggers_does_not_name_is_refused_whatever_it_says_itself(
    pushed: Path, argo: ArgoServer
) -> None:
    other = TRIGGERS.replace("exp/*", "**")
    settings = (COMMON + CLUSTER).replace('toy.git"', 'toy.git", branch = "feature"')
    commit(pushed, "feature", pipelines__toy_dot_yaml=HEAD + other + STAGES, pyproject_dot_toml=settings)
    said = canon(pushed, "submit", "toy", code=1).stderr
    assert "here `git.branch` is feature, on main of" in said
    assert "is on feature of" in said
    assert "cluster takes main, exp/* alone, as main says" in said
    assert argo.requests == []


@pytest.mark.soak
def test_a_branch_runs_in_the_place_that_main_declares(pushed: Path, argo: ArgoServer) -> None:
    settings = (COMMON + CLUSTER).replace('namespace = "ml"', 'namespace = "other"\nargo = "https://evil.example.com"').replace("canon@sha256", "evil@sha256")  # fmt: skip
    stages = (STAGES + ANOTHER).replace("stages:", "workflow: {priority: 9}\nstages:")
    commit(
        pushed, "exp/a", pyproject_dot_toml=settings, pipelines__toy_dot_yaml=HEAD + TRIGGERS + stages, j_dot_sh="echo"
    )
    canon(pushed, "submit", "toy")
    manifest = argo.workflows["toy-cluster-00000"].manifest
    assert manifest["metadata"]["namespace"] == "ml"
    assert "evil" not in json.dumps(manifest)
    assert "priority" not in manifest["spec"]


def test_a_branchs_own_pods_get_at_nothing_that_main_does_not_give(pushed: Path, argo: ArgoServer) -> None:
    another = ANOTHER.replace("outs: [verdict]", "outs: [verdict], pod: {env_from: [canon-toy-cluster-git-write]}")
    commit(pushed, "exp/a", pipelines__toy_dot_yaml=HEAD + TRIGGERS + STAGES + another, j_dot_sh="echo")
    said = canon(pushed, "submit", "toy", code=1).stderr
    assert "stages.judge.pod.env_from: the Secret canon-toy-cluster-git-write is what no stage has on main" in said
    assert "let main declare it first" in said
    assert argo.workflows == {}


def test_what_is_not_committed_is_left_out_and_named(pushed: Path, argo: ArgoServer) -> None:
    (pushed / "p.sh").write_text("echo changed > prepared\n")
    (pushed / "new.sh").write_text("echo\n")
    (pushed / "dvc.lock").write_text("schema: '2.0'\n")  # no source
    said = canon(pushed, "submit", "toy", code=1).stderr
    assert "would be left out: new.sh, p.sh; commit and push them" in said
    assert argo.requests == []
    said = canon(pushed, "submit", "toy", "--allow-dirty").stderr
    assert "left out is what is not committed: new.sh, p.sh" in said
    assert canon(pushed, "submit", "toy", "--rev", "HEAD").returncode == 0


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["-S", "nope=1"], 1, "no params file of toy has the key `nope`"),
        (["-S", "lr='$(touch x)'"], 1, "the shell would read it"),
        (["-S", "lr=1,2"], 2, "`canon sweep` runs each of them"),
        (["--profile", "local"], 1, "the profile `local` has no namespace"),
        (["--rev", "--upload-pack=x"], 1, "Git knows no commit '--upload-pack=x'"),
        (["--server", "https://user:word@argo.example.com"], 2, "--server holds credentials"),
        (["--dry-run", "--watch"], 2, "leave one out"),
    ],
)
def test_what_is_wrong_is_refused_before_argo_is_asked(
    pushed: Path, argo: ArgoServer, options: list[str], code: int, words: str
) -> None:
    said = canon(pushed, "submit", "toy", *options, code=code)
    assert words in said.stderr
    assert said.stdout == ""
    assert argo.requests == []


def test_the_profiles_own_address_is_that_of_the_declared_branch(
    pushed: Path, argo: ArgoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARGO_SERVER")
    settings = COMMON + CLUSTER + f'argo = "{argo.url}"\n'
    commit(pushed, pyproject_dot_toml=settings)
    assert canon(pushed, "submit", "toy").stdout == "toy-cluster-00000\n"
    commit(pushed, "exp/a", pyproject_dot_toml=settings.replace("127.0.0.1", "evil.example.com"))
    assert canon(pushed, "submit", "toy").stdout == "toy-cluster-00001\n"


def test_only_a_repository_that_is_a_remote_of_the_clone_is_believed(pushed: Path, argo: ArgoServer) -> None:
    git(pushed, "remote", "set-url", "origin", "ssh://git@git.example.com:2222/ml/toy")
    canon(pushed, "submit", "toy")
    git(pushed, "remote", "set-url", "origin", "https://git.example.com/ml/other.git")
    asked = len(argo.requests)
    said = canon(pushed, "submit", "toy", code=1).stderr
    assert (
        f"`git.url` is {URL}, which is no remote of this clone; if you trust it, `git remote add cluster {URL}`" in said
    )
    assert len(argo.requests) == asked
