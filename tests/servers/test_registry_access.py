"""Who one is at a registry, and where that is told: credentials by the files and helpers of Docker and Podman, TLS, and addresses that a registry names."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from canon.image import wire
from canon.image.descriptors import LAYER
from canon.image.images import load_image
from canon.image.registry import Repository
from canon.model.errors import CanonError, ImageMissingError
from tests.registry import Registry, make_tls
from tests.servers.pushed import pushed

pytestmark = pytest.mark.usefixtures("waits")

BAIT = "bait-2retnuh"


def login(tmp_path: Path, host: str, user: str = "user", password: str = BAIT) -> None:
    folder = tmp_path / "home/.docker"
    folder.mkdir(parents=True, exist_ok=True)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_one_logs_in_by_dockers_file(tmp_path: Path, auth: str) -> None:
    with Registry(auth=auth, password=BAIT) as registry:  # type: ignore[arg-type]
        registry.token_uses = 5
        with pytest.raises(CanonError, match=r"does not take anonymous requests|does not allow it"):
            pushed(Repository(registry.host, "ml/one"), tmp_path)
        login(tmp_path, registry.host, password="wrong")
        with pytest.raises(CanonError, match=r"log in") as caught:
            pushed(Repository(registry.host, "ml/one"), tmp_path)
        assert "wrong" not in str(caught.value)
        login(tmp_path, registry.host)
        store = Repository(registry.host, "ml/one")
        digest = pushed(store, tmp_path)
        target = Repository(registry.host, "team/two")
        registry.clear()
        for layer in load_image(store, "x", digest).manifest.layers:
            target.copy(store, layer)
        assert registry.received == 0  # a token for both is asked for


def test_credentials_go_nowhere_else(tmp_path: Path) -> None:
    """A registry that names another host for tokens, uploads or blobs does not get them sent there."""
    with Registry(auth="basic", password=BAIT) as registry, Registry() as other:
        login(tmp_path, registry.host)
        (tmp_path / "home/.netrc").write_text(f"machine 127.0.0.1 login me password {BAIT}\n")
        store = Repository(registry.host, "ml/one")
        digest = pushed(store, tmp_path)
        image = load_image(store, "x", digest)
        for layer in image.manifest.layers:
            Repository(other.host, "ml/one").copy(store, layer)
        other.clear()
        registry.redirect_blobs = f"http://{other.host}"
        for layer in image.manifest.layers:
            assert hashlib.sha256(b"".join(store.read(layer))).hexdigest() == layer.digest.partition(":")[2]
        assert other.requests
        assert {record.authorization for record in other.requests} == {""}
        registry.redirect_blobs = None
        other.clear()
        registry.location = f"http://{other.host}"
        with pytest.raises(CanonError, match=rf"wants the upload to go to {other.host}"):
            pushed(store, tmp_path, "evil", z=b"z")
        assert other.requests == []
    with Registry(auth="bearer", password=BAIT) as registry:
        login(tmp_path, registry.host)
        registry.realm = "http://evil.example.com/token"
        with pytest.raises(
            CanonError, match=r"wants its credentials to go to http://evil\.example\.com, without TLS; they do not"
        ):
            pushed(Repository(registry.host, "ml/one"), tmp_path)


@pytest.mark.parametrize("place", ["http://[x/", "http://127.0.0.1:abc/x", "http://127.0.0.1:99999999/x"])
def test_addresses_that_are_none(registry: Registry, tmp_path: Path, place: str) -> None:
    registry.fail("POST", "/uploads/", status=202, headers={"Location": place})
    with pytest.raises(CanonError, match=r"names an address that is none|wants the upload to go to"):
        pushed(Repository(registry.host, "ml/one"), tmp_path)
    store = Repository(registry.host, "ml/one")
    descriptor = store.write_blob(b"x", LAYER)
    registry.fail("GET", "/blobs/", status=307, headers={"Location": place})
    with pytest.raises(CanonError, match="an address that is none"):
        b"".join(store.read(descriptor))
    registry.fail("GET", "/manifests/", status=404, body=b'{"errors":' + b"[" * 100_000)
    with pytest.raises(ImageMissingError):
        store.find("x")
    registry.fail("GET", "/manifests/", status=401, headers={"WWW-Authenticate": 'Bearer realm="https://[x"'})
    with pytest.raises(CanonError, match="names a token service that has no address"):
        store.find("x")


def test_a_registry_elsewhere_is_spoken_to_by_tls(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    del tmp_path
    monkeypatch.setattr(wire, "is_loopback", lambda _: False)
    with pytest.raises(CanonError, match=r"has no certificate that is trusted here|cut the connection"):
        Repository(registry.host, "ml/one").find("x")
    with pytest.raises(ImageMissingError):
        Repository(registry.host, "ml/one", plain_http=True).find("x")


def test_a_registry_on_loopback_may_speak_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, certificate = make_tls(tmp_path / "tls")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with Registry(tls=context, auth="basic", password=BAIT) as registry:
        login(tmp_path, registry.host)
        with pytest.raises(CanonError, match="has no certificate that is trusted here"):
            pushed(Repository(registry.host, "ml/one"), tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        digest = pushed(Repository(registry.host, "ml/one"), tmp_path)
        assert registry.repositories["ml/one"].tags == {"one": digest}


def helper(folder: Path, name: str, script: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"docker-credential-{name}"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ('read host; test "$1" = get; printf \'{"Username": "user", "Secret": "bait-2retnuh"}\'', None),
        ("echo credentials not found in native keychain; exit 1", "log in"),
        ("echo bait-2retnuh >&2; exit 3", "the credential helper .*docker-credential-vault failed for"),
        ("echo bait-2retnuh", "did not answer in the protocol"),
    ],
    ids=["answers", "has none", "fails", "babbles"],
)
def test_a_credential_helper_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str | None
) -> None:
    helper(tmp_path / "bin", "vault", script)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with Registry(auth="basic", password=BAIT) as registry:
        (tmp_path / "home/.config/containers").mkdir(parents=True)
        file = tmp_path / "home/.config/containers/auth.json"
        file.write_text(json.dumps({"credHelpers": {registry.host: "vault"}}))
        if says is None:
            pushed(Repository(registry.host, "ml/one"), tmp_path)
            file.write_text(json.dumps({"credsStore": "vault"}))
            pushed(Repository(registry.host, "ml/one"), tmp_path)
            return
        with pytest.raises(CanonError, match=says) as caught:
            pushed(Repository(registry.host, "ml/one"), tmp_path)
        assert BAIT not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "auth.json is no JSON object"),
        ('{"auths": {"HOST": {"auth": "!!"}}}', "`auth` of .* is not a name and a password"),
        ('{"credHelpers": {"HOST": "../../bin/sh"}}', "which is not on PATH"),
        ('{"credsStore": "nothing"}', "docker-credential-nothing, which is not on PATH"),
    ],
)
def test_a_broken_file_of_credentials_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, says: str
) -> None:
    with Registry(auth="basic") as registry:
        file = tmp_path / "auth.json"
        file.write_text(content.replace("HOST", registry.host))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
        with pytest.raises(CanonError, match=says):
            Repository(registry.host, "ml/one").find("x")


def test_podman_keeps_credentials_for_each_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Registry(auth="basic", password=BAIT) as registry:
        right, wrong = (base64.b64encode(f"user:{word}".encode()).decode() for word in (BAIT, "wrong"))
        file = tmp_path / "auth.json"
        file.write_text(json.dumps({"auths": {registry.host: {"auth": wrong}, f"{registry.host}/ml": {"auth": right}}}))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
        pushed(Repository(registry.host, "ml/one"), tmp_path)
        with pytest.raises(CanonError, match="does not take the credentials that are known here"):
            pushed(Repository(registry.host, "other/one"), tmp_path)
