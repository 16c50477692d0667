"""Statements in envelopes: DSSE 1.0, which signs a payload together with its type."""

from __future__ import annotations

from typing import Any

from canon.image.descriptors import format_json, json_from_bytes
from canon.image.keys import OtherKeyError, PrivateKey, PublicKey, holds, key_id, sign
from canon.image.signatures import base64_from_text, format_base64
from canon.model.errors import CanonError

DSSE = "application/vnd.dsse.envelope.v1+json"
"""Media type of an envelope."""
IN_TOTO = "application/vnd.in-toto+json"
"""Type of a payload that is an in-toto statement."""
MOST_SIGNATURES = 100


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """What is signed (DSSE's PAE): no two pairs of type and payload give the same bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload: bytes, key: PrivateKey, payload_type: str = IN_TOTO) -> bytes:
    """A payload in an envelope with one signature."""
    signature = sign(key, pre_authentication(payload_type, payload))
    return format_json(
        {
            "payload": format_base64(payload),
            "payloadType": payload_type,
            "signatures": [{"keyid": key_id(key.public_key()), "sig": format_base64(signature)}],
        }
    )


def verify_envelope(content: bytes, key: PublicKey, payload_type: str = IN_TOTO) -> bytes:
    """The payload of an envelope that the key has signed; nobody sees it otherwise. Raises CanonError."""
    envelope = json_from_bytes(content, "the envelope")
    if envelope.get("payloadType") != payload_type:
        raise CanonError(f"the envelope holds {envelope.get('payloadType')!r}, not {payload_type!r}")
    payload = base64_from_text(envelope.get("payload"), "the envelope's payload")
    signatures = _signatures(envelope)
    signed = pre_authentication(payload_type, payload)
    if any(holds(key, signature, signed) for _, signature in signatures):
        return payload
    if key_id(key) in [identity for identity, _ in signatures]:
        raise CanonError("the envelope names this key, and its signature does not hold: it was edited")
    raise OtherKeyError("the envelope was signed by another key")


def _signatures(envelope: dict[str, Any]) -> list[tuple[object, bytes]]:
    found = envelope.get("signatures")
    if not isinstance(found, list) or not 0 < len(found) <= MOST_SIGNATURES:
        raise CanonError("the envelope has no list of signatures; it is damaged")
    if not all(isinstance(each, dict) for each in found):
        raise CanonError("the envelope's list of signatures is damaged")
    return [(each.get("keyid"), base64_from_text(each.get("sig"), "a signature in the envelope")) for each in found]
