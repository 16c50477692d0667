"""A registry as a store: the same contract as a layout's, what goes over the wire, and every fault of a registry, by name."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from canon.image import wire
from canon.image.append import append_layer, append_layers, whole
from canon.image.check import check_image
from canon.image.descriptors import CONFIG, EMPTY, LAYER, MANIFEST, MAX_MANIFEST, Descriptor, descriptor_of, format_json
from canon.image.images import Edits, Image, Layer, load_image
from canon.image.layers import Member
from canon.image.layout import Layout
from canon.image.registry import Repository
from canon.image.stores import Store
from canon.model.errors import CanonError, ImageMissingError
from tests.images import make_image
from tests.registry import Registry, debian_registry, have_debian_registry, make_tls

BAIT = "bait-2retnuh"
Make = Callable[[str], Store]


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """Nobody waits, and no file of the user's own is read."""
    found: list[float] = []
    monkeypatch.setattr(wire, "pause", found.append)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return found


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as found:
        yield found


@pytest.fixture(params=["layout", "in process", "without referrers", "debian"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes a store by its name, in one layout's folder or one registry."""
    with contextlib.ExitStack() as stack:
        if request.param == "layout":
            yield lambda name: Layout(tmp_path / name)
            return
        if request.param == "debian":
            if not have_debian_registry():
                pytest.skip("docker-registry is not installed")
            host = stack.enter_context(debian_registry(tmp_path / "debian"))
        else:
            host = stack.enter_context(Registry(referrers=request.param == "in process")).host
        yield partial(Repository, host)


def members(**files: bytes) -> list[Member]:
    return [Member(f"opt/x/{name}", len(content), read=partial(io.BytesIO, content)) for name, content in files.items()]


def base_of(tmp_path: Path) -> tuple[Layout, Image]:
    digest = make_image(tmp_path / "below")
    source = Layout(tmp_path / "below")
    return source, load_image(source, source.name, digest)


def pushed(store: Store, tmp_path: Path, tag: str | None = "one", **files: bytes) -> str:
    """An image of a base and one layer in a store; return its digest."""
    source, base = base_of(tmp_path)
    with whole(store):
        layer = append_layer(store, members(**(files or {"a": b"1" * 3000})), "opt/x", "test")
        return append_layers(store, source, base, [layer], Edits(time=0), tag).descriptor.digest


def test_an_image_comes_back_as_it_was_written(stores: Make, tmp_path: Path) -> None:
    store = stores("ml/one")
    digest = pushed(store, tmp_path)
    for reference in (digest, "one"):
        image = load_image(stores("ml/one"), "x", reference)
        assert image.digest == digest
    assert check_image(store, image) == []
    assert pushed(store, tmp_path, "two") == digest
    assert stores("ml/one").find("two").digest == digest
    for reference in (f"sha256:{'0' * 64}", "none"):
        with pytest.raises(ImageMissingError, match="no image"):
            store.find(reference)


def test_blobs_are_copied_and_referrers_listed(stores: Make, tmp_path: Path) -> None:
    one, other = stores("ml/one"), stores("ml/other")
    digest = pushed(one, tmp_path)
    image = load_image(one, "x", digest)
    for layer in image.manifest.layers:
        assert not other.has(layer)
        other.copy(one, layer)
        assert other.has(layer)
        assert b"".join(other.read(layer)) == b"".join(one.read(layer))
    assert one.referrers(digest) == ()
    subject = Descriptor(media_type=MANIFEST, digest=digest, size=len(one.manifest(one.find(digest))[0]))
    added = []
    for content in (b"first", b"second"):
        layer = one.write_blob(content, "text/plain")
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "text/plain", "config": one.write_blob(b"{}", EMPTY).document(),
            "layers": [layer.document()], "subject": subject.document(),
        }  # fmt: skip
        added.append(one.add(format_json(manifest)).digest)
        one.add(format_json(manifest))  # a second time changes nothing
    assert [each.digest for each in stores("ml/one").referrers(digest)] == sorted(added)


def test_nothing_is_sent_that_the_registry_has(registry: Registry, tmp_path: Path) -> None:
    digest = pushed(Repository(registry.host, "ml/one"), tmp_path, a=b"1" * 10_000, b=b"2")
    assert registry.received > 10_000
    registry.clear()
    assert pushed(Repository(registry.host, "ml/one"), tmp_path, a=b"1" * 10_000, b=b"2") == digest
    assert registry.received == 0
    registry.clear()
    pushed(Repository(registry.host, "ml/one"), tmp_path, "next", c=b"3" * 5000)
    assert 5000 < registry.received < 12_000  # the layer that is new, a configuration, a manifest
    registry.clear()
    source = Repository(registry.host, "ml/one")
    image = load_image(source, "x", digest)
    target = Repository(registry.host, "team/two")
    for layer in image.manifest.layers:
        target.copy(source, layer)
    assert registry.received == 0  # mounted
    assert all(target.has(layer) for layer in image.manifest.layers)


def test_a_manifest_comes_after_all_that_it_names(registry: Registry, tmp_path: Path) -> None:
    pushed(Repository(registry.host, "ml/one"), tmp_path)
    puts = [record.path for record in registry.requests if record.method == "PUT"]
    kinds = ["manifest" if "/manifests/" in path else "blob" for path in puts]
    assert kinds == sorted(kinds)  # blobs first
    assert [path.rpartition("/")[2] for path in puts if "/manifests/" in path][-1] == "one"


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_registry_that_is_busy_is_asked_again(
    registry: Registry, tmp_path: Path, waits: list[float], status: int
) -> None:
    for method, pattern in (
        ("HEAD", "/blobs/"),
        ("POST", "/uploads/"),
        ("PUT", "/uploads/"),
        ("PUT", "/manifests/"),
        ("GET", "/manifests/"),
    ):
        registry.fail(method, pattern, status=status, headers={"Retry-After": "7"})
    store = Repository(registry.host, "ml/one")
    digest = pushed(store, tmp_path)
    assert load_image(Repository(registry.host, "ml/one"), "x", "one").digest == digest
    assert waits == [7.0] * 5


def test_a_registry_that_stays_busy_is_given_up(registry: Registry, tmp_path: Path, waits: list[float]) -> None:
    body = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "slow\x1b[31m down" + "!" * 999}]}).encode()
    registry.fail("POST", "/blobs/", status=429, times=99, body=body)
    with pytest.raises(
        CanonError, match=r"answers 429: TOOMANYREQUESTS: slow\ufffd\[31m down!+….*tried 5 times"
    ) as caught:
        pushed(Repository(registry.host, "ml/one"), tmp_path)
    assert len(str(caught.value)) < 600
    assert waits == [1.0, 2.0, 4.0, 8.0]
    registry.failures.clear()
    registry.fail("*", "/blobs/", status=503, times=99, headers={"Retry-After": "86400"})
    with pytest.raises(CanonError, match="asks to come back in 86400 s"):
        pushed(Repository(registry.host, "ml/one"), tmp_path)
    assert "ml/one" not in registry.repositories or not registry.repositories["ml/one"].tags
    registry.failures.clear()
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    registry.fail("HEAD", "/blobs/", status=503, headers={"Retry-After": date})
    waits.clear()
    pushed(Repository(registry.host, "ml/one"), tmp_path)
    assert 20 < waits[0] <= 31


def test_a_cut_upload_is_sent_again_from_the_beginning(registry: Registry, tmp_path: Path) -> None:
    registry.cut_upload(after=3_000_000, times=2)
    content = os.urandom(5_000_000)
    told: list[int] = []
    store = Repository(registry.host, "ml/one")
    layer = append_layer(store, members(a=content), "opt/x", "test", told.append)
    assert store.has(layer.descriptor)
    assert sum(told) == layer.descriptor.size
    assert registry.received >= 2 * 3_000_000 + layer.descriptor.size
    registry.cut_upload(after=1_000_000, times=99)
    with pytest.raises(CanonError, match=r"cut the connection.*tried 5 times, nothing is left half sent"):
        pushed(store, tmp_path, "half", b=os.urandom(2_000_000))
    assert "half" not in registry.repositories["ml/one"].tags


def test_a_cut_download_is_taken_up_where_it_ended(registry: Registry) -> None:
    content = os.urandom(3_000_000)
    store = Repository(registry.host, "ml/one")
    descriptor = store.write_blob(content, LAYER)
    for ignore in (False, True):
        registry.ignore_range = ignore
        registry.cut_download(after=1_200_000, times=2)
        registry.clear()
        assert b"".join(store.read(descriptor)) == content
    registry.cut_download(after=0, times=99)
    with pytest.raises(CanonError, match=r"cut the connection in sha256:.*tried 5 times"):
        b"".join(store.read(descriptor))


def test_bytes_that_are_not_what_their_digest_says(registry: Registry, tmp_path: Path) -> None:
    digest = pushed(Repository(registry.host, "ml/one"), tmp_path)
    store = Repository(registry.host, "ml/one")
    image = load_image(store, "x", digest)
    registry.corrupt(image.manifest.layers[0].digest)
    with pytest.raises(CanonError, match="damaged, or somebody exchanged it"):
        b"".join(store.read(image.manifest.layers[0]))
    registry.corrupt(digest)
    with pytest.raises(CanonError, match="somebody exchanged it, or it is damaged"):
        load_image(Repository(registry.host, "ml/one"), "x", digest)
    small = Descriptor(media_type=LAYER, digest=image.manifest.layers[1].digest, size=10)
    with pytest.raises(CanonError, match="is not the blob"):
        b"".join(store.read(small))


def test_a_manifest_that_is_too_large(registry: Registry) -> None:
    registry.fail("GET", "/manifests/", status=200, body=b" " * (MAX_MANIFEST + 1))
    with pytest.raises(CanonError, match="has more than the 4194304 bytes"):
        Repository(registry.host, "ml/one").find("x")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "does not take anonymous requests.*log in: `podman login"),
        (403, "does not allow it .403: DENIED: no.*ask for the right to pull,push"),
        (418, "answers 418"),
    ],
)
def test_a_registry_that_refuses(registry: Registry, tmp_path: Path, status: int, says: str) -> None:
    registry.fail("POST", "/blobs/", status=status, times=99, body=b'{"errors":[{"code":"DENIED","message":"no"}]}')
    with pytest.raises(CanonError, match=says):
        pushed(Repository(registry.host, "ml/one"), tmp_path)


def test_a_registry_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CanonError, match=r"127\.0\.0\.1:9 does not answer .connection refused.*tried 5 times"):
        pushed(Repository("127.0.0.1:9", "ml/one"), tmp_path)
    with pytest.raises(CanonError, match=r"say which: 127\.0\.0\.1:9/ml/one:TAG"):
        Repository("127.0.0.1:9", "ml/one").find(None)


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


def test_several_platforms(registry: Registry, tmp_path: Path) -> None:
    store = Repository(registry.host, "ml/one")
    digest = pushed(store, tmp_path)
    size = len(store.manifest(store.find(digest))[0])
    entry = {
        "mediaType": MANIFEST,
        "digest": digest,
        "size": size,
        "platform": {"os": "linux", "architecture": "amd64"},
    }
    other = {**entry, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}}
    index = format_json(
        {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [other, entry]}
    )
    added = store.add(index, "all")
    assert load_image(store, "x", "all", "linux/amd64").digest == digest
    assert load_image(store, "x", added.digest).found == added.digest
    with pytest.raises(CanonError, match="x has no image for linux/s390x; it has linux/amd64, linux/arm64/v8"):
        load_image(store, "x", "all", "linux/s390x")
    with pytest.raises(CanonError, match="is an image for linux/amd64, not for linux/arm64/v8"):
        load_image(store, "x", "all", "linux/arm64/v8")


def test_skopeo_takes_what_was_pushed(registry: Registry, tmp_path: Path) -> None:
    digest = pushed(Repository(registry.host, "ml/one"), tmp_path)
    command = ["skopeo", "copy", "-q", "--src-tls-verify=false", "--preserve-digests"]
    subprocess.run([*command, f"docker://{registry.host}/ml/one:one", f"oci:{tmp_path}/copy"], check=True)
    found = load_image(Layout(tmp_path / "copy"), "x", digest)
    assert check_image(Layout(tmp_path / "copy"), found) == []


def test_what_appends_to_an_image_is_what_recomputing_finds(tmp_path: Path) -> None:
    """The oracle itself: a layer that is not what the configuration says is found."""
    source, base = base_of(tmp_path)
    target = Layout(tmp_path / "made")
    layer = append_layer(target, members(a=b"1"), "opt/x", "test")
    wrong = Layer(descriptor_of(b"other", LAYER), "test")
    target.write_blob(b"other", LAYER)
    made = append_layers(target, source, base, [layer], Edits(time=0))
    assert check_image(target, load_image(target, "x", made.descriptor.digest)) == []
    config = json.loads(made.config)
    config["rootfs"]["diff_ids"][-1] = wrong.descriptor.digest
    manifest = json.loads(made.manifest)
    manifest["config"] = target.write_blob(format_json(config), CONFIG).document()
    forged = target.add(format_json(manifest))
    (problem,) = check_image(target, load_image(target, "x", forged.digest))
    assert "layer 2 of x" in problem
    assert "and the configuration says" in problem
