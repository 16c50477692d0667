"""A signature of an image, as cosign makes it: of a payload of JSON that names the image's digest (Red Hat's simple signing)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from canon.image.descriptors import format_json, json_from_bytes
from canon.image.keys import OtherKeyError, PrivateKey, PublicKey, holds, key_id, sign
from canon.model.errors import CanonError

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
"""Media type of the payload (cosign's `specs/SIGNATURE_SPEC.md`)."""
SIGNATURE = "dev.cosignproject.cosign/signature"
"""Annotation of the payload's layer: the signature in base64."""
KEY_ID = "canon.key"
"""Annotation of the payload's layer: who says to have signed. It is not signed itself, and only makes a message precise."""
TYPE = "cosign container image signature"


def build_payload(name: str, digest: str) -> bytes:
    """The bytes to sign; cosign writes the same. ``name`` is the image's without tag and digest."""
    return format_json(
        {
            "critical": {
                "identity": {"docker-reference": name},
                "image": {"docker-manifest-digest": digest},
                "type": TYPE,
            },
            "optional": None,
        }
    )


def sign_payload(payload: bytes, key: PrivateKey) -> str:
    """The signature of a payload, in base64."""
    return format_base64(sign(key, payload))


def verify_payload(payload: bytes, signature: str, digest: str, key: PublicKey, signer: str = "") -> str:
    """Check a signature, and that it is for the image of that digest; return the name that was signed.

    ``signer``, the fingerprint that was noted beside it, is believed for nothing but the message. Raises CanonError.
    """
    if not holds(key, base64_from_text(signature, "the signature"), payload):
        if signer == key_id(key):
            raise CanonError("a signature is noted as this key's and does not hold: it or its payload was edited")
        if signer:
            raise OtherKeyError(f"a signature is of another key, {signer}")
        raise OtherKeyError("a signature is of another key, or its payload was edited")
    critical = _mapping(json_from_bytes(payload, "a signed payload"), "critical")
    if critical.get("type") != TYPE:
        raise CanonError(f"a signed payload is no signature of an image: its type is {critical.get('type')!r}")
    signed = _mapping(critical, "image").get("docker-manifest-digest")
    if signed != digest:
        raise CanonError(f"a signature of this key is of another image, {signed!r}; somebody moved it here")
    return str(_mapping(critical, "identity").get("docker-reference", ""))


def _mapping(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def format_base64(content: bytes) -> str:
    """Standard base64 in one line."""
    return base64.b64encode(content).decode()


def base64_from_text(text: object, name: str) -> bytes:
    """The bytes of standard base64 and of no other spelling: one content, one text. Raises CanonError."""
    try:
        content = base64.b64decode(str(text).encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        content = None
    if content is None or format_base64(content) != text:
        raise CanonError(f"{name} is not base64; it is damaged")
    return content
