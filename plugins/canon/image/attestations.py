"""Signing an image and saying where it came from, and checking both with a public key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from canon.image.descriptors import Descriptor, json_from_bytes
from canon.image.envelopes import DSSE, sign_envelope, verify_envelope
from canon.image.keys import OtherKeyError, PrivateKey, PublicKey, key_id
from canon.image.referrers import ATTESTATIONS, BILLS, SIGNATURES, Artifact, Blob, attach, load_artifacts
from canon.image.signatures import KEY_ID, SIGNATURE, SIMPLE_SIGNING, build_payload, sign_payload, verify_payload
from canon.image.statements import CYCLONEDX, Statement, build_statement, statement_from_bytes
from canon.image.stores import Source, Store
from canon.model.errors import CanonError, listed

BILL = "application/vnd.cyclonedx+json"
PREDICATE = "predicateType"
"""Annotation of an envelope's layer, as cosign has it."""


@dataclass(frozen=True)
class Verified:
    """What a key vouches for: ``names`` that the image was signed under, statements about it, and why others were ``skipped``."""

    names: tuple[str, ...]
    statements: tuple[Statement, ...]
    skipped: tuple[str, ...]


def sign_image(store: Store, name: str, image: Descriptor, key: PrivateKey) -> Descriptor:
    """Sign an image of a store, and attach the signature. ``name`` is the image's, without tag and digest. Raises CanonError."""
    payload = build_payload(name, image.digest)
    annotations = {SIGNATURE: sign_payload(payload, key), KEY_ID: key_id(key.public_key())}
    return attach(store, image, Artifact(SIGNATURES, (Blob(SIMPLE_SIGNING, payload, annotations),)))


def attest_image(store: Store, image: Descriptor, statement: bytes, key: PrivateKey) -> Descriptor:
    """Sign a statement about an image, and attach it. Raises CanonError, also when it is about another image."""
    kind = statement_from_bytes(statement, image.digest).predicate_type
    # cosign looks for a signature's annotation in every layer; that of an envelope is empty
    annotations = {PREDICATE: kind, SIGNATURE: ""}
    return attach(store, image, Artifact(ATTESTATIONS, (Blob(DSSE, sign_envelope(statement, key), annotations),)))


def attach_sbom(store: Store, name: str, image: Descriptor, bill: bytes, key: PrivateKey | None = None) -> Descriptor:
    """Attach a bill of materials (CycloneDX, JSON) to an image; with a key, attest it, too: what is under the tag alone is not signed."""
    predicate = json_from_bytes(bill, "the bill of materials")
    attached = attach(store, image, Artifact(BILLS, (Blob(BILL, bill),)))
    if key is not None:
        attest_image(store, image, build_statement(name, image.digest, predicate, CYCLONEDX), key)
    return attached


def verify_signatures(source: Source, name: str, digest: str, key: PublicKey) -> Verified:
    """Check that the key has signed the image of a digest; ``name`` is for messages.

    What other keys have signed is skipped, with the reason. Raises CanonError, with every reason, when no signature of this key holds,
    or when a statement is damaged or edited and none holds. Statements can be taken away by whoever writes to the store: who needs
    one looks whether it is among what is returned.
    """
    names, skipped = [], []
    blobs = load_artifacts(source, digest, SIGNATURES)
    if not blobs:
        raise CanonError(f"{name}@{digest} has no signature; sign it, or name the store where it was signed")
    for blob in blobs:
        try:
            names.append(_verify_signature(blob, digest, key))
        except CanonError as error:
            skipped.append(str(error))
    if not names:
        raise CanonError(f"{name}@{digest} is not signed with the key {key_id(key)}: {_reasons(skipped)}")
    statements, broken = [], []
    for blob in load_artifacts(source, digest, ATTESTATIONS):
        try:
            statements.append(_verify_statement(blob, digest, key))
        except OtherKeyError as error:
            skipped.append(str(error))
        except CanonError as error:
            broken.append(str(error))
    if broken and not statements:
        raise CanonError(f"no statement about {name}@{digest} holds with the key {key_id(key)}: {_reasons(broken)}")
    return Verified(tuple(sorted(set(names))), tuple(statements), tuple(sorted({*skipped, *broken})))


def _verify_signature(blob: Blob, digest: str, key: PublicKey) -> str:
    if blob.media_type != SIMPLE_SIGNING:
        raise CanonError(f"a signature is of the kind {blob.media_type!r}, which is not known")
    signature, signer = (blob.annotations.get(name, "") for name in (SIGNATURE, KEY_ID))
    return verify_payload(blob.content, signature, digest, key, signer)


def _verify_statement(blob: Blob, digest: str, key: PublicKey) -> Statement:
    if blob.media_type != DSSE:
        raise CanonError(f"an attestation is of the kind {blob.media_type!r}, which is not known")
    return statement_from_bytes(verify_envelope(blob.content, key), digest)


def _reasons(reasons: Iterable[str]) -> str:
    return listed(sorted(set(reasons)))
