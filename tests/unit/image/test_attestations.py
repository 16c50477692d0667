"""What lies beside an image: attached, found again by tag and as referrer, and believed only when the key says so."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canon.image.attestations import attach_sbom, attest_image, sign_image, verify_signatures
from canon.image.descriptors import Descriptor, Manifest, format_json
from canon.image.keys import key_id
from canon.image.layout import Layout
from canon.image.referrers import (
    ATTESTATIONS,
    BILLS,
    MAX_BLOB,
    SIGNATURES,
    Artifact,
    Blob,
    attach,
    load_artifacts,
    tag_of,
)
from canon.image.signatures import SIGNATURE, SIMPLE_SIGNING, build_payload, sign_payload
from canon.image.statements import CYCLONEDX, PROVENANCE, build_provenance, build_statement, statement_from_bytes
from canon.model.errors import CanonError
from tests.images import make_image, read_blob
from tests.keys import key, public_pem

NAME = "registry.example/team/model"
PUBLIC = key().public_key()
SBOM = b'{"bomFormat":"CycloneDX","specVersion":"1.6"}'


def store_at(folder: Path) -> tuple[Layout, Descriptor]:
    digest = make_image(folder)
    return Layout(folder), Layout(folder).find(digest)


def provenance(image: Descriptor, **parameters: Any) -> bytes:
    made = build_provenance(build_type="urn:test:bake", builder="urn:test:canon", parameters=parameters)
    return build_statement(NAME, image.digest, made)


def files(store: Layout) -> dict[str, bytes]:
    return {str(each): each.read_bytes() for each in sorted(store.folder.rglob("*")) if each.is_file()}


def document(store: Layout, descriptor: Descriptor) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(read_blob(store.folder, descriptor.digest))
    return found


def test_a_signature_lies_beside_the_image_as_cosign_puts_it(tmp_path: Path) -> None:
    store, image = store_at(tmp_path / "layout")
    made = sign_image(store, NAME, image, key())
    payload = build_payload(NAME, image.digest)
    assert document(store, made) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.dev.cosign.artifact.sig.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "size": 2,
        },
        "layers": [
            {
                "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
                **store.write_blob(payload, SIMPLE_SIGNING).document(),
                "annotations": {
                    "dev.cosignproject.cosign/signature": sign_payload(payload, key()),
                    "canon.key": key_id(PUBLIC),
                },
            }
        ],
        "subject": {"mediaType": image.media_type, "digest": image.digest, "size": image.size},
    }
    tag = f"sha256-{image.digest[7:]}.sig"
    assert store.find(tag) == made
    assert store.referrers(image.digest) == (made,)
    assert store.find(None) == image, "the image is still the only one"
    verified = verify_signatures(store, NAME, image.digest, PUBLIC)
    assert (verified.names, verified.statements, verified.skipped) == ((NAME,), (), ())


def test_all_that_is_attached_is_verified_with_one_key(tmp_path: Path) -> None:
    store, image = store_at(tmp_path / "layout")
    sign_image(store, NAME, image, key())
    attest_image(store, image, provenance(image, alpha=0.5), key())
    attach_sbom(store, NAME, image, SBOM, key())
    verified = verify_signatures(store, NAME, image.digest, PUBLIC)
    found = {each.predicate_type: each.predicate for each in verified.statements}
    assert found.keys() == {PROVENANCE, CYCLONEDX}
    assert found[PROVENANCE]["buildDefinition"]["externalParameters"] == {"alpha": 0.5}
    assert found[CYCLONEDX] == json.loads(SBOM)
    assert [each.content for each in load_artifacts(store, image.digest, BILLS)] == [SBOM]
    attested = document(store, store.find(tag_of(image.digest, ATTESTATIONS)))["layers"]
    assert {each["annotations"]["predicateType"] for each in attested} == {PROVENANCE, CYCLONEDX}
    assert {each["mediaType"] for each in attested} == {"application/vnd.dsse.envelope.v1+json"}


def test_attaching_again_changes_nothing(tmp_path: Path) -> None:
    store, image = store_at(tmp_path / "layout")

    def all_of_it() -> dict[str, bytes]:
        sign_image(store, NAME, image, key())
        attest_image(store, image, provenance(image), key())
        attach_sbom(store, NAME, image, SBOM, key())
        return files(store)

    assert all_of_it() == all_of_it()


def test_signatures_of_several_keys_lie_under_one_tag_in_any_order(tmp_path: Path) -> None:
    made = set()
    for order in itertools.permutations(range(3)):
        store, image = store_at(tmp_path / "".join(map(str, order)))
        for number in order:
            last = sign_image(store, NAME, image, key(number))
        made.add(last.digest)
        assert store.find(tag_of(image.digest, SIGNATURES)) == last
        assert len(load_artifacts(store, image.digest, SIGNATURES)) == 3
        for number in order:
            verified = verify_signatures(store, NAME, image.digest, key(number).public_key())
            assert verified.names == (NAME,)
            assert len(verified.skipped) == 2
    assert len(made) == 1


def test_a_signature_that_has_lost_its_tag_is_found_as_a_referrer_and_the_other_way_round(tmp_path: Path) -> None:
    store, image = store_at(tmp_path / "layout")
    index = store.folder / "index.json"
    sign_image(store, NAME, image, key())
    before = index.read_text()
    index.write_text(before.replace('.sig"', '.old"'))
    assert verify_signatures(store, NAME, image.digest, PUBLIC).names == (NAME,)
    # as cosign makes it: no subject, no artifact type, an image's configuration
    index.write_text(before)
    ours = document(store, store.find(tag_of(image.digest, SIGNATURES)))
    theirs = {name: value for name, value in ours.items() if name not in {"subject", "artifactType"}}
    del theirs["layers"][0]["annotations"]["canon.key"]
    other, same = store_at(tmp_path / "other")
    for blob in load_artifacts(store, image.digest, SIGNATURES):
        other.write_blob(blob.content, blob.media_type)
    other.write_blob(b"{}", "")
    other.add(format_json(theirs), tag_of(image.digest, SIGNATURES))
    assert verify_signatures(other, NAME, same.digest, PUBLIC).names == (NAME,)
    sign_image(other, NAME, same, key(1))
    for number in (0, 1):
        assert verify_signatures(other, NAME, same.digest, key(number).public_key()).names == (NAME,)


def test_an_image_without_signature(tmp_path: Path) -> None:
    store, image = store_at(tmp_path / "layout")
    attest_image(store, image, provenance(image), key())
    with pytest.raises(CanonError, match=f"{NAME}@{image.digest} has no signature; sign it"):
        verify_signatures(store, NAME, image.digest, PUBLIC)


def test_an_image_signed_by_another_key(tmp_path: Path) -> None:
    store, image = store_at(tmp_path / "layout")
    sign_image(store, NAME, image, key(1))
    with pytest.raises(CanonError, match="is not signed with the key SHA256:") as raised:
        verify_signatures(store, NAME, image.digest, PUBLIC)
    assert f"a signature is of another key, {key_id(key(1).public_key())}" in str(raised.value)


def attach_signature(store: Layout, image: Descriptor, payload: bytes, **annotations: str) -> None:
    attach(store, image, Artifact(SIGNATURES, (Blob(SIMPLE_SIGNING, payload, annotations),)))


def test_a_signature_that_was_moved_here_from_another_image(tmp_path: Path) -> None:
    store, image = store_at(tmp_path / "layout")
    payload = build_payload(NAME, f"sha256:{'0' * 64}")
    attach_signature(store, image, payload, **{SIGNATURE: sign_payload(payload, key())})
    with pytest.raises(CanonError, match="is of another image, 'sha256:000"):
        verify_signatures(store, NAME, image.digest, PUBLIC)


def test_a_payload_that_was_edited(tmp_path: Path) -> None:
    store, image = store_at(tmp_path / "layout")
    payload = build_payload(NAME, image.digest)
    noted = {SIGNATURE: sign_payload(payload, key()), "canon.key": key_id(PUBLIC)}
    attach_signature(store, image, payload.replace(b"model", b"Model"), **noted)
    with pytest.raises(CanonError, match="noted as this key's and does not hold: it or its payload was edited"):
        verify_signatures(store, NAME, image.digest, PUBLIC)
    attach_signature(store, image, payload, **{SIGNATURE: "not base64"})
    attach_signature(store, image, payload)
    with pytest.raises(CanonError, match="the signature is not base64"):
        verify_signatures(store, NAME, image.digest, PUBLIC)
    sign_image(store, NAME, image, key())  # a good one is believed beside them
    verified = verify_signatures(store, NAME, image.digest, PUBLIC)
    assert verified.names == (NAME,)
    assert len(verified.skipped) == 3


def test_a_blob_that_was_exchanged_in_the_store(tmp_path: Path) -> None:
    store, image = store_at(tmp_path / "layout")
    sign_image(store, NAME, image, key())
    payload = build_payload(NAME, image.digest)
    blob = store.path(store.write_blob(payload, "").digest)
    for content in (payload.replace(b"model", b"Model"), payload + b" ", payload[:-1]):
        blob.write_bytes(content)
        with pytest.raises(CanonError, match=r"is damaged, or somebody exchanged it|sends more than"):
            verify_signatures(store, NAME, image.digest, PUBLIC)


def test_a_statement_that_was_edited_or_damaged(tmp_path: Path) -> None:
    for number, (edit, says) in enumerate(
        {
            "payload": "names this key, and its signature does not hold: it was edited",
            "envelope": "the envelope is not JSON",
            "kind": "an attestation is of the kind 'text/plain'",
        }.items()
    ):
        store, image = store_at(tmp_path / str(number))
        sign_image(store, NAME, image, key())
        attest_image(store, image, provenance(image), key())
        (blob,) = load_artifacts(store, image.digest, ATTESTATIONS)
        envelope = json.loads(blob.content)
        envelope["payload"] = base64.b64encode(provenance(image, alpha=2)).decode()
        content = {"payload": format_json(envelope), "envelope": blob.content[:-1], "kind": b"-"}[edit]
        broken = Blob("text/plain" if edit == "kind" else blob.media_type, content)
        attach(store, image, Artifact(ATTESTATIONS, (broken,)))
        verified = verify_signatures(store, NAME, image.digest, PUBLIC)
        assert len(verified.statements) == 1
        assert [says in each for each in verified.skipped] == [True]
        store, image = store_at(tmp_path / f"{number}-alone")
        sign_image(store, NAME, image, key())
        attach(store, image, Artifact(ATTESTATIONS, (broken,)))
        with pytest.raises(CanonError, match=f"no statement about {NAME}@.* holds with the key .*{says}"):
            verify_signatures(store, NAME, image.digest, PUBLIC)


def test_statements_of_other_keys_are_only_not_believed(tmp_path: Path) -> None:
    store, image = store_at(tmp_path / "layout")
    sign_image(store, NAME, image, key())
    attest_image(store, image, provenance(image), key(1))
    verified = verify_signatures(store, NAME, image.digest, PUBLIC)
    assert (verified.statements, verified.skipped) == ((), ("the envelope was signed by another key",))


def test_a_statement_about_another_image_is_neither_made_nor_believed(tmp_path: Path) -> None:
    store, image = store_at(tmp_path / "layout")
    other = Descriptor(media_type=image.media_type, digest=f"sha256:{'0' * 64}", size=1)
    with pytest.raises(CanonError, match="the statement is about another image"):
        attest_image(store, image, provenance(other), key())
    sign_image(store, NAME, image, key())
    attest_image(store, other, provenance(other), key())
    (moved,) = load_artifacts(store, other.digest, ATTESTATIONS)
    attach(store, image, Artifact(ATTESTATIONS, (moved,)))
    with pytest.raises(CanonError, match="the statement is about another image"):
        verify_signatures(store, NAME, image.digest, PUBLIC)


def test_a_tag_that_points_to_what_belongs_to_another_image(tmp_path: Path) -> None:
    store, image = store_at(tmp_path / "layout")
    other = Descriptor(media_type=image.media_type, digest=f"sha256:{'0' * 64}", size=1)
    made = sign_image(store, NAME, other, key())
    store.add(read_blob(store.folder, made.digest), tag_of(image.digest, SIGNATURES))
    with pytest.raises(CanonError, match=r"and belongs to sha256:000.*somebody exchanged it"):
        verify_signatures(store, NAME, image.digest, PUBLIC)


def test_what_is_too_much_is_neither_attached_nor_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, image = store_at(tmp_path / "layout")
    with pytest.raises(CanonError, match=f"has {MAX_BLOB + 1} bytes, more than {MAX_BLOB}"):
        attach(store, image, Artifact(BILLS, (Blob("text/plain", bytes(MAX_BLOB + 1)),)))
    attach(store, image, Artifact(BILLS, tuple(Blob("text/plain", bytes(size)) for size in range(5))))
    for name, most in (("MAX_LAYERS", 4), ("MAX_BLOB", 3), ("MAX_ALL", 9)):
        with monkeypatch.context() as patch:
            patch.setattr(f"canon.image.referrers.{name}", most)
            with pytest.raises(CanonError, match=r"5 blobs of 10 bytes are attached .* delete the old ones"):
                load_artifacts(store, image.digest, BILLS)
    monkeypatch.setattr("canon.image.referrers.MAX_MANIFESTS", 0)
    with pytest.raises(CanonError, match="1 manifests of the kind"):
        load_artifacts(store, image.digest, BILLS)


def test_a_source_that_sends_more_than_it_said(tmp_path: Path) -> None:
    class Endless(Layout):
        def read(self, descriptor: Descriptor) -> Any:
            if descriptor.media_type == "text/plain":
                return itertools.repeat(b"x" * 1000)
            return super().read(descriptor)

    store, image = store_at(tmp_path / "layout")
    attach(store, image, Artifact(BILLS, (Blob("text/plain", b"y" * 5000),)))
    with pytest.raises(CanonError, match="sends more than the 5000 bytes"):
        load_artifacts(Endless(store.folder), image.digest, BILLS)


def test_annotations_of_an_artifact_stand_in_its_manifest(tmp_path: Path) -> None:
    store, image = store_at(tmp_path / "layout")
    made = attach(store, image, Artifact(BILLS, (Blob("text/plain", b"x"),), {"a": "b"}))
    manifest = store.manifest(made)[1]
    assert isinstance(manifest, Manifest)
    assert manifest.annotations == {"a": "b"}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_openssl_verifies_what_is_stored(tmp_path: Path) -> None:
    store, image = store_at(tmp_path / "layout")
    layer = document(store, sign_image(store, NAME, image, key()))["layers"][0]
    (tmp_path / "key.pub").write_bytes(public_pem(key()))
    signature = layer["annotations"]["dev.cosignproject.cosign/signature"]
    (tmp_path / "signature").write_bytes(base64.b64decode(signature))
    blob = store.path(layer["digest"])
    public, made = str(tmp_path / "key.pub"), str(tmp_path / "signature")
    command = ["openssl", "dgst", "-sha256", "-verify", public, "-signature", made, str(blob)]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"Verified OK\n"


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="no skopeo")
def test_skopeo_reads_and_copies_what_is_stored(tmp_path: Path) -> None:
    store, image = store_at(tmp_path / "layout")
    sign_image(store, NAME, image, key())
    tag = tag_of(image.digest, SIGNATURES)
    source = f"oci:{store.folder}:{tag}"
    done = subprocess.run(["skopeo", "inspect", "--raw", source], capture_output=True, check=True)
    assert done.stdout == read_blob(store.folder, store.find(tag).digest)
    target = f"oci:{tmp_path}/copy:{tag}"
    copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--preserve-digests", source, target]
    subprocess.run(copy, capture_output=True, check=True)
    assert verify_signatures(Layout(tmp_path / "copy"), NAME, image.digest, PUBLIC).names == (NAME,)


VALUE = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.integers(), max_size=3)
DEPENDENCIES: list[dict[str, Any]] = [{"uri": "urn:a"}, {"uri": "urn:b", "digest": {"sha1": "1"}}]


@given(st.dictionaries(st.text(max_size=9), VALUE, max_size=4), st.permutations(DEPENDENCIES))
def test_a_statement_is_read_as_it_was_built(parameters: dict[str, Any], dependencies: list[dict[str, Any]]) -> None:
    digest = f"sha256:{'1' * 64}"
    predicate = build_provenance(
        build_type="urn:test:bake",
        builder="urn:test:canon",
        parameters=parameters,
        internal={"image": 1},
        dependencies=dependencies,
        metadata={"invocationId": "x"},
    )
    content = build_statement(NAME, digest, predicate)
    found = statement_from_bytes(content, digest)
    assert (found.names, found.predicate_type, found.predicate) == ((NAME,), PROVENANCE, predicate)
    shuffled = dict(reversed(predicate.items()))
    shuffled["buildDefinition"] |= {"resolvedDependencies": sorted(dependencies, key=format_json)}
    assert build_statement(NAME, digest, shuffled) == content
    assert set(predicate) == {"buildDefinition", "runDetails"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "is no in-toto statement of version 1"),
        ({"subject": {}}, "is damaged"),
        ({"predicateType": None}, "is damaged"),
        ({"predicate": []}, "is damaged"),
        ({"subject": []}, "about another image"),
        ({"subject": ["x", {"digest": "sha256"}, {"digest": {"sha256": "2"}}]}, "about another image"),
    ],
)
def test_what_is_no_statement_about_the_image(changes: dict[str, Any], says: str) -> None:
    digest = f"sha256:{'1' * 64}"
    content = json.dumps(json.loads(build_statement(NAME, digest, {})) | changes).encode()
    with pytest.raises(CanonError, match=says):
        statement_from_bytes(content, digest)
