"""A registry as a store: the same contract as a layout's, what goes over the wire, and every fault of a registry, by name."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from canon.image.append import append_layer, append_layers
from canon.image.check import check_image
from canon.image.descriptors import CONFIG, EMPTY, LAYER, MANIFEST, MAX_MANIFEST, Descriptor, descriptor_of, format_json
from canon.image.images import Edits, Layer, load_image
from canon.image.layout import Layout
from canon.image.registry import Repository
from canon.image.stores import Store
from canon.model.errors import CanonError, ImageMissingError
from tests.registry import Registry, debian_registry, have_debian_registry
from tests.servers.pushed import base_of, members, pushed

pytestmark = pytest.mark.usefixtures("waits")

Make = Callable[[str], Store]


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


def test_a_new_layer_is_hashed_on_its_way(stores: Make) -> None:
    store, content = stores("ml/one"), os.urandom(3_000_000)
    for new in (True, True, False):
        told: list[int] = []
        layer = append_layer(store, members(a=content), "opt/x", "test", told.append, new=new).descriptor
        assert layer == append_layer(None, members(a=content), "opt/x", "test").descriptor
        assert sum(told) in ({layer.size, 0} if isinstance(store, Layout) else {layer.size} if new else {0})
    assert b"".join(store.read(layer)).count(content) == 1


@pytest.mark.parametrize("status", [404, 503])
def test_an_upload_that_the_registry_lost_is_made_again(registry: Registry, waits: list[float], status: int) -> None:
    registry.fail("PUT", "digest=", status=status)
    store, content = Repository(registry.host, "ml/one"), os.urandom(3_000_000)
    layer = append_layer(store, members(a=content), "opt/x", "test", new=True).descriptor
    assert store.has(layer)
    assert len(waits) == 1
    assert len([record for record in registry.requests if record.method == "PATCH"]) == (2 if status == 404 else 1)


@pytest.mark.parametrize("new", [False, True])
def test_a_cut_upload_is_sent_again_from_the_beginning(registry: Registry, tmp_path: Path, *, new: bool) -> None:
    registry.cut_upload(after=3_000_000, times=2)
    content = os.urandom(5_000_000)
    told: list[int] = []
    store = Repository(registry.host, "ml/one")
    layer = append_layer(store, members(a=content), "opt/x", "test", told.append, new=new)
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
