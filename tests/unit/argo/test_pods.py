"""The pods of a Workflow: who holds what, and what a stage's `pod` says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from canon.argo.pods import TOOLS_COMMAND, seconds_from_duration
from canon.model import cluster
from canon.output.yaml import load_yaml
from tests.clustered import CLUSTER, COMMON, HEAD, SERVICES, STAGES, make_clustered, template_of, workflow_of

DATA = 'data: {raw: {path: raw.csv, from: {local: "s3://b/few.csv", cluster: "s3://b/all.csv"}}}\n'
Mapping = dict[str, Any]


def containers_of(template: Mapping) -> dict[str, Mapping]:
    if "container" in template:
        return {"main": template["container"]}
    found = [*template.get("initContainers", ()), *template.get("containerSet", {}).get("containers", ())]
    return {each["name"]: each for each in found}


def every_container(manifest: Mapping) -> Iterator[tuple[str, Mapping]]:
    for template in manifest["spec"]["templates"]:
        yield from ((f"{template['name']}/{name}", each) for name, each in containers_of(template).items())


def env_of(container: Mapping) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container["env"]}


def secrets_of(container: Mapping) -> dict[str, bool]:
    return {each["secretRef"]["name"].removeprefix("canon-toy-cluster-"): each["secretRef"].get("optional", False) for each in container.get("envFrom", ())}  # fmt: skip


@pytest.fixture
def manifest(tmp_path: Path) -> Mapping:
    return workflow_of(
        make_clustered(tmp_path, HEAD + DATA + STAGES, settings=COMMON + SERVICES + 'endpoint = "http://minio:9000"\n')
    )


def with_pod(root: Path, pod: str) -> Mapping:
    stages = f"stages: {{train: {{cmd: sh t.sh, deps: [t.sh], outs: [model], pod: {{{pod}}}}}}}\n"
    return template_of(workflow_of(make_clustered(root, HEAD + stages)), "stage")


def test_every_container_is_restricted_and_says_what_it_runs(manifest: Mapping) -> None:
    seen = dict(every_container(manifest))
    assert len(seen) == 2 + 2 * 4
    for name, container in seen.items():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert container["command"], name
        assert env_of(container)["HOME"] == "/tmp", name  # noqa: S108  an emptyDir
        assert "workingDir" not in container
    pod = manifest["spec"]["securityContext"]
    assert (pod["runAsNonRoot"], pod["runAsUser"], pod["fsGroup"]) == (True, 10001, 10001)
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert manifest["spec"]["automountServiceAccountToken"] is False


def test_credentials_are_where_they_are_needed_and_nowhere_else(manifest: Mapping) -> None:
    held = {name: set(secrets_of(container)) for name, container in every_container(manifest)}
    assert held == {
        "plan/main": {"remote", "git-read"},
        "deliver/main": {"remote", "git-write", "mlflow"},
        "stage/code": set(),
        "stage/fetch": {"remote"},
        "stage/main": {"data"},
        "stage/push": {"remote"},
        "stage-2/code": set(),
        "stage-2/fetch": {"remote"},
        "stage-2/main": {"mlflow"},
        "stage-2/push": {"remote"},
    }
    assert all(optional for _, container in every_container(manifest) for optional in secrets_of(container).values())
    mounted = {
        name: {mount["name"] for mount in container.get("volumeMounts", ())} for name, container in every_container(manifest)
    }  # fmt: skip
    assert {name for name, volumes in mounted.items() if "private" in volumes} == {
        name for name in held if name.endswith(("/fetch", "/push")) or name.startswith(("plan", "deliver"))
    }
    assert {name for name, volumes in mounted.items() if "registry" in volumes} == {"plan/main", "deliver/main"}


def test_plan_reads_sources_where_the_clock_starts_it_and_no_parameter_says_so(tmp_path: Path) -> None:
    schedule = 'triggers: {schedule: {cron: "0 3 * * 1", profile: cluster}}\n'
    root = make_clustered(tmp_path, HEAD + DATA + schedule + STAGES)
    manifest = workflow_of(root)
    plan = template_of(manifest, "plan")
    sources = [each for each in plan["container"]["envFrom"] if each["secretRef"]["name"].endswith("-data")]
    assert [each["prefix"] for each in sources] == ["CANON_DATA_"]
    assert plan["inputs"]["parameters"] == [{"name": "pin", "value": "false"}]
    given = {name: template_of(manifest, name)["dag"]["tasks"][0].get("arguments") for name in ("main", "scheduled")}
    assert given == {"main": None, "scheduled": {"parameters": [{"name": "pin", "value": "true"}]}}
    assert "pin" not in [each["name"] for each in manifest["spec"]["arguments"]["parameters"]]
    schedule_of = workflow_of(root, "argo/toy/workflow/cluster.schedule.yaml")
    assert schedule_of["spec"]["workflowSpec"]["entrypoint"] == "scheduled"
    # A schedule that comes before its template is not looked at again for 20 minutes.
    assert schedule_of["metadata"]["annotations"] == {"argocd.argoproj.io/sync-wave": "1"}


def test_a_datasets_stage_runs_canon_itself(manifest: Mapping) -> None:
    data, train = (containers_of(template_of(manifest, name)) for name in ("stage", "stage-2"))
    assert data["main"]["image"] == data["fetch"]["image"]
    assert data["code"]["image"] == train["main"]["image"] == "{{inputs.parameters.image}}"
    assert data["main"]["command"] == train["main"]["command"] == ["/bin/sh", cluster.SCRIPT]
    assert env_of(data["main"])["AWS_ENDPOINT_URL"] == "http://minio:9000"
    assert "MLFLOW_TRACKING_URI" not in env_of(data["main"])
    assert env_of(train["main"]) == {
        **dict.fromkeys(("HOME", "TMPDIR"), "/tmp"),  # noqa: S108
        "PYTHONDONTWRITEBYTECODE": "1",
        "MLFLOW_TRACKING_URI": "http://mlflow.mlops:5000",
    }


def test_the_tools_know_where_they_are(manifest: Mapping) -> None:
    stage = containers_of(template_of(manifest, "stage-2"))
    for name, command in (("fetch", "pull"), ("push", "push")):
        env = env_of(stage[name])
        assert stage[name]["args"] == ["step", command, "{{inputs.parameters.task}}"]
        assert env["CANON_PROTOCOL"] == str(cluster.PROTOCOL)
        assert (env["CANON_PIPELINE"], env["CANON_PROFILE"]) == ("toy", "cluster")
        assert env["CANON_WORKFLOW"] == "{{workflow.uid}}"
        assert env["CANON_REMOTE_URL"] == "s3://bucket/dvc"
        assert len(env["CANON_DAG"]) == 64
    assert [stage[name].get("dependencies") for name in ("fetch", "main", "push")] == [None, ["fetch"], ["fetch"]]
    plan = env_of(containers_of(template_of(manifest, "plan"))["main"])
    assert plan["CANON_REVISION"] == "{{=replace(workflow.parameters.revision, '$', '$$')}}"
    assert plan["CANON_GIT_BRANCHES"] == "main"
    assert plan["REGISTRY_AUTH_FILE"] == "/canon/registry/config.json"
    deliver = containers_of(template_of(manifest, "deliver"))["main"]
    assert deliver["args"] == ["step", "deliver"]
    assert env_of(deliver)["CANON_GIT_BRANCHES"] == "main"  # the plan, which names the commit, lies in the remote
    assert env_of(deliver)["CANON_REVISION"] == "{{inputs.parameters.revision}}"


def test_the_tools_keep_their_bytecode_where_no_users_command_could_put_any(manifest: Mapping, tmp_path: Path) -> None:
    """Images hold none: `push` finds what `fetch` made."""
    for name, container in every_container(manifest):
        mounted = {each["mountPath"] for each in container.get("volumeMounts", ())}
        ours = container["command"][0] == cluster.TOOLS_PYTHON
        assert ours is (cluster.PRIVATE in mounted), name
        assert not ours or f"pycache_prefix={cluster.PRIVATE}/bytecode" in container["command"], name
    command = [part.replace(cluster.PRIVATE, str(tmp_path)) for part in TOOLS_COMMAND[1:]]
    subprocess.run([sys.executable, *command, "--version"], check=True, stdout=subprocess.DEVNULL, env={"PYTHONDONTWRITEBYTECODE": "1"})  # fmt: skip
    assert list(tmp_path.rglob("canon/cli/main.*.pyc"))


def test_without_a_server_nothing_names_one(tmp_path: Path) -> None:
    for name, container in every_container(workflow_of(make_clustered(tmp_path))):
        assert "MLFLOW_TRACKING_URI" not in env_of(container), name
        assert "mlflow" not in secrets_of(container), name


def test_resources_are_of_the_users_container(tmp_path: Path) -> None:
    stage = with_pod(tmp_path, "cpu: 1.5, memory: 2Gi, ephemeral_storage: 5Gi, gpu: {count: 2, resource: amd.com/gpu}")
    assert containers_of(stage)["main"]["resources"] == {
        "requests": {"cpu": "1.5", "memory": "2Gi", "ephemeral-storage": "5Gi", "amd.com/gpu": "2"},
        "limits": {"memory": "2Gi", "ephemeral-storage": "5Gi", "amd.com/gpu": "2"},
    }


@pytest.mark.parametrize(("cpu", "written"), [("1", "1"), ("0.5", "0.5"), ("500m", "500m"), ("12", "12")])
def test_a_number_of_processors_is_written_plainly(tmp_path: Path, cpu: str, written: str) -> None:
    stage = with_pod(tmp_path, f"cpu: {cpu}")
    assert containers_of(stage)["main"]["resources"] == {"requests": {"cpu": written}}


@pytest.mark.parametrize(
    ("pod", "limit", "wait"),
    [
        ("cpu: 1", "2", {"duration": "10s", "factor": "2", "cap": "5m"}),
        ("retries: 5", "5", {"duration": "10s", "factor": "2", "cap": "5m"}),
        ("retries: {limit: 1, backoff: {duration: 1m, factor: 3, max: 1h}}", "1", {"duration": "1m", "factor": "3", "cap": "1h"}),
    ],
)  # fmt: skip
def test_faults_of_the_infrastructure_are_tried_again(tmp_path: Path, pod: str, limit: str, wait: Mapping) -> None:
    retries = with_pod(tmp_path, pod)["retryStrategy"]
    assert (retries["limit"], retries["backoff"], retries["retryPolicy"]) == (limit, wait, "Always")
    assert "maxDuration" not in retries["backoff"]  # counted from the first attempt's beginning: a long stage had none


def test_zero_retries_are_none(tmp_path: Path) -> None:
    assert "retryStrategy" not in with_pod(tmp_path, "retries: 0")


def test_the_users_variables_replace_ours_and_secrets_both(tmp_path: Path) -> None:
    stage = with_pod(tmp_path, "env: {HOME: /mnt, A: b, KEY: x}, secrets: {KEY: {secret: s, key: k}}, env_from: [more]")
    main = containers_of(stage)["main"]
    assert env_of(main) == {"HOME": "/mnt", "TMPDIR": "/tmp", "PYTHONDONTWRITEBYTECODE": "1", "A": "b", "KEY": ""}  # noqa: S108
    assert {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}} in main["env"]
    assert secrets_of(main) == {"more": False}
    assert "A" not in env_of(containers_of(stage)["fetch"])


def test_an_affinity_is_passed_on_as_it_is_written(tmp_path: Path) -> None:
    assert with_pod(tmp_path, "affinity: {nodeAffinity: {newer: [1]}}")["affinity"] == {"nodeAffinity": {"newer": [1]}}


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("100ms", 1), ("1m1ms", 61)])  # fmt: skip
def test_a_timeout_is_whole_seconds(text: str, seconds: int) -> None:
    assert seconds_from_duration(text) == seconds


@pytest.mark.parametrize(
    ("executor", "patched"),
    [("patch", {"initContainers": ["init"], "containers": ["wait"]}), ("supervisor", {"containers": ["supervisor"]}), ("none", None)],
)  # fmt: skip
def test_the_executors_own_containers_are_restricted_as_the_settings_say(
    tmp_path: Path, executor: str, patched: dict[str, list[str]] | None
) -> None:
    settings = (COMMON + CLUSTER).replace("default_profile", f'executor = "{executor}"\ndefault_profile')
    text = workflow_of(make_clustered(tmp_path, settings=settings))["spec"].get("podSpecPatch")
    found = load_yaml(text, "patch") if text else None
    names = {key: [each["name"] for each in containers] for key, containers in found.items()} if found else None
    assert names == patched


def test_stages_with_equal_pods_share_a_template(tmp_path: Path) -> None:
    stages = "stages:\n" + "".join(
        f"  s{number}: {{cmd: x, deps: [a], outs: [o{number}], pod: {{cpu: {1 + number % 2}}}}}\n"
        for number in range(6)
    )
    manifest = workflow_of(make_clustered(tmp_path, HEAD + stages))
    tasks = template_of(manifest, "stages")["dag"]["tasks"]
    assert {task["name"]: task["template"] for task in tasks} == {f"s{number}": ("stage", "stage-2")[number % 2] for number in range(6)}  # fmt: skip
    assert [each["name"] for each in manifest["spec"]["templates"]] == ["main", "stages", "plan", "stage", "stage-2", "deliver"]  # fmt: skip
