"""Payloads and envelopes: what is signed is exactly what is returned, and every other bit is refused."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from canon.image.envelopes import IN_TOTO, pre_authentication, sign_envelope, verify_envelope
from canon.image.keys import OtherKeyError, key_id, sign
from canon.image.signatures import base64_from_text, build_payload, format_base64, sign_payload, verify_payload
from canon.model.errors import CanonError
from tests.keys import key

DIGEST = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"
PUBLIC = key().public_key()


def test_the_payload_is_what_cosign_writes() -> None:
    assert build_payload("registry.example/team/model", DIGEST) == (
        b'{"critical":{"identity":{"docker-reference":"registry.example/team/model"},"image":{"docker-manifest-digest":"'
        + DIGEST.encode()
        + b'"},"type":"cosign container image signature"},"optional":null}'
    )


def test_a_signature_holds_for_its_image() -> None:
    payload = build_payload("name", DIGEST)
    assert verify_payload(payload, sign_payload(payload, key()), DIGEST, PUBLIC) == "name"


@pytest.mark.parametrize(
    ("signer", "says"),
    [
        ("", "of another key, or its payload was edited"),
        (key_id(PUBLIC), "noted as this key's and does not hold: it or its payload was edited"),
        ("SHA256:other", "of another key, SHA256:other"),
    ],
    ids=["not noted", "this key", "another"],
)
def test_a_payload_that_was_edited(signer: str, says: str) -> None:
    payload = build_payload("name", DIGEST)
    with pytest.raises(CanonError, match=says):
        verify_payload(payload.replace(b"name", b"Name"), sign_payload(payload, key()), DIGEST, PUBLIC, signer)


def test_a_signature_of_another_image_or_key() -> None:
    payload = build_payload("name", OTHER)
    with pytest.raises(CanonError, match=f"is of another image, '{OTHER}'; somebody moved it here"):
        verify_payload(payload, sign_payload(payload, key()), DIGEST, PUBLIC)
    with pytest.raises(OtherKeyError, match="of another key"):
        verify_payload(payload, sign_payload(payload, key(1)), OTHER, PUBLIC)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "its type is None"),
        ({"critical": []}, "its type is None"),
        ({"critical": {"type": "atomic container signature"}}, "its type is 'atomic container signature'"),
        ({"critical": {"type": "cosign container image signature"}}, "is of another image, None"),
        ({"critical": {"type": "cosign container image signature", "image": DIGEST}}, "is of another image, None"),
        ([], "is no JSON object"),
    ],
)
def test_a_signed_payload_that_is_no_signature_of_an_image(document: object, says: str) -> None:
    payload = json.dumps(document).encode()
    with pytest.raises(CanonError, match=says):
        verify_payload(payload, sign_payload(payload, key()), DIGEST, PUBLIC)


@given(st.binary(max_size=100))
def test_base64_has_one_spelling(content: bytes) -> None:
    text = format_base64(content)
    assert base64_from_text(text, "it") == content
    for wrong in (text + "=", text + "\n", f" {text}", text.replace("=", "") if "=" in text else f"{text}A", None, 7):
        with pytest.raises(CanonError, match="it is not base64"):
            base64_from_text(wrong, "it")


def test_loose_bits_of_base64_are_no_second_spelling() -> None:
    assert base64.b64decode("QR==", validate=True) == base64.b64decode("QQ==")
    with pytest.raises(CanonError, match="not base64"):
        base64_from_text("QR==", "it")


def test_what_is_signed_is_dsses_own_example() -> None:
    """The protocol's document has this one."""
    example = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pre_authentication("http://example.com/HelloWorld", b"hello world") == example


@given(st.text(max_size=9), st.binary(max_size=9), st.text(max_size=9), st.binary(max_size=9))
def test_no_two_envelopes_are_signed_alike(kind: str, payload: bytes, other: str, second: bytes) -> None:
    assume((kind, payload) != (other, second))
    assert pre_authentication(kind, payload) != pre_authentication(other, second)


def test_an_envelope_gives_back_its_payload() -> None:
    envelope = sign_envelope(b'{"a": 1}', key())
    assert verify_envelope(envelope, PUBLIC) == b'{"a": 1}'
    assert envelope == sign_envelope(b'{"a": 1}', key())
    assert json.loads(envelope)["signatures"][0]["keyid"] == key_id(PUBLIC)


def edited(**changes: Any) -> bytes:
    document = json.loads(sign_envelope(b"{}", key())) | changes
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode()


SIG = json.loads(sign_envelope(b"{}", key()))["signatures"][0]


@pytest.mark.parametrize(
    ("envelope", "says"),
    [
        (edited(payload="e30K"), "names this key, and its signature does not hold: it was edited"),
        (edited(payload="e30"), "the envelope's payload is not base64"),
        (edited(payload=None), "the envelope's payload is not base64"),
        (edited(payload="e3\u00e9="), "the envelope's payload is not base64"),
        (edited(payloadType="text/plain"), "holds 'text/plain', not 'application/vnd.in-toto"),
        (edited(payloadType=None), "holds None"),
        (edited(signatures=[]), "has no list of signatures"),
        (edited(signatures={}), "has no list of signatures"),
        (edited(signatures=[SIG] * 101), "has no list of signatures"),
        (edited(signatures=["x"]), "list of signatures is damaged"),
        (edited(signatures=[{"keyid": []}]), "a signature in the envelope is not base64"),
        (edited(signatures=[{"keyid": [], "sig": "AAAA"}]), "signed by another key"),
        (sign_envelope(b"{}", key(1)), "signed by another key"),
        (sign_envelope(b"{}", key())[:-3], "the envelope is not JSON"),
        (b"[]", "is no JSON object"),
    ],
)
def test_an_envelope_that_does_not_hold(envelope: bytes, says: str) -> None:
    with pytest.raises(CanonError, match=says):
        verify_envelope(envelope, PUBLIC)


def test_a_payload_signed_under_another_type_is_not_taken() -> None:
    with pytest.raises(CanonError, match="does not hold"):
        verify_envelope(
            edited(**json.loads(sign_envelope(b"{}", key(), "text/plain")) | {"payloadType": IN_TOTO}), PUBLIC
        )
    signature = format_base64(sign(key(), b"{}"))  # over the payload alone
    with pytest.raises(CanonError, match="signed by another key"):
        verify_envelope(edited(signatures=[{"sig": signature}]), PUBLIC)


def test_one_of_several_signatures_is_enough_and_its_id_is_only_a_hint() -> None:
    theirs = json.loads(sign_envelope(b"{}", key(1)))["signatures"]
    assert verify_envelope(edited(signatures=[*theirs, SIG]), PUBLIC) == b"{}"
    assert verify_envelope(edited(signatures=[{"sig": SIG["sig"]}]), PUBLIC) == b"{}"
    assert verify_envelope(edited(signatures=[{"keyid": "x", "sig": SIG["sig"]}]), PUBLIC) == b"{}"


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_no_bit_of_an_envelope_can_be_changed_and_another_payload_come_out(at: int, bit: int) -> None:
    envelope = bytearray(sign_envelope(b'{"a":1}', key()))
    envelope[at % len(envelope)] ^= 1 << bit
    with contextlib.suppress(CanonError):
        assert verify_envelope(bytes(envelope), PUBLIC) == b'{"a":1}'  # only the id of the key may differ
