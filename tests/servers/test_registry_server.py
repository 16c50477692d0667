"""The registry of the tests: it answers as Debian's does, skopeo works with it, and its faults do what they say."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.conftest import Run
from tests.images import CONFIG, LAYER, MANIFEST, make_image
from tests.registry import Registry, Repository, debian_registry, have_debian_registry, make_tls

skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="no skopeo")
BLOB = bytes(range(256)) * 4
MANIFEST_TYPE = {"Content-Type": MANIFEST}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["errors"][0]["code"])


class Client:
    """One connection that is kept."""

    def __init__(self, host: str) -> None:
        self.connection = http.client.HTTPConnection(host, timeout=20)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, named)
        response = self.connection.getresponse()
        return Answer(
            response.status, {name.lower(): value for name, value in response.headers.items()}, response.read()
        )

    def start(self, name: str, query: str = "") -> Answer:
        return self.ask("POST", f"/v2/{name}/blobs/uploads/{query}", b"")

    def put(self, location: str, content: bytes, digest: str = "", **headers: str) -> Answer:
        url = urlsplit(location)
        return self.ask("PUT", f"{url.path}?{url.query}&digest={digest or digest_of(content)}", content, **headers)

    def push(self, name: str, content: bytes) -> str:
        assert self.put(self.start(name).headers["location"], content).status == 201
        return digest_of(content)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def manifest_of(config: bytes, *layers: bytes, **more: Any) -> bytes:
    parts = [(CONFIG, config), *((LAYER, layer) for layer in layers)]
    first, *rest = ({"mediaType": kind, "digest": digest_of(part), "size": len(part)} for kind, part in parts)
    return json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": first, "layers": rest, **more}, indent=3
    ).encode()


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as started:
        yield started


@pytest.fixture
def client(registry: Registry) -> Iterator[Client]:
    made = Client(registry.host)
    with contextlib.closing(made.connection):
        yield made


@pytest.fixture(params=["ours", "debian"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "ours":
        with Registry() as started:
            yield started.host
    elif not have_debian_registry():
        pytest.skip("no docker-registry")
    else:
        with debian_registry(tmp_path / "debian") as name:
            yield name


def test_answers_are_those_of_debians_registry(host: str) -> None:
    client = Client(host)
    with contextlib.closing(client.connection):
        assert client.ask("GET", "/v2/").status == 200
        digest = digest_of(BLOB)
        missing = client.ask("GET", f"/v2/a/b/blobs/{digest}")
        assert (missing.status, missing.code) == (404, "BLOB_UNKNOWN")
        assert client.ask("HEAD", f"/v2/a/b/blobs/{digest}").status == 404
        assert client.ask("GET", "/v2/a/b/tags/list").code == "NAME_UNKNOWN"

        wrong = client.put(client.start("a/b").headers["location"], BLOB, digest_of(b"other"))
        assert (wrong.status, wrong.code) == (400, "DIGEST_INVALID")

        started = client.start("a/b")
        assert (started.status, started.headers["range"]) == (202, "0-0")
        first = urlsplit(started.headers["location"])
        piece = client.ask("PATCH", f"{first.path}?{first.query}", BLOB[:100], Content_Type="application/octet-stream")
        assert (piece.status, piece.headers["range"]) == (202, "0-99")
        assert client.put(piece.headers["location"], BLOB[100:], digest).status == 201
        used = client.put(piece.headers["location"], b"")
        assert (used.status, used.code) == (404, "BLOB_UPLOAD_UNKNOWN")

        head = client.ask("HEAD", f"/v2/a/b/blobs/{digest}")
        assert (head.status, head.headers["content-length"], head.headers["docker-content-digest"]) == (
            200,
            "1024",
            digest,
        )
        assert client.ask("GET", f"/v2/a/b/blobs/{digest}").body == BLOB
        part = client.ask("GET", f"/v2/a/b/blobs/{digest}", Range="bytes=1000-")
        assert (part.status, part.headers["content-range"], part.body) == (206, "bytes 1000-1023/1024", BLOB[1000:])

        assert client.ask("HEAD", f"/v2/other/blobs/{digest}").status == 404
        assert client.start("other", f"?mount={digest_of(b'none')}&from=a/b").status == 202
        mounted = client.start("other", f"?mount={digest}&from=a/b")
        assert (mounted.status, mounted.headers["docker-content-digest"]) == (201, digest)
        assert client.ask("GET", f"/v2/other/blobs/{digest}").body == BLOB

        manifest = manifest_of(b"{}", BLOB)
        unknown = client.ask("PUT", "/v2/a/b/manifests/v1", manifest, **MANIFEST_TYPE)
        assert unknown.code == "MANIFEST_BLOB_UNKNOWN"  # with 404 as the specification says; Debian's gives 400
        client.push("a/b", b"{}")
        assert client.ask("PUT", "/v2/a/b/manifests/v1", manifest).status == 400
        wrong = client.ask("PUT", f"/v2/a/b/manifests/{digest}", manifest, **MANIFEST_TYPE)
        assert (wrong.status, wrong.code) == (400, "DIGEST_INVALID")
        put = client.ask("PUT", "/v2/a/b/manifests/v1", manifest, **MANIFEST_TYPE)
        name = digest_of(manifest)
        assert (put.status, put.headers["docker-content-digest"]) == (201, name)
        for reference in ("v1", name):
            got = client.ask("GET", f"/v2/a/b/manifests/{reference}", Accept=MANIFEST)
            assert (got.body, got.headers["content-type"], got.headers["docker-content-digest"]) == (
                manifest,
                MANIFEST,
                name,
            )
            assert client.ask("HEAD", f"/v2/a/b/manifests/{reference}", Accept=MANIFEST).headers[
                "content-length"
            ] == str(len(manifest))
        assert client.ask("GET", "/v2/a/b/manifests/v2", Accept=MANIFEST).code == "MANIFEST_UNKNOWN"
        assert json.loads(client.ask("GET", "/v2/a/b/tags/list").body) == {"name": "a/b", "tags": ["v1"]}
        assert client.ask("DELETE", f"/v2/a/b/manifests/{name}").status == 202
        assert client.ask("GET", "/v2/a/b/manifests/v1", Accept=MANIFEST).status == 404


def copy(run: Run, folder: Path, *arguments: str, code: int | None = 0) -> None:
    (folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    run(
        folder, "skopeo", "--policy", "policy.json", "copy", "-q", "--preserve-digests", *arguments, code=code,
        env={"XDG_RUNTIME_DIR": str(folder), "NO_PROXY": "127.0.0.1"},
    )  # fmt: skip


def digest_in(layout: Path) -> str:
    return str(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])


@skopeo
def test_skopeo_pushes_and_pulls(host: str, run: Run, tmp_path: Path) -> None:
    digest = make_image(tmp_path / "image", {"a": b"a"}, {"b": b"b"}, compress=True)
    copy(run, tmp_path, "--dest-tls-verify=false", "oci:image", f"docker://{host}/a/b:v1")
    copy(run, tmp_path, "--src-tls-verify=false", f"docker://{host}/a/b@{digest}", "oci:back")
    assert digest_in(tmp_path / "back") == digest


@skopeo
@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_skopeo_logs_in(auth: Any, run: Run, tmp_path: Path) -> None:
    digest = make_image(tmp_path / "image", compress=True)
    with Registry(auth=auth, user="me", password="secret") as registry:
        target = f"docker://{registry.host}/a/b:v1"
        copy(run, tmp_path, "--dest-tls-verify=false", "--dest-creds=me:wrong", "oci:image", target, code=1)
        copy(run, tmp_path, "--dest-tls-verify=false", "oci:image", target, code=1)
        assert not registry.repositories
        copy(run, tmp_path, "--dest-tls-verify=false", "--dest-creds=me:secret", "oci:image", target)
        assert registry.repositories["a/b"].tags == {"v1": digest}
        schemes = {record.authorization.split()[0].lower() for record in registry.requests if record.status == 201}
        assert schemes == {auth}
        copy(run, tmp_path, "--src-tls-verify=false", target, "oci:back", code=1 if auth == "basic" else 0)


def test_tokens_hold_for_the_scopes_that_were_asked_for() -> None:
    with (
        Registry(auth="bearer") as registry,
        contextlib.closing(http.client.HTTPConnection(registry.host)) as connection,
    ):
        client = Client(registry.host)
        client.connection = connection
        refused = client.start("a")
        assert refused.headers["www-authenticate"] == (
            f'Bearer realm="{registry.url}/token",service="test",scope="repository:a:pull,push"'
        )

        def token(*scopes: str) -> str:
            query = "&".join(f"scope=repository:{scope}" for scope in scopes)
            answer = client.ask("GET", f"/token?service=test&{query}", Authorization="Basic dXNlcjpwYXNzd29yZA==")
            return f"Bearer {json.loads(answer.body)['token']}"

        registry.repositories["b"] = Repository({digest_of(BLOB): BLOB})
        push = token("a:pull,push")
        mount = f"/v2/a/blobs/uploads/?mount={digest_of(BLOB)}&from=b"
        assert client.ask("GET", f"/v2/b/blobs/{digest_of(BLOB)}", Authorization=push).status == 401
        assert client.ask("POST", mount, b"", Authorization=push).status == 202
        assert client.ask("POST", mount, b"", Authorization=token("a:pull,push", "b:pull")).status == 201
        assert client.ask("POST", mount, b"", Authorization=token("a:pull")).status == 401
        registry.token_uses = 1
        short = token("a:pull")
        blob = f"/v2/a/blobs/{digest_of(BLOB)}"
        assert [client.ask("GET", blob, Authorization=short).status for _ in range(2)] == [200, 401]
        registry.realm = "http://other.example/token"
        assert 'realm="http://other.example/token"' in client.ask("GET", blob).headers["www-authenticate"]


def test_manifests_that_refer_to_another_are_listed(registry: Registry, client: Client) -> None:
    client.push("a", b"{}")
    subject = {"mediaType": MANIFEST, "digest": digest_of(b"subject"), "size": 7}
    manifest = manifest_of(b"{}", subject=subject, artifactType="application/x", annotations={"k": "v"})
    put = client.ask("PUT", f"/v2/a/manifests/{digest_of(manifest)}", manifest, **MANIFEST_TYPE)
    assert put.headers["oci-subject"] == subject["digest"]
    found = client.ask("GET", f"/v2/a/referrers/{subject['digest']}")
    assert json.loads(found.body)["manifests"] == [
        {"mediaType": MANIFEST, "digest": digest_of(manifest), "size": len(manifest), "artifactType": "application/x",
         "annotations": {"k": "v"}}
    ]  # fmt: skip
    found = client.ask("GET", f"/v2/a/referrers/{subject['digest']}?artifactType=application/y")
    assert (json.loads(found.body)["manifests"], found.headers["oci-filters-applied"]) == ([], "artifactType")
    registry.referrers = False
    assert client.ask("GET", f"/v2/a/referrers/{subject['digest']}").status == 404
    assert "oci-subject" not in client.ask("PUT", "/v2/a/manifests/v1", manifest, **MANIFEST_TYPE).headers


def test_failures_are_as_many_as_asked_for_and_recorded(registry: Registry, client: Client) -> None:
    registry.fail("PUT", r"/blobs/uploads/", status=429, headers={"Retry-After": "1"}, body=b"slow")
    location = client.start("a").headers["location"]
    failed = client.put(location, BLOB)
    assert (failed.status, failed.headers["retry-after"], failed.body) == (429, "1", b"slow")
    assert client.put(location, BLOB).status == 201
    assert [(record.method, record.status, record.received, record.sent) for record in registry.requests] == [
        ("POST", 202, 0, 0), ("PUT", 429, 1024, 4), ("PUT", 201, 1024, 0)
    ]  # fmt: skip
    assert registry.received == 2048
    registry.clear()
    assert registry.received == 0


@pytest.mark.parametrize("chunked", [False, True])
def test_a_cut_upload_is_forgotten(registry: Registry, client: Client, *, chunked: bool) -> None:
    registry.cut_upload(after=1000)
    location = client.start("a").headers["location"]
    url = urlsplit(location)
    body: Any = iter([BLOB[:600], BLOB[600:]]) if chunked else BLOB
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        client.ask("PATCH", f"{url.path}?{url.query}", body)
    assert (registry.requests[-1].status, registry.requests[-1].received) == (0, 1000)
    client.connection.close()
    assert client.put(location, BLOB).code == "BLOB_UPLOAD_UNKNOWN"
    assert client.push("a", BLOB) in registry.repositories["a"].blobs


def test_downloads_are_cut_changed_or_sent_whole(registry: Registry, client: Client) -> None:
    digest = client.push("a", BLOB)
    path = f"/v2/a/blobs/{digest}"
    registry.cut_download(after=1000)
    with pytest.raises(http.client.IncompleteRead) as cut:
        client.ask("GET", path)
    assert cut.value.partial == BLOB[:1000]
    client.connection.close()
    assert client.ask("GET", path).body == BLOB
    # Debian's answers 416 too, but with the blob's Content-Length: the connection cannot be used again.
    assert client.ask("GET", path, Range="bytes=1024-").status == 416
    registry.ignore_range = True
    whole = client.ask("GET", path, Range="bytes=1000-")
    assert (whole.status, whole.body) == (200, BLOB)
    registry.corrupt(digest)
    changed = client.ask("GET", path).body
    assert (len(changed), changed == BLOB) == (1024, False)


def test_uploads_and_downloads_go_to_another_server(registry: Registry, client: Client) -> None:
    digest = client.push("a", BLOB)
    registry.location = registry.redirect_blobs = "http://other:1"
    assert client.start("a").headers["location"].startswith("http://other:1/v2/a/blobs/uploads/")
    there = client.ask("GET", f"/v2/a/blobs/{digest}")
    assert (there.status, there.headers["location"]) == (307, f"http://other:1/v2/a/blobs/{digest}")
    registry.location, registry.relative = None, True
    assert client.start("a").headers["location"].startswith("/v2/a/blobs/uploads/")


def test_big_blobs_are_not_kept_when_told(registry: Registry, client: Client) -> None:
    registry.keep = False
    digest = client.push("a", bytes(1 << 21))
    assert (registry.repositories["a"].blobs, registry.repositories["a"].size(digest)) == ({}, 1 << 21)
    assert client.ask("HEAD", f"/v2/a/blobs/{digest}").headers["content-length"] == str(1 << 21)
    assert client.start("b", f"?mount={digest}&from=a").status == 201


def test_tls_is_for_those_who_trust_the_certificate(tmp_path: Path) -> None:
    tls, certificate = make_tls(tmp_path / "tls")
    with Registry(tls=tls, auth="bearer") as registry:
        trusting = ssl.create_default_context(cafile=str(certificate))
        with contextlib.closing(http.client.HTTPSConnection(registry.host, context=trusting)) as connection:
            connection.request("GET", "/v2/")
            response = connection.getresponse()
            assert (response.status, response.headers["WWW-Authenticate"]) == (
                401, f'Bearer realm="https://{registry.host}/token",service="test"'
            )  # fmt: skip
        with contextlib.closing(http.client.HTTPSConnection(registry.host)) as connection, pytest.raises(ssl.SSLError):
            connection.connect()


def test_a_registry_ends_while_connections_are_open() -> None:
    with Registry() as registry:
        idle = Client(registry.host)
        assert idle.ask("GET", "/v2/").status == 200
    with contextlib.closing(idle.connection), pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        idle.ask("GET", "/v2/")
