"""What a project must have to run in a cluster, and what is said where it does not."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import yaml

from canon.adapters import render_project
from canon.argo.render import Manifests
from canon.model.dag import dag_hash
from canon.model.errors import CanonError, ProblemsError
from canon.model.project import load_project
from canon.model.tasks import Task, build_tasks
from canon.workflows import kept
from canon.workflows.sites import load_remote
from tests.clustered import CLUSTER, COMMON, DIGEST, HEAD, REMOTE, STAGES, make_clustered, rendered, workflow_of
from tests.conftest import git

OTHER = "name: other\ndvc_file: other/dvc.yaml\n" + HEAD.partition("\n")[2]


def dag_in(text: str) -> str:
    (found,) = set(re.findall(r"CANON_DAG, value: ([0-9a-f]{64})", text))
    return str(found)


def refused(root: Path) -> str:
    with pytest.raises(CanonError) as caught:
        rendered(root)
    return str(caught.value)


def test_without_a_namespace_there_is_no_file(tmp_path: Path) -> None:
    assert rendered(make_clustered(tmp_path, settings=COMMON)) == {}


def test_each_profile_with_a_namespace_has_its_workflow(tmp_path: Path) -> None:
    second = CLUSTER.replace("cluster", "drafts").replace('"ml"', '"drafts"')
    root = make_clustered(tmp_path, settings=COMMON + CLUSTER + second)
    assert sorted(rendered(root)) == [
        "argo/toy/platform/README.md",
        "argo/toy/platform/drafts.yaml",
        "argo/toy/platform/ml.yaml",
        "argo/toy/workflow/cluster.yaml",
        "argo/toy/workflow/drafts.yaml",
        "argo/toy/workflow/kustomization.yaml",
    ]
    assert {file.path for file in render_project(load_project(root))} > set(rendered(root))


def test_two_profiles_in_one_namespace_share_its_platform(tmp_path: Path) -> None:
    root = make_clustered(tmp_path, settings=COMMON + CLUSTER + CLUSTER.replace("cluster", "drafts"))
    assert [path for path in sorted(rendered(root)) if "platform" in path] == [
        "argo/toy/platform/README.md",
        "argo/toy/platform/ml.yaml",
    ]
    assert "`canon-toy-drafts-remote`" in rendered(root)["argo/toy/platform/README.md"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((COMMON + CLUSTER).replace("tools_image", "# "), "pyproject.toml:2: tool.canon.tools_image: is missing, and the pods of the profile `cluster` run it"),
        ((COMMON + CLUSTER).replace(f"@{DIGEST}", ":1.0"), "pyproject.toml:4: tool.canon.tools_image: `registry.example.com/ml/canon:1.0` is a tag\n    remedy: pin it by digest"),
        ((COMMON + CLUSTER).replace(DIGEST, "sha256:12"), "has no whole digest"),
        ((COMMON + CLUSTER).replace("git =", "# "), "tool.canon.git: is missing, and the pods of the profile `cluster` fetch the code from there\n    remedy: add git = {url ="),
        ((COMMON + CLUSTER).replace("https://", "https://me:secret@"), "pyproject.toml:5: tool.canon.git.url: holds credentials"),
        (COMMON + CLUSTER.replace("cluster", "Big_GPU"), "tool.canon.profiles.Big_GPU: `Big_GPU` has a namespace, and names objects of the cluster\n    remedy: rename it"),
        (COMMON + CLUSTER.replace("cluster", "kustomization"), "`kustomization.yaml` would be the name of its Workflow's file, and is Kustomize's own"),
        (COMMON + CLUSTER.replace('remote = "store"', ""), "tool.canon.profiles.cluster: has a namespace and no remote"),
        (COMMON + CLUSTER.replace("registry = ", "# "), "tool.canon.profiles.cluster: has a namespace and no registry, from which its pods have the image"),
        (COMMON + CLUSTER + 'mlflow = "http://me:secret@mlflow"\n', "tool.canon.profiles.cluster.mlflow: holds credentials"),
        (COMMON + CLUSTER.replace("store", "stoer"), ".dvc/config has no remote `stoer` with a url, which pyproject.toml names; run `dvc remote add stoer URL`"),
        (COMMON + CLUSTER.replace("cluster", "c" * 60), "pipelines/toy.yaml:1: name: `toy-" + "c" * 60 + "` would be the name of its Workflows, with 64 characters; 52 leave room"),
    ],
)  # fmt: skip
def test_settings_that_lack_something_are_said(tmp_path: Path, settings: str, said: str) -> None:
    assert said in refused(make_clustered(tmp_path, settings=settings))


@pytest.mark.parametrize(
    ("declaration", "said"),
    [
        ("name: toy\n" + STAGES, "pipelines/toy.yaml:1: environment: declares no image, and stages run in one in a cluster"),
        (HEAD + "stages: {a: {cmd: x, deps: [a], outs: [o]}, b: {cmd: x, params: [o/p.yaml: [q]], outs: [r]}}\n", "pipelines/toy.yaml:3: stages.b: cannot run as a pod: its params file `o/p.yaml` is made by a stage"),
        (HEAD + "stages: {a: {cmd: x, deps: [a], outs: [{o: {cache: false}}]}}\n", "pipelines/toy.yaml:3: stages.a: cannot run as a pod: its out `o` is `cache: false`"),
        (HEAD + STAGES + "triggers: {push: {main: local}}\n", "triggers.push.main: the profile `local` has no namespace: nothing can be started there\n    remedy: name one of: cluster"),
        (HEAD + STAGES + "triggers: {sync: local}\n", "triggers.sync: the profile `local` has no namespace"),
        (HEAD + STAGES + 'triggers: {schedule: {cron: "0 25 * * *", profile: cluster}}\n', "pipelines/toy.yaml:6: triggers.schedule.cron: `0 25 * * *`: hour `25` lies outside of 0 to 23"),
        (HEAD + STAGES + 'triggers: {schedule: {cron: "0 2 * * *", profile: cluster, timezone: Europe/Berlim}}\n', "triggers.schedule.timezone: there is no time zone `Europe/Berlim`"),
        (HEAD + "stages: {a: {cmd: x, deps: [a], outs: [o], pod: {volumes: [{mount: /mnt}]}}}\n", "stages.a.pod.volumes[0]: has 0 sources\n    remedy: name exactly one"),
        (HEAD + "stages: {a: {cmd: x, deps: [a], outs: [o], pod: {volumes: [{mount: /mnt, claim: a, secret: b}]}}}\n", "has 2 sources"),
        (HEAD + "stages: {a: {cmd: x, deps: [a], outs: [o], pod: {volumes: [{mount: /canon/private/x, claim: a}]}}}\n", "something else lies at /canon/private/x in the pod"),
        (HEAD + "stages: {a: {cmd: x, deps: [a], outs: [o], pod: {volumes: [{mount: /mnt, claim: a}, {mount: /mnt/, secret: b}]}}}\n", "stages.a.pod.volumes[1]: something else lies at /mnt in the pod"),
    ],
)  # fmt: skip
def test_declarations_that_cannot_run_there_are_said(tmp_path: Path, declaration: str, said: str) -> None:
    assert said in refused(make_clustered(tmp_path, declaration))


def test_all_of_it_is_said_at_once(tmp_path: Path) -> None:
    root = make_clustered(tmp_path, "name: toy\n" + STAGES, settings=(COMMON + CLUSTER).replace("tools_image", "# "))
    said = refused(root)
    assert "tools_image" in said
    assert "declares no image" in said


def test_a_stage_that_reads_what_another_pipeline_makes_is_refused(tmp_path: Path) -> None:
    make_clustered(tmp_path)
    stages = "stages: {use: {cmd: x, deps: [u.py, model/weights], outs: [used]}}\n"
    said = refused(make_clustered(tmp_path, OTHER + stages, name="other"))
    assert "pipelines/other.yaml:4: stages.use: cannot run in a cluster: it reads model/weights, which another pipeline makes (`train`)" in said  # fmt: skip
    assert "pipelines/toy.yaml" not in said


def test_two_pipelines_share_no_name_of_workflows(tmp_path: Path) -> None:
    """`toy` in `b-c` and `toy-b` in `c` would have one template, and one's Secrets would be the other's."""
    settings = COMMON + CLUSTER.replace("cluster", "b-c") + CLUSTER.replace("cluster", "c")
    make_clustered(tmp_path, settings=settings)
    other = OTHER.replace("other", "toy-b") + STAGES.replace("prepared", "other").replace("model", "others")
    make_clustered(tmp_path, other, settings=settings, name="toy-b")
    said = refused(tmp_path)
    assert "pipelines/toy.yaml:1: name: `toy-b-c` would be the name of its Workflows in ml, and is that of those of the pipeline `toy-b` in the profile `c`, too" in said  # fmt: skip
    assert "pipelines/toy-b.yaml:1: name: `toy-b-c`" in said
    make_clustered(tmp_path, settings=settings.replace('"ml"', '"elsewhere"', 1))
    assert rendered(tmp_path)


def test_pipelines_that_share_nothing_both_have_theirs(tmp_path: Path) -> None:
    make_clustered(tmp_path)
    stages = "stages: {use: {cmd: x, deps: [u.py], outs: [used]}}\n"
    files = rendered(make_clustered(tmp_path, OTHER + stages, name="other"))
    assert {path.split("/")[1] for path in files} == {"toy", "other"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("", "has no remote `store` with a url"),
        ("['remote \"store\"']\n    verify = true\n", "has no remote `store` with a url"),
        ("['remote \"store\"'\n", r".dvc/config cannot be read"),
        (REMOTE.replace("s3://bucket", "s3://key:secret@bucket"), "url of the remote `store` holds credentials"),
        (REMOTE + "    endpointurl = http://me:secret@minio\n", "endpointurl of the remote `store` holds credentials"),
        (REMOTE.replace("s3://bucket/dvc", "../store"), "the remote `store` is ../store, a folder that no pod has"),
        (REMOTE.replace("bucket", "{{workflow.name}}"), "would be expanded by Argo"),
    ],
)
def test_a_remote_that_no_pod_could_use_is_refused(tmp_path: Path, config: str, said: str) -> None:
    with pytest.raises(CanonError) as caught:
        load_remote(make_clustered(tmp_path, remote=config), "store")
    assert said in str(caught.value)
    assert "secret@" not in str(caught.value)


def test_a_machines_own_settings_of_a_remote_do_not_count(tmp_path: Path) -> None:
    root = make_clustered(tmp_path, remote=REMOTE + "    endpointurl = http://minio:9000\n")
    (root / ".dvc/config.local").write_text(REMOTE.replace("bucket", "mine"))
    remote = load_remote(root, "store")
    assert (remote.url, remote.endpoint) == ("s3://bucket/dvc", "http://minio:9000")


def test_the_order_of_declaration_changes_no_byte(tmp_path: Path) -> None:
    head, *stages = STAGES.splitlines()
    one = rendered(make_clustered(tmp_path / "a"))
    other = rendered(make_clustered(tmp_path / "b", HEAD + "\n".join([head, *reversed(stages)]) + "\n"))
    assert one == other


def test_what_hera_built_is_kept_and_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_clustered(tmp_path)
    first = rendered(root)
    (file,) = (root / kept.FOLDER).glob("*.json")

    def never(_: object) -> Manifests:
        raise AssertionError("built again")

    with monkeypatch.context() as patch:
        patch.setattr(kept, "build_manifests", never)
        assert rendered(root) == first
        # more stages of the same pod change nothing that Hera builds
        make_clustered(root, HEAD + STAGES + "  more: {cmd: x, deps: [m], outs: [more]}\n")
        more = rendered(root)["argo/toy/workflow/cluster.yaml"]
        assert "{name: more, template: stage" in more
        assert dag_in(more) != dag_in(first["argo/toy/workflow/cluster.yaml"])
    make_clustered(root)
    whole = file.read_bytes()
    for damaged in (b"", b"[]", whole[:-1], whole.replace(b"Always", b"OnError"), b"\xff\n" + whole):
        file.write_bytes(damaged)
        assert rendered(root) == first, "a damaged one is made anew"
        assert file.read_bytes() == whole


def test_what_a_commit_brings_is_not_believed(tmp_path: Path) -> None:
    root = make_clustered(tmp_path)
    first = rendered(root)
    (file,) = (root / kept.FOLDER).glob("*.json")
    content = file.read_bytes().partition(b"\n")[2].replace(b"Always", b"OnError")
    file.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    assert rendered(root) != first
    git(root, "init", "-q")
    git(root, "add", "-f", kept.FOLDER)
    file.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    assert rendered(root) == first


def test_another_setting_is_never_answered_with_what_is_kept(tmp_path: Path) -> None:
    root = make_clustered(tmp_path)
    rendered(root)
    make_clustered(root, settings=COMMON + CLUSTER + 'mlflow = "http://mlflow"\n')
    assert "http://mlflow" in rendered(root)["argo/toy/workflow/cluster.yaml"]
    make_clustered(root, HEAD + STAGES + "workflow: {parallelism: 3}\n")
    assert workflow_of(root)["spec"]["parallelism"] == 3


def test_few_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 2)
    for limit in range(1, 5):
        rendered(make_clustered(tmp_path, HEAD + STAGES + f"workflow: {{parallelism: {limit}}}\n"))
    assert len(list((tmp_path / kept.FOLDER).iterdir())) == 2


def test_a_graph_has_a_hash_that_its_pods_do_not_change(tmp_path: Path) -> None:
    from canon.model.graph import build_graph
    from canon.results.locks import declared_stages

    def tasks(declaration: str) -> tuple[Task, ...]:
        project = load_project(make_clustered(tmp_path, declaration))
        pipeline = project.pipelines[0]
        return build_tasks(pipeline.declaration, build_graph(declared_stages(project, pipeline)))

    plain = dag_hash(tasks(HEAD + STAGES))
    assert plain == dag_hash(reversed(tasks(HEAD + STAGES)))
    assert plain == dag_hash(tasks(HEAD + STAGES.replace("outs: [model]", "outs: [model], pod: {cpu: 3}")))
    assert plain == dag_hash(tasks(HEAD + STAGES.replace("sh t.sh", "sh other.sh")))
    assert plain != dag_hash(tasks(HEAD + STAGES.replace(", prepared]", "]")))
    assert plain != dag_hash(tasks(HEAD + STAGES + "workflow: {group: chain}\n"))


def test_what_several_adapters_find_is_said_at_once(tmp_path: Path) -> None:
    declaration = HEAD + STAGES.replace("outs: [model]", "outs: [prepared]")
    root = make_clustered(tmp_path, declaration, settings=(COMMON + CLUSTER).replace("tools_image", "# "))
    with pytest.raises(ProblemsError) as caught:
        render_project(load_project(root))
    assert "tools_image: is missing" in str(caught.value)
    assert "`prepared` is an out of `prepare`, too" in str(caught.value)


def test_an_account_that_submits_may_read_what_it_submits_alone(tmp_path: Path) -> None:
    root = make_clustered(tmp_path, HEAD + STAGES + "triggers: {push: {'exp/*': cluster}}\n")
    platform = list(yaml.safe_load_all(rendered(root)["argo/toy/platform/ml.yaml"]))
    rules = {each["metadata"]["name"]: each["rules"] for each in platform if each["kind"] == "Role"}
    assert rules == {
        "canon-toy-executor": [
            {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}
        ],
        "canon-toy-events": [
            {"apiGroups": ["argoproj.io"], "resources": ["workfloweventbindings"], "verbs": ["list"]},
            {"apiGroups": ["argoproj.io"], "resources": ["workflowtemplates"], "resourceNames": ["toy-cluster"], "verbs": ["get"]},
            {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["create"]},
        ],
    }  # fmt: skip
    bound = {each["roleRef"]["name"]: [subject["name"] for subject in each["subjects"]] for each in platform if each["kind"] == "RoleBinding"}  # fmt: skip
    assert bound == {name: [name] for name in rules}


def test_without_a_push_there_is_no_account_for_it(tmp_path: Path) -> None:
    files = rendered(make_clustered(tmp_path))
    assert "events" not in files["argo/toy/platform/ml.yaml"]
    assert "webhook" not in files["argo/toy/platform/README.md"]
