"""`canon status`: releases of a pushed repository, held against a cluster; a server answers over HTTPS as an API server does."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from canon.argocd.live_connection import Reach
from canon.deployments.live import healthy_for, load_declared
from canon.model.errors import CanonError
from canon.model.project import load_project
from canon.model.release import format_release, release_path
from tests.cluster_objects import NEW, OLD, application, pod, release
from tests.clustered import CLUSTER, COMMON, HEAD
from tests.conftest import git
from tests.e2e.faults import canon
from tests.e2e.submitted import STAGES, TRIGGERS, commit
from tests.kubernetes_server import TOKEN, KubernetesServer

pytestmark = pytest.mark.usefixtures("quick", "direct")
DEPLOYED = """\
artifacts: {model: {path: model, type: model}}
serving: {artifact: model, cmd: serve}
deploy: {staging: {namespace: toy-staging}, production: {namespace: toy, replicas: 2, from: staging}}
"""


@pytest.fixture
def released(pushed: Path) -> Path:
    """A project with two environments, and a release in the first, pushed."""
    file = pushed / release_path("toy", "staging")
    file.parent.mkdir(parents=True)
    file.write_text(format_release(release()))
    commit(pushed, pipelines__toy_dot_yaml=HEAD + TRIGGERS + STAGES + DEPLOYED)
    return pushed


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesServer]:
    (tmp_path / "kubernetes").mkdir()
    with KubernetesServer(tmp_path / "kubernetes") as found:
        found.applications["argocd", "toy-staging"] = application()
        found.pods["toy-staging"] = [pod()]
        monkeypatch.setenv("KUBECONFIG", str(found.kubeconfig()))
        yield found


def rows(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_all_is_as_declared(released: Path, cluster: KubernetesServer) -> None:
    done = canon(released, "status", "toy")
    assert rows(done) == [
        ["staging", "#7", NEW[:12], "Synced", "Healthy", "f" * 12, f"1 of {NEW[:12]}", "as declared", ""],
        ["production", "", "", "", "", "", "", "never released", ""],
    ]
    assert done.stderr == ""
    assert cluster.tokens.count(f"Bearer {TOKEN}") == len(cluster.tokens)


def test_json_has_what_a_script_needs(released: Path, cluster: KubernetesServer) -> None:
    cluster.pods["toy-staging"].append(pod("toy-\x1b[2J", OLD, replica_set="old"))
    found = json.loads(canon(released, "status", "toy", "--json", code=1).stdout)
    staging, production = found["environments"]
    assert staging == {
        "environment": "staging", "namespace": "toy-staging", "state": "drift", "head": git(released, "rev-parse", "HEAD"),
        "why": [f"rolling out: 1 of {NEW[:12]}, 1 of {OLD[:12]}", f"1 pod runs {OLD[:12]}, released is {NEW[:12]}; Argo CD has seen {'f' * 12}, not yet {git(released, 'rev-parse', 'HEAD')[:12]}"],
        "release": {"number": 7, "image": release().image, "digest": f"sha256:{NEW}"},
        "application": {"name": "toy-staging", "sync": "Synced", "health": "Healthy", "revision": "f" * 40, "operation": "Succeeded"},
        "running": [{"digest": f"sha256:{NEW}", "pods": 1}, {"digest": f"sha256:{OLD}", "pods": 1}],
        "pods": [
            {"name": "toy-1", "replica_set": "toy-5d8f", "image": release().image, "digest": f"sha256:{NEW}", "ready": True, "trouble": None},
            {"name": "toy-\ufffd[2J", "replica_set": "old", "image": release(digest=OLD).image, "digest": f"sha256:{OLD}", "ready": True, "trouble": None},
        ],
    }  # fmt: skip
    assert (production["state"], production["release"], production["pods"]) == ("never released", None, [])


def test_what_cannot_be_read_of_one_environment_is_said_and_the_others_are_shown(
    released: Path, cluster: KubernetesServer
) -> None:
    file = released / release_path("toy", "production")
    file.write_text(format_release(release("production", 8)))
    commit(released)
    cluster.rights = ["get applications.argoproj.io", "list pods toy-staging"]
    cluster.applications["argocd", "toy-production"] = application("production", "toy")
    staging, production = rows(canon(released, "status", "toy", code=1))
    assert staging[7] == "as declared"
    assert production[:8] == ["production", "#8", NEW[:12], "Synced", "Healthy", "f" * 12, "", "cannot tell"]
    assert (
        production[8]
        == "the account system:serviceaccount:ci:canon may not list pods in namespace toy (403); give it that right"
    )
    cluster.rights = []
    said = rows(canon(released, "status", "toy", code=1))[1][8]
    assert said.startswith(
        "the account system:serviceaccount:ci:canon may not get applications.argoproj.io in namespace argocd (403)"
    )


def test_a_cluster_that_cannot_be_reached(released: Path, cluster: KubernetesServer) -> None:
    gone = cluster.kubeconfig(cluster={"server": "https://127.0.0.1:1"}, name="gone")
    staging, production = rows(canon(released, "status", "toy", "--kubeconfig", str(gone), code=1))
    assert staging[:3] == ["staging", "#7", NEW[:12]]
    assert staging[7:] == production[7:] == [
        "cannot tell", "127.0.0.1:1 does not answer (connection refused): does this machine reach the cluster?",
    ]  # fmt: skip
    assert "no kubeconfig" in canon(released, "status", "toy", "--kubeconfig", "none", code=1).stderr
    assert "name nobody" in canon(released, "status", "toy", "--context", "nobody", code=1).stderr


def test_what_the_remote_has_counts_not_the_checkout(released: Path, cluster: KubernetesServer, tmp_path: Path) -> None:
    (released / release_path("toy", "staging")).write_text(format_release(release(number=9, digest=OLD)))
    before = git(released, "for-each-ref"), git(released, "count-objects"), git(released, "status", "--short")
    assert rows(canon(released, "status", "toy"))[0][1] == "#7"
    assert (git(released, "for-each-ref"), git(released, "count-objects"), git(released, "status", "--short")) == before
    local = rows(canon(released, "status", "toy", "--local", code=1))[0]
    assert (local[1], local[7]) == ("#9", "drift")
    git(tmp_path, "clone", "-q", "code.git", "colleague")
    (tmp_path / "colleague" / release_path("toy", "staging")).write_text(format_release(release(number=8, digest=OLD)))
    commit(tmp_path / "colleague")
    cluster.pods["toy-staging"] = [pod(digest=OLD)]
    assert rows(canon(released, "status", "toy"))[0][1] == "#8"


def test_releases_on_a_branch_of_their_own(released: Path, cluster: KubernetesServer) -> None:
    settings = (COMMON + CLUSTER).replace('toy.git"}', 'toy.git", releases = {branch = "deploy"}}')
    (released / release_path("toy", "staging")).unlink()
    commit(released, pyproject_dot_toml=settings)
    cluster.applications.clear()
    cluster.pods.clear()
    assert [row[7] for row in rows(canon(released, "status", "toy"))] == ["never released", "never released"]
    git(released, "checkout", "-q", "-b", "deploy")
    (released / release_path("toy", "staging")).parent.mkdir(parents=True, exist_ok=True)
    (released / release_path("toy", "staging")).write_text(format_release(release()))
    commit(released)
    git(released, "checkout", "-q", "main")
    cluster.applications["argocd", "toy-staging"] = found = application()
    cluster.pods["toy-staging"] = [pod()]
    assert "its Application has the branch main, declared is deploy" in canon(released, "status", "toy", code=1).stdout
    found["spec"]["source"]["targetRevision"] = "deploy"
    assert rows(canon(released, "status", "toy"))[0][7] == "as declared"


def test_a_release_that_was_edited_into_nonsense(released: Path, cluster: KubernetesServer) -> None:
    (released / release_path("toy", "staging")).write_text("schema: 1\npipeline: toy\nimage: \x07latest\n")
    commit(released)
    for arguments in ((), ("--local",)):
        staging, production = rows(canon(released, "status", "toy", *arguments, code=1))
        assert (staging[1], staging[7]) == ("", "cannot tell")
        assert "argo/toy/releases/staging.yaml" in staging[8]
        assert production[7] == "never released"
    assert cluster.requests


@pytest.mark.parametrize("local", [False, True])
def test_what_is_not_declared(pushed: Path, cluster: KubernetesServer, local: bool) -> None:  # noqa: FBT001  a parameter
    arguments = ("--local",) if local else ()
    assert (
        "declares no environment; declare them by `deploy`" in canon(pushed, "status", "toy", *arguments, code=1).stderr
    )
    assert "there is no pipeline `other`" in canon(pushed, "status", "other", *arguments, code=1).stderr
    assert cluster.requests == []


def test_where_no_repository_is_named_the_checkouts_releases_can_be_looked_at(
    released: Path, cluster: KubernetesServer
) -> None:
    (released / "pyproject.toml").write_text('[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n')
    (released / "pipelines/toy.yaml").write_text(HEAD + STAGES + DEPLOYED)
    assert (
        "has no `git`; say where releases are, or look at the checkout's by --local"
        in canon(released, "status", "toy", code=1).stderr
    )
    assert rows(canon(released, "status", "toy", "--local"))[0][7] == "as declared"
    assert cluster.requests


def test_health_for_a_gate(released: Path, cluster: KubernetesServer) -> None:
    project, reach = load_project(released), Reach(Path(os.environ["KUBECONFIG"]))

    def health(environment: str = "staging", seconds: float = 3600, **more: Any) -> tuple[bool, str]:
        return healthy_for(project, "toy", environment, seconds, reach=reach, **more)

    assert health()[0]
    assert health(release=release())[0]
    assert not health(release=release(digest=OLD))[0]
    assert health("production") == (False, "production has no release")
    with pytest.raises(CanonError, match="toy has no environment `nowhere`; declared are: staging, production"):
        health("nowhere")
    cluster.applications.clear()
    assert "Argo CD has no Application toy-staging in namespace argocd" in health()[1]
    assert [each.environment for each in load_declared(project, "toy", local=False)] == ["staging", "production"]
