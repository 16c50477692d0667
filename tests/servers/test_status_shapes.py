"""What an environment looks like in a cluster, shape by shape, read by Kubernetes' own client over HTTPS from what answers as an API server does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from canon.argocd import live_server
from canon.argocd.live import look
from canon.argocd.live_connection import Reach, opened_connection
from canon.argocd.live_objects import Watched
from canon.argocd.live_server import Cluster
from canon.argocd.status import Declared, Row, compare
from canon.argocd.status_health import Finding, healthy_since
from tests.cluster_objects import NEW, NOW, OLD, REPOSITORY, URL, application, changed, pod, release, waiting
from tests.kubernetes_server import KubernetesServer

pytestmark = pytest.mark.usefixtures("direct")
Object = dict[str, Any]
DECLARED = Declared(
    "toy", "staging", 1, "toy-staging",
    Watched(URL, "main", "argo/toy/environments/staging", "toy-staging", ""), release(), head="f" * 40,
)  # fmt: skip
WAITING = Declared("toy", "staging", 1, "toy-staging", DECLARED.watches)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesServer]:
    with KubernetesServer(tmp_path_factory.mktemp("kubernetes")) as found:
        yield found


@pytest.fixture
def server(one: KubernetesServer, monkeypatch: pytest.MonkeyPatch) -> KubernetesServer:
    monkeypatch.setattr(live_server, "pause", lambda _: None)
    one.forget()
    one.clock = datetime.fromisoformat(NOW)
    one.applications["argocd", "toy-staging"] = application()
    return one


def seen(server: KubernetesServer, pods: Sequence[Object], declared: Declared = DECLARED) -> tuple[Row, datetime]:
    server.pods["toy-staging"] = list(pods)
    with opened_connection(Reach(server.kubeconfig())) as connection:
        cluster = Cluster(connection)
        return compare(declared, look(cluster, declared, "argocd")), cluster.now


def said(row: Row) -> list[str]:
    return [each.text for each in row.words]


def with_replicas(number: int) -> Declared:
    return Declared("toy", "staging", number, "toy-staging", DECLARED.watches, release(), head="f" * 40)


def test_what_runs_as_declared(server: KubernetesServer) -> None:
    row, now = seen(server, [pod("toy-1"), pod("toy-2"), pod("other", OLD, environment="production")], with_replicas(2))
    assert (row.state, said(row), row.running) == ("as declared", [], ((f"sha256:{NEW}", 2),))
    assert now == datetime(2026, 11, 2, 12, tzinfo=UTC)
    assert [each.partition("?")[0] for each in server.requests] == [
        "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/toy-staging",
        "/api/v1/namespaces/toy-staging/pods",
    ]


def test_two_replica_sets_in_a_rollout(server: KubernetesServer) -> None:
    server.applications["argocd", "toy-staging"] = application(
        health={"status": "Progressing", "message": "1 of 2 updated"}
    )
    new = pod("toy-new", replica_set="toy-new", containerStatuses=[waiting("ContainerCreating")])
    row, _ = seen(
        server, [pod("toy-1", OLD, replica_set="toy-old"), pod("toy-2", replica_set="toy-new"), new], with_replicas(2)
    )
    assert row.state == "drift"
    assert said(row) == [
        "Argo CD says Progressing: 1 of 2 updated",
        f"rolling out: 1 of {OLD[:12]}, 1 of {NEW[:12]}, 1 of unknown",
        f"1 pod runs {OLD[:12]}, released is {NEW[:12]}",
        "toy-new: ContainerCreating",
        "1 of 2 pods are ready with what was released",
    ]
    assert {digest for digest, _ in row.running} == {f"sha256:{OLD}", f"sha256:{NEW}", ""}


def test_a_pod_on_its_way_out_and_one_that_is_over_serve_no_more(server: KubernetesServer) -> None:
    leaving = changed(pod("toy-old", OLD, replica_set="old"), "metadata.deletionTimestamp", NOW)
    over = pod("toy-evicted", OLD, replica_set="old", phase="Failed", reason="Evicted")
    assert seen(server, [pod(), leaving, over])[0].state == "as declared"
    row, _ = seen(server, [over])
    assert said(row) == ["0 of 1 pods are ready with what was released, toy-evicted ended"]


def test_argo_cd_has_not_seen_the_release_yet(server: KubernetesServer) -> None:
    server.applications["argocd", "toy-staging"] = application(revision="9" * 40)
    row, _ = seen(server, [pod(digest=OLD)])
    assert (
        said(row)[0]
        == f"1 pod runs {OLD[:12]}, released is {NEW[:12]}; Argo CD has seen {'9' * 12}, not yet {'f' * 12}"
    )


TAG = f"{REPOSITORY}:latest"
RUNNING: Object = {"state": {"running": {}}, "ready": True}
INIT = [{"name": "warm", "imageID": f"{REPOSITORY}@sha256:{OLD}", "state": {"terminated": {"exitCode": 0}}}]
PODS: list[tuple[str, Object, str, list[str]]] = [
    ("tag", pod(image=TAG), "drift", [f"{TAG} is named by a tag, not pinned by its digest"]),
    ("docker", pod(image_id=f"docker-pullable://{REPOSITORY}@sha256:{NEW}"), "as declared", []),
    ("mirror", pod(image_id=f"mirror.example.com:5000/cache/toy@sha256:{NEW}"), "as declared", []),
    ("containerd, imported", pod(image_id=f"sha256:{NEW}"), "cannot tell", [f"cannot tell what runs: sha256:{NEW} is the digest of no manifest, as the runtime gives it for toy-1"]),
    ("docker, loaded", pod(image_id=f"docker://sha256:{NEW}"), "cannot tell", [f"cannot tell what runs: docker://sha256:{NEW} is the digest of no manifest, as the runtime gives it for toy-1"]),
    ("CRI-O, an id", pod(image_id=NEW), "cannot tell", [f"cannot tell what runs: {NEW} is the digest of no manifest, as the runtime gives it for toy-1"]),
    ("no imageID", changed(pod(), "status.containerStatuses.0.imageID", None), "cannot tell", ["cannot tell what runs: there is no imageID, as the runtime gives it for toy-1"]),
    ("an id of another image", pod(digest=OLD, image_id=OLD), "drift", [f"toy-1 names {OLD[:12]}, released is {NEW[:12]}", f"cannot tell what runs: {OLD} is the digest of no manifest, as the runtime gives it for toy-1"]),
    ("changed in place", pod(image=f"{REPOSITORY}@sha256:{OLD}"), "drift", [f"toy-1 names {OLD[:12]} and runs {NEW[:12]}"]),
    ("init container of another image", pod(initContainerStatuses=INIT), "as declared", []),
    ("init container fails", pod(containerStatuses=[waiting("PodInitializing")], initContainerStatuses=[waiting("CrashLoopBackOff", "back-off", name="warm")]), "drift", ["toy-1: CrashLoopBackOff: back-off", "0 of 1 pods are ready with what was released"]),
    ("no image", pod(containerStatuses=[waiting("ImagePullBackOff", "Back-off pulling\x1b[2J")]), "drift", ["toy-1: ImagePullBackOff: Back-off pulling\ufffd[2J", "0 of 1 pods are ready with what was released"]),
    ("not scheduled", changed(pod(phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]), "status.containerStatuses", None), "drift", ["toy-1: Unschedulable: 0/3 nodes", "0 of 1 pods are ready with what was released"]),
    ("not ready", pod(conditions=[{"type": "Ready", "status": "False"}]), "drift", ["0 of 1 pods are ready with what was released"]),
    ("crashed", pod(containerStatuses=[{"name": "serving", "imageID": f"{REPOSITORY}@sha256:{NEW}", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]), "drift", ["toy-1: OOMKilled (exit code 137)", "0 of 1 pods are ready with what was released"]),
    ("nonsense", {"metadata": {"name": 3, "labels": pod()["metadata"]["labels"], "ownerReferences": "x"}, "spec": {"containers": {"a": 1}}, "status": []}, "drift", ["which of several containers serves cannot be told: ", "0 of 1 pods are ready with what was released"]),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "state", "words"), [each[1:] for each in PODS], ids=[each[0] for each in PODS])
def test_shapes_of_pods(server: KubernetesServer, shape: Object, state: str, words: list[str]) -> None:
    row, _ = seen(server, [shape])
    assert (row.state, said(row)) == (state, words)


def test_the_container_that_serves_is_found_beside_others(server: KubernetesServer) -> None:
    """By its name, as the only one, or as the only one of the released image."""
    mesh = {"name": "mesh", "image": f"mesh.example.com/proxy@sha256:{OLD}"}
    its = {"name": "mesh", "ready": True, "imageID": mesh["image"], "state": {"running": {}}}
    for name, other, state in (
        ("serving", mesh, "as declared"),
        ("web", mesh, "as declared"),
        ("web", {**mesh, "image": TAG}, "cannot tell"),
    ):
        shape = pod(container=name)
        shape["spec"]["containers"].insert(0, other)
        shape["status"]["containerStatuses"].insert(0, its)
        assert seen(server, [shape])[0].state == state


def test_pods_come_in_pages(server: KubernetesServer) -> None:
    server.page = 3
    row, _ = seen(server, [pod(f"toy-{number}") for number in range(10)], with_replicas(10))
    assert (row.state, row.running) == ("as declared", ((f"sha256:{NEW}", 10),))
    assert sum("/pods" in each for each in server.requests) == 4


def test_none_runs(server: KubernetesServer) -> None:
    row, _ = seen(server, [])
    assert (row.state, said(row)) == ("drift", ["0 of 1 pods are ready with what was released"])
    assert seen(server, [], with_replicas(0))[0].state == "as declared"
    server.namespaces.remove("toy-staging")
    assert said(seen(server, [])[0])[0] == "there is no namespace toy-staging"


SPEC = application()["spec"]
APPLICATIONS: list[tuple[str, Object, str, list[str]]] = [
    ("out of sync", application(sync={"status": "OutOfSync", "revision": "f" * 40}), "drift", ["Argo CD says OutOfSync"]),
    ("degraded", application(health={"status": "Degraded", "message": "exceeded its progress deadline"}), "drift", ["Argo CD says Degraded: exceeded its progress deadline"]),
    ("missing", application(health={"status": "Missing"}), "drift", ["Argo CD says Missing"]),
    ("suspended", application(health={"status": "Suspended"}), "drift", ["Argo CD says Suspended"]),
    ("never compared", changed(application(), "status", None), "cannot tell", ["Argo CD cannot tell whether it is in sync", "Argo CD says Unknown"]),
    ("cannot compare", application(sync={"status": "Unknown"}, conditions=[{"type": "ComparisonError", "message": "app path does not exist"}, {"type": "SharedResourceWarning", "message": "x"}]), "drift", ["ComparisonError: app path does not exist", "Argo CD cannot tell whether it is in sync"]),
    ("sync failed", application(operationState={"phase": "Failed", "message": "one or more objects failed to apply"}), "drift", ["the last sync failed: one or more objects failed to apply"]),
    ("syncing", application(operationState={"phase": "Running", "message": "waiting for healthy state"}), "as declared", ["a sync is going on: waiting for healthy state"]),
    ("being deleted", changed(application(), "metadata.deletionTimestamp", NOW), "drift", ["its Application is being deleted"]),
    ("another branch", changed(application(), "spec.source.targetRevision", "exp/mine"), "drift", ["its Application has the branch exp/mine, declared is main"]),
    ("another folder", changed(application(), "spec.source.path", "argo/toy/environments/production"), "drift", ["its Application has the folder argo/toy/environments/production, declared is argo/toy/environments/staging"]),
    ("another repository", changed(application(), "spec.source.repoURL", "https://evil.example.com/toy"), "drift", ["its Application has the repository https://evil.example.com/toy, declared is https://git.example.com/ml/toy"]),
    ("several sources", changed(application(), "spec.source", {}), "drift", [f"its Application has the {what} of nobody, declared is {which}" for what, which in (("repository", URL[:-4]), ("branch", "main"), ("folder", "argo/toy/environments/staging"))]),
    ("another cluster", changed(application(), "spec.destination.server", "https://other:6443"), "cannot tell", ["its Application deploys to the cluster https://other:6443; its pods were looked for in another"]),
    ("nonsense", {"metadata": [], "spec": 3, "status": {"sync": "Synced", "health": [1], "conditions": "x"}}, "drift", [f"its Application has the {what} of nobody, declared is {which}" for what, which in (("repository", URL[:-4]), ("branch", "main"), ("folder", "argo/toy/environments/staging"), ("namespace", "toy-staging"))]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "state", "words"), [each[1:] for each in APPLICATIONS], ids=[each[0] for each in APPLICATIONS]
)
def test_shapes_of_applications(server: KubernetesServer, shape: Object, state: str, words: list[str]) -> None:
    if shape.get("metadata") == []:
        words = [*words, "Argo CD cannot tell whether it is in sync", "Argo CD says Unknown"]
    server.applications["argocd", "toy-staging"] = shape
    row, _ = seen(server, [pod()])
    assert (row.state, said(row)) == (state, words)


def test_an_environment_without_a_release_waits(server: KubernetesServer) -> None:
    server.applications.clear()
    row, _ = seen(server, [], WAITING)
    assert (row.state, said(row)) == ("never released", [])
    server.rights = ["get applications.argoproj.io"]  # those of the environment come with it
    row, _ = seen(server, [], WAITING)
    assert row.state == "never released"
    assert said(row)[0].startswith(
        "the account system:serviceaccount:ci:canon may not list pods in namespace toy-staging (403)"
    )
    server.rights = ["get applications.argoproj.io", "list pods"]
    assert said(seen(server, [pod()], WAITING)[0]) == ["1 pod runs, and nothing was released"]
    server.applications["argocd", "toy-staging"] = application()
    assert seen(server, [], WAITING)[0].state == "drift"


DAY = timedelta(days=1)


def health(server: KubernetesServer, pods: Sequence[Object], duration: timedelta = DAY) -> Finding:
    row, now = seen(server, pods)
    return healthy_since(row, duration, now)


def test_healthy_for_a_day(server: KubernetesServer) -> None:
    assert health(server, [pod()]) == (True, "staging runs toy#staging#7 in 1 pod, healthy for more than 1d")
    server.clock = datetime.fromisoformat("2026-11-01T10:00:00Z")
    found = health(server, [pod()])
    assert not found.holds
    assert (
        "Argo CD says Healthy since 23h 55m only; toy-1 is ready since 23h 56m only; the container of toy-1 runs since 23h 56m only"
        in found.says
    )
    assert health(server, [pod()], timedelta(hours=23)).holds


LATE = "2026-11-02T11:00:00Z"
UNPROVEN: list[tuple[Object, Object, str]] = [
    (changed(application(), "status.health.lastTransitionTime", None), pod(), "does not say since when it is healthy (status.health.lastTransitionTime)"),
    (changed(application(), "status.health.lastTransitionTime", "yesterday"), pod(), "does not say since when it is healthy"),
    (changed(application(), "status.health.lastTransitionTime", "2026-11-09T00:00:00Z"), pod(), "Argo CD says Healthy since 0s only"),
    (changed(application(), "status.health.lastTransitionTime", LATE), pod(), "Argo CD says Healthy since 1h only"),
    (changed(application(), "status.reconciledAt", None), pod(), "when it compared last (status.reconciledAt)"),
    (changed(application(), "status.reconciledAt", "2026-10-31T09:00:00Z"), pod(), "has not compared since the release"),
    (changed(application(), "status.operationState", None), pod(), "Argo CD's last sync is unknown, not Succeeded"),
    (application(operationState={"phase": "Running"}), pod(), "a sync is going on"),
    (application(sync={"status": "OutOfSync"}), pod(), "Argo CD says OutOfSync"),
    (application(), pod(digest=OLD), f"1 pod runs {OLD[:12]}, released is {NEW[:12]}"),
    (application(), pod(image_id=f"sha256:{NEW}"), "toy-1 is not known to run what was released"),
    (application(), changed(pod(), "status.containerStatuses.0.state.running.startedAt", LATE), "the container of toy-1 runs since 1h only"),
    (application(), changed(pod(), "status.containerStatuses.0.state.running", {}), "the container of toy-1 runs since nobody knows when"),
    (application(), changed(pod(), "status.conditions.1.lastTransitionTime", LATE), "toy-1 is ready since 1h only"),
    (application(), changed(pod(), "status.conditions.1.status", "False"), "0 of 1 pods are ready"),
    (application(), changed(pod(), "metadata.deletionTimestamp", NOW), "no pod serves"),
]  # fmt: skip


@pytest.mark.parametrize(("application_", "pod_", "words"), UNPROVEN, ids=[each[2][-40:] for each in UNPROVEN])
def test_what_does_not_prove_that_it_was_healthy(
    server: KubernetesServer, application_: Object, pod_: Object, words: str
) -> None:
    server.applications["argocd", "toy-staging"] = application_
    found = health(server, [pod_])
    assert not found.holds
    assert found.says.startswith("staging is not known to be healthy for 1d: ")
    assert words in found.says


def test_health_of_what_cannot_be_read_is_not_known(server: KubernetesServer) -> None:
    server.rights = ["list pods"]
    assert "may not get applications.argoproj.io in namespace argocd (403)" in health(server, [pod()]).says
    server.rights = ["get applications.argoproj.io"]
    assert "may not list pods in namespace toy-staging (403)" in health(server, [pod()]).says
    row, now = seen(server, [], WAITING)
    assert healthy_since(row, DAY, now) == (False, "staging has no release")


def test_a_release_at_no_time_proves_nothing(server: KubernetesServer) -> None:
    declared = Declared("toy", "staging", 1, "toy-staging", DECLARED.watches, release(time="2026-13-45T99:00:00Z"))
    row, now = seen(server, [pod()], declared)
    assert "Argo CD has not compared since the release" in healthy_since(row, DAY, now).says
