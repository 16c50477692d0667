"""What an Argo Server, or what stands in its place, may answer: nothing of it leads astray, hangs, or shows the token."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from canon.argo import transport
from canon.argo.address import Address
from canon.argo.server import ArgoServer as Client
from canon.argo.transport import ArgoMissingError, ArgoUnavailableError
from canon.model.errors import CanonError
from tests.argo_server import TOKEN, ArgoServer, Reply, error, page

MANIFEST: dict[str, Any] = {
    "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"generateName": "toy-", "namespace": "ml"},
    "spec": {"workflowTemplateRef": {"name": "toy"}, "arguments": {"parameters": []}},
}  # fmt: skip
TEMPLATE = {"metadata": {"name": "toy"}, "spec": {"templates": []}}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch, direct: None) -> None:  # noqa: ARG001  a fixture for its effect
    monkeypatch.setattr(transport, "pause", lambda _: None)
    monkeypatch.setattr(transport, "TIMEOUT", (2, 0.3))
    monkeypatch.setattr(transport, "GLANCE", 0.3)


@pytest.fixture
def argo() -> Iterator[ArgoServer]:
    with ArgoServer(templates={"toy": TEMPLATE}) as server:
        yield server


@pytest.fixture
def client(argo: ArgoServer) -> Iterator[Client]:
    found = Client(Address(f"{argo.url}/", f"Bearer {TOKEN}"))
    yield found
    found.close()


def test_what_is_asked_is_answered(argo: ArgoServer, client: Client) -> None:
    argo.statuses = [{"phase": "Running", "nodes": {}}]
    argo.logs["pod"] = "one\ntwo\nthree\n"
    assert client.template("ml", "other") is None
    found = client.template("ml", "toy")
    assert found is not None
    assert found["metadata"]["name"] == "toy"
    created = client.create("ml", MANIFEST)
    assert (created.name, created.uid, created.link) == (
        "toy-00000",
        "uid-toy-00000",
        f"{argo.url}/workflows/ml/toy-00000",
    )
    assert client.snapshot("ml", created.name, created.uid).phase == "Running"
    assert client.tail("ml", created.name, "pod", "main", 2) == ("two", "three")
    with pytest.raises(ArgoMissingError):
        client.snapshot("ml", created.name, "another")
    assert {sent for _, _, sent in argo.requests} == {f"Bearer {TOKEN}"}


ONCE: list[tuple[Reply, str]] = [
    (error(401, f"token {TOKEN} not valid"), "does not take the token in ARGO_TOKEN (401: token … not valid); set ARGO_TOKEN to what `argo auth token`"),
    (error(403, 'User "x" cannot create resource'), 'does not allow it (403: User "x" cannot create resource)'),
    (error(409, "already exists"), "refuses it (409: already exists)"),
    (error(400, "\x1b[2Jspec\n.x"), "refuses it (400: \ufffd[2Jspec .x)"),
    (error(500, "a" * 5000), "…)"),
    (page(500), "(500)"),
    (page(200), "not as Argo Server does (no JSON)"),
    ((200, {}, b"[]"), "not as Argo Server does (no JSON)"),
    ((200, {}, b"[" * 100_000), "not as Argo Server does (no JSON)"),
    ((200, {}, b"{}"), "does not say under which name"),
    ((200, {}, b'{"metadata": {"name": "../x y", "uid": "u"}, "spec": {}}'), "does not say under which name"),
    ((200, {}, b'{"metadata": {"name": 3}, "spec": []}'), "does not say under which name"),
    (page(302, Location="https://evil.example.com/steal?x=1"), "redirects to https://evil.example.com, which is not followed"),
    (page(307, Location="/login"), "redirects to /login, which is not followed"),
    (page(302, Location="http://[evil"), "redirects to another address"),
    (page(404), "is http://127.0.0.1"),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "words"), ONCE)
def test_a_submission_that_goes_wrong_is_explained_and_not_repeated(
    argo: ArgoServer, client: Client, reply: Reply, words: str
) -> None:
    argo.faults = [reply]
    with pytest.raises(CanonError) as raised:
        client.create("ml", MANIFEST)
    assert words in str(raised.value)
    assert len(str(raised.value)) < 1000
    assert TOKEN not in "".join(traceback.format_exception(raised.value))
    assert len(argo.requests) == 1
    assert argo.workflows == {}


@pytest.mark.parametrize("fault", [None, 5.0, error(503, "later"), error(429, "slowly")], ids=str)
def test_a_submission_without_a_clear_answer_may_have_started_and_is_not_repeated(
    argo: ArgoServer, client: Client, fault: Any
) -> None:
    argo.faults = [fault]
    with pytest.raises(CanonError, match="may have started all the same: look with `argo list -n ml`"):
        client.create("ml", MANIFEST)
    assert len(argo.requests) == 1


@pytest.mark.parametrize("fault", [None, 5.0, error(503, "later"), error(500, "etcd")], ids=str)
def test_a_question_is_repeated_within_limits(argo: ArgoServer, client: Client, fault: Any) -> None:
    argo.faults = [fault, fault]
    assert client.template("ml", "toy") is not None
    argo.faults = [fault] * transport.TRIES
    with pytest.raises(ArgoUnavailableError):
        client.template("ml", "toy")
    assert argo.faults == []


def test_a_question_that_is_refused_is_not_repeated(argo: ArgoServer, client: Client) -> None:
    for reply in (error(401, ""), error(403, ""), page(200), page(301, Location="//evil.example.com")):
        argo.faults = [reply]
        with pytest.raises(CanonError) as raised:
            client.template("ml", "toy")
        assert not isinstance(raised.value, ArgoUnavailableError)
    assert len(argo.requests) == 4


def test_an_answer_without_end_is_ended(argo: ArgoServer, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LARGEST", 1 << 20)
    argo.faults = [(200, {}, b'{"a": "' + b"x" * (2 << 20) + b'"}')]
    with pytest.raises(ArgoUnavailableError, match="within 1 MiB"):
        client._session._sent("GET", f"{argo.url}/api/v1/info", {"stream": True})


def test_a_log_that_fails_is_no_log(argo: ArgoServer, client: Client) -> None:
    created = client.create("ml", MANIFEST)
    for fault in (None, 5.0, page(200), error(500, "x"), (200, {}, b'{"result": 3}\n[]\n{"result": {"content": 4}}\n')):
        argo.faults = [fault]
        assert client.tail("ml", created.name, "pod", "main", 2) == ()
    argo.logs["pod"] = "\x1b]0;title\x07\x1b[31mred\n 10%\r 20%\r\n\n"
    argo.logs["pod"] += (
        'time=2026-01-01T00:00:00Z level=INFO msg="sub-process exited" argo=true error="exit status 3"\n'
    )
    assert client.tail("ml", created.name, "pod", "main", 3) == ("\ufffd]0;title\ufffd\ufffd[31mred", " 20%")


def test_no_other_credentials_are_looked_for(argo: ArgoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for token in (None, f"Bearer {TOKEN}"):
        client = Client(Address(f"{argo.url}/", token))
        argo.token = TOKEN if token else None
        client.template("ml", "toy")
        client.close()
    assert [sent for _, _, sent in argo.requests] == ["", f"Bearer {TOKEN}"]


def test_what_is_not_below_its_address_is_not_asked(argo: ArgoServer) -> None:
    client = Client(Address(f"{argo.url}/base/", None))
    with pytest.raises(CanonError, match="is no address below"):
        client._session.request("GET", f"{argo.url}/api/v1/info")
    argo.token = None
    with pytest.raises(CanonError, match="404"):
        client.create("ml", MANIFEST)
    assert argo.requests[-1][1] == "/base/api/v1/workflows/ml"
    client.close()


def test_who_is_not_there(argo: ArgoServer) -> None:
    for url, words in (
        ("http://127.0.0.1:1/", "connection refused"),
        (argo.url.replace("http", "https") + "/", "does not speak TLS"),
    ):
        client = Client(Address(url, f"Bearer {TOKEN}"))
        with pytest.raises(CanonError, match=words):
            client.template("ml", "toy")
        client.close()
