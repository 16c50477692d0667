"""How an API server is reached, with which credentials, and what it, or what stands in its place, may answer: nothing hangs, nothing is sent elsewhere."""

from __future__ import annotations

import base64
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from canon.argocd import live_connection, live_server
from canon.argocd.live_connection import Reach, opened_connection
from canon.argocd.live_server import Cluster, LiveError, LiveForbiddenError, LiveMissingError, LiveUnreachableError
from canon.model.errors import CanonError
from tests.cluster_objects import application, pod
from tests.kubernetes_server import RIGHTS, TOKEN, KubernetesServer, Reply, nowhere, status
from tests.proxies import proxy_to
from tests.registry import make_tls

pytestmark = pytest.mark.usefixtures("direct")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesServer]:
    monkeypatch.setattr(live_server, "pause", lambda _: None)
    monkeypatch.setattr(live_server, "READ", 0.3)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with KubernetesServer(tmp_path) as found:
        found.applications["argocd", "toy-staging"] = application()
        yield found


def ask(file: Path | None, context: str | None = None) -> Any:
    with opened_connection(Reach(file, context)) as connection:
        return Cluster(connection).application("argocd", "toy-staging")["kind"]


def plugin(tmp_path: Path, script: str, version: str = "v1") -> dict[str, Any]:
    """A user of a kubeconfig whose credentials a command gives."""
    (tmp_path / "plugin.py").write_text(script)
    return {
        "exec": {
            "apiVersion": f"client.authentication.k8s.io/{version}", "command": sys.executable, "args": ["-I", str(tmp_path / "plugin.py")],
            "env": [{"name": "PLUGIN_SAYS", "value": TOKEN}], "interactiveMode": "Never", "provideClusterInfo": True,
        }
    }  # fmt: skip


GIVES = """
import json, os
asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert asked["spec"]["cluster"]["server"].startswith("https://127.0.0.1")
print(json.dumps({"kind": "ExecCredential", "apiVersion": asked["apiVersion"], "status": {"token": os.environ["PLUGIN_SAYS"]}}))
"""


def test_each_way_to_be_known(server: KubernetesServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    authority = server.authority
    assert authority is not None
    data = base64.b64encode(authority.read_bytes()).decode()
    ways: list[tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]] = [
        (None, None),
        ({"tokenFile": "token"}, {"certificate-authority": "certificate.pem"}),  # paths are the kubeconfig's
        (None, {"certificate-authority-data": data}),
        (None, {"tls-server-name": "localhost"}),
        (plugin(tmp_path, GIVES), None),
        (plugin(tmp_path, GIVES, "v1beta1"), None),
    ]
    for user, cluster in ways:
        assert ask(server.kubeconfig(user, cluster)) == "Application"
    assert set(server.tokens) == {f"Bearer {TOKEN}"}


def test_a_client_certificate_is_shown_and_lies_nowhere_afterwards(
    server: KubernetesServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tls(tmp_path / "mine")
    held = tmp_path / "held"
    held.mkdir()
    monkeypatch.setenv("TMPDIR", str(held))
    monkeypatch.setattr("tempfile.tempdir", None)
    files = {"client-certificate-data": "certificate.pem", "client-key-data": "key.pem"}
    user = {key: base64.b64encode((tmp_path / "mine" / name).read_bytes()).decode() for key, name in files.items()}
    with opened_connection(Reach(server.kubeconfig({**user, "token": TOKEN}))) as connection:
        assert Cluster(connection).has_namespace("toy")
        assert [file.stat().st_mode & 0o77 for file in held.rglob("*") if file.is_file()] == [0, 0]
    assert list(held.iterdir()) == []


def test_which_kubeconfig_is_meant(server: KubernetesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(os.environ["HOME"])
    with pytest.raises(CanonError, match="nothing says how the cluster is reached; name a kubeconfig by --kubeconfig"):
        ask(None)
    file = server.kubeconfig()
    (home / ".kube").mkdir()
    file.rename(home / ".kube/config")
    assert ask(None) == "Application"
    bad = server.kubeconfig({"token": "another"}, name="another")
    monkeypatch.setenv("KUBECONFIG", f"{server.folder / 'none'}:{bad}")
    with pytest.raises(LiveUnreachableError, match=r"does not take the credentials of .*/another \(401\); log in"):
        ask(None)
    with pytest.raises(
        LiveForbiddenError, match=r"/nobody gives no credentials, and without any nobody may get applications"
    ):
        ask(server.kubeconfig({}, name="nobody"))
    good = server.kubeconfig(name="good")
    assert ask(good) == "Application"
    with pytest.raises(
        CanonError, match=r"Expected object with name other in .*contexts list; correct it, or name another"
    ):
        ask(good, "other")
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    with pytest.raises(CanonError, match="KUBECONFIG names /nowhere, and no such file is there"):
        ask(None)
    with pytest.raises(CanonError, match="there is no kubeconfig /nowhere"):
        ask(Path("/nowhere"))


def test_without_the_client(server: KubernetesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_connection, "find_spec", lambda _: None)
    with pytest.raises(CanonError, match="client is not installed, which the tools image leaves out"):
        ask(server.kubeconfig())


def test_the_account_of_a_pod(server: KubernetesServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes.config import incluster_config

    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text(TOKEN)
    assert server.authority is not None
    (account / "ca.crt").write_bytes(server.authority.read_bytes())
    monkeypatch.setattr(live_connection, "ACCOUNT", account / "token")
    monkeypatch.setattr("kubernetes.config.incluster_config.SERVICE_TOKEN_FILENAME", str(account / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(account / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", server.url.rpartition(":")[2])
    assert ask(None) == "Application"
    with pytest.raises(CanonError, match="nothing says how the cluster is reached"):
        ask(None, "a-context")


SECRET = "kept-to-ourselves"
USERS: list[tuple[dict[str, Any], str]] = [
    ({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "env": [{"name": "A", "value": SECRET}]}}, "gives no credentials: exec: malformed request. missing key 'command'"),
    ({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin", "env": [{"name": "A", "value": SECRET}]}}, "gives no credentials: .*no-such-plugin"),
    ({"token": SECRET, "exec": 3, "client-certificate": "/nowhere"}, "File does not exist: /nowhere"),
    ({"exec": {"apiVersion": SECRET, "command": ["x"]}}, "gives no credentials: "),
    ({"exec": [SECRET]}, "gives no credentials: "),
    ({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "x", "args": [SECRET], "env": [{"name": "A"}]}}, "gives no credentials: Invalid kube-config file. Expected key value in "),
    ({"token": f"{SECRET}\x00\n{SECRET}"}, "characters that no token has"),
    ({"client-key-data": SECRET, "client-certificate-data": SECRET}, "no kubeconfig that can be read"),
]  # fmt: skip


@pytest.mark.parametrize(("user", "words"), USERS)
def test_no_credentials_are_shown(
    server: KubernetesServer, capfd: pytest.CaptureFixture[str], user: dict[str, Any], words: str
) -> None:
    with pytest.raises(CanonError, match=words) as caught:
        ask(server.kubeconfig(user))
    assert SECRET not in f"{caught.value!r}{capfd.readouterr()}"


FAILS = "import os, sys\nsys.exit('session expired\\x1b[2J, run `cloud login`')\n"
HANGS = "import time\ntime.sleep(3)\n"
NO_TOKEN = 'import json\nprint(json.dumps({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {}}))\n'


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            FAILS,
            "gives no credentials: exec: process returned 1. session expired\ufffd\\[2J, run `cloud login`; log in, or correct it",
        ),
        (HANGS, "its plugin for credentials gave none within 0 s"),
        ("print('{')", "failed to decode process output"),
        (NO_TOKEN, "missing token or clientCertificateData"),
    ],
)
def test_a_plugin_that_gives_no_credentials(
    server: KubernetesServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    if script is HANGS:
        monkeypatch.setattr(live_connection, "PLUGIN_TIMEOUT", 0.3)
    with pytest.raises(CanonError, match=words):
        ask(server.kubeconfig(plugin(tmp_path, script)))
    assert server.requests == []


def test_what_an_earlier_plugin_is_complained_of_is_not_this_ones(
    server: KubernetesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = live_connection._configuration

    def beside(files: list[str], context: str | None, folder: str) -> object:
        other = threading.Thread(target=logging.getLogger().error, args=("exec: failed, long ago",))
        other.start()
        other.join()
        return read(files, context, folder)

    monkeypatch.setattr(live_connection, "_configuration", beside)
    assert ask(server.kubeconfig()) == "Application"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "file is empty"),
        ("a: [", "line 1: is no kubeconfig that can be read"),
        ("[]", "is no kubeconfig that can be read"),
        ("clusters: 3", "is no kubeconfig that can be read"),
        ("current-context: a\ncontexts: []\nclusters: []\n", "Expected object with name a"),
        ("\x00", "is no kubeconfig that can be read"),
    ],
)
def test_what_is_no_kubeconfig(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(CanonError, match=words):
        ask(tmp_path / "config")


def test_what_no_server_is_asked_by(server: KubernetesServer) -> None:
    for address, words in (
        ("ftp://a", "names no server by http"),
        ("http://cluster.example.com", "names a server without TLS, which would show the credentials"),
        ("https://", "names no server by http"),
    ):
        with pytest.raises(CanonError, match=words):
            ask(server.kubeconfig(cluster={"server": address}))
    for proxy in ("socks5://127.0.0.1:1", "nonsense"):
        with pytest.raises(CanonError, match="proxy-url"):
            ask(server.kubeconfig(cluster={"server": "https://cluster.example.com", "proxy-url": proxy}))


REFUSED: list[tuple[Reply, type[LiveError], str]] = [
    (status(500, "InternalError", f"etcdserver: request timed out {TOKEN}\x1b[2J"), LiveError, "answers 500: etcdserver: request timed out …\ufffd\\[2J"),
    (status(403, "Forbidden", "no"), LiveForbiddenError, r"the account of .* may not get applications.argoproj.io in namespace argocd \(403\)"),
    ((302, "text/html", b""), LiveError, "redirects, which is not followed"),
    ((200, "text/html", b"<html>log in</html>"), LiveError, r"not as an API server does \(no JSON\)"),
    ((200, "application/json", b"[" * 100_000), LiveError, "not as an API server does"),
    ((200, "application/json", b"[]"), LiveError, "not as an API server does"),
    (nowhere(), LiveError, "knows no applications.argoproj.io: is Argo CD installed there"),
    ((418, "application/json", b'{"message": [1]}'), LiveError, "answers 418; asked was: get applications"),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "kind", "words"), REFUSED, ids=[each[2][:30] for each in REFUSED])
def test_what_it_refuses_is_said_and_the_next_is_asked(
    server: KubernetesServer, reply: Reply, kind: type[LiveError], words: str
) -> None:
    server.faults = [("applications", reply)] * live_server.TRIES
    with opened_connection(Reach(server.kubeconfig())) as connection:
        cluster = Cluster(connection)
        with pytest.raises(kind, match=words) as caught:
            cluster.application("argocd", "toy-staging")
        assert TOKEN not in str(caught.value)
        assert cluster.has_namespace("toy")


def test_what_passes_is_asked_again(server: KubernetesServer) -> None:
    server.faults = [("applications", status(429, "TooManyRequests", "wait")), ("applications", status(503, "x", "x"))]
    assert ask(server.kubeconfig()) == "Application"
    assert len(server.requests) == 3


def test_rights_are_named_one_by_one(server: KubernetesServer) -> None:
    server.rights = [each for each in RIGHTS if "pods" not in each]
    with opened_connection(Reach(server.kubeconfig())) as connection:
        cluster = Cluster(connection)
        assert cluster.application("argocd", "toy-staging")
        with pytest.raises(
            LiveForbiddenError,
            match=r"account system:serviceaccount:ci:canon may not list pods in namespace toy \(403\)",
        ):
            cluster.pods("toy", "toy", "staging")
        server.rights = ["get applications.argoproj.io toy"]
        with pytest.raises(
            LiveForbiddenError, match=r"may not get applications.argoproj.io in namespace argocd \(403\)"
        ):
            cluster.application("argocd", "toy-staging")
        assert cluster.has_namespace("toy") is None


def test_what_is_not_there(server: KubernetesServer) -> None:
    with opened_connection(Reach(server.kubeconfig())) as connection:
        cluster = Cluster(connection)
        with pytest.raises(LiveMissingError, match=r'applications.argoproj.io "toy-x" not found'):
            cluster.application("argocd", "toy-x")
        with pytest.raises(
            LiveError, match=r"no namespace elsewhere, where Argo CD should be; correct `argocd.namespace`"
        ):
            cluster.application("elsewhere", "toy-x")
        server.has_argocd = False
        with pytest.raises(LiveError, match="is Argo CD installed there"):
            cluster.application("argocd", "toy-staging")
        assert cluster.pods("nowhere", "toy", "staging") == []
        assert cluster.has_namespace("nowhere") is False


@pytest.mark.parametrize(
    ("fault", "words"), [(None, r"does not answer \("), (30.0, "does not answer in time")], ids=["cut", "hangs"]
)
def test_who_does_not_answer_is_asked_once(server: KubernetesServer, fault: float | None, words: str) -> None:
    server.faults = [("applications", fault)]
    with opened_connection(Reach(server.kubeconfig())) as connection:
        cluster = Cluster(connection)
        with pytest.raises(LiveUnreachableError, match=words):
            cluster.application("argocd", "toy-staging")
        with pytest.raises(LiveUnreachableError, match=words):
            cluster.pods("toy", "toy", "staging")
    assert len(server.requests) == 1


def test_an_answer_without_an_end(server: KubernetesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_server, "LARGEST", 1000)
    server.applications["argocd", "toy-staging"] = application(message="x" * 2000)
    with pytest.raises(LiveUnreachableError, match="does not end its answer"):
        ask(server.kubeconfig())
    server.pods["toy"] = [pod(f"toy-{number}") for number in range(5)]
    server.page = 1
    monkeypatch.setattr(live_server, "LARGEST", 1 << 20)
    monkeypatch.setattr(live_server, "PAGES", 3)
    with opened_connection(Reach(server.kubeconfig())) as connection, pytest.raises(LiveError, match="has more than"):
        Cluster(connection).pods("toy", "toy", "staging")


def test_whom_it_trusts(server: KubernetesServer, tmp_path: Path) -> None:
    make_tls(tmp_path / "else")
    with pytest.raises(LiveUnreachableError, match=r"no certificate that the authorities of .* vouch for"):
        ask(server.kubeconfig(cluster={"certificate-authority": str(tmp_path / "else/certificate.pem")}))
    assert server.requests == []
    file = server.kubeconfig(cluster={"insecure-skip-tls-verify": True, "certificate-authority": None})
    with opened_connection(Reach(file)) as connection:
        assert not connection.verified
        assert Cluster(connection).has_namespace("toy")
    gone = server.kubeconfig(cluster={"server": "https://127.0.0.1:1"})
    with pytest.raises(LiveUnreachableError, match=r"127.0.0.1:1 does not answer \(connection refused\)"):
        ask(gone)
    for name in ("no-such-host.invalid", "a..b"):
        with pytest.raises(LiveUnreachableError):
            ask(server.kubeconfig(cluster={"server": f"https://{name}"}))


def test_proxies(server: KubernetesServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the kubeconfig is taken, that of the environment not for this machine."""
    (tmp_path / "plain").mkdir()
    with KubernetesServer(tmp_path / "plain", has_tls=False) as plain, proxy_to(plain.url) as proxy:
        plain.applications["argocd", "toy-staging"] = application()
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name)
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        assert ask(plain.kubeconfig()) == ask(server.kubeconfig()) == "Application"
        assert not plain.requests[-1].startswith("http")
        assert ask(plain.kubeconfig(cluster={"proxy-url": proxy.url})) == "Application"
        assert plain.requests[-1].startswith(plain.url)
        with pytest.raises(LiveUnreachableError, match=r"the proxy before 127\.0\.0\.1:"):
            ask(plain.kubeconfig(cluster={"proxy-url": "http://localhost:1"}))


def test_the_clock_is_the_clusters(server: KubernetesServer) -> None:
    server.clock = datetime.fromisoformat("2020-01-02T03:04:05Z")
    with opened_connection(Reach(server.kubeconfig())) as connection:
        cluster = Cluster(connection)
        cluster.has_namespace("toy")
        assert cluster.now == server.clock


def test_loading_the_model_of_a_status_loads_no_client() -> None:
    code = "import sys, canon.argocd.status, canon.argocd.status_health, canon.cli.status; assert 'kubernetes' not in sys.modules, 'kubernetes'"
    subprocess.run([sys.executable, "-c", code], check=True)
