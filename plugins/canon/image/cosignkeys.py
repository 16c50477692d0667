"""Private keys as `cosign generate-key-pair` writes them: scrypt, and NaCl's secretbox around a PKCS#8 key.

The file is JSON in PEM (go-securesystemslib, `encrypted`). Secretbox is XSalsa20 and Poly1305; `cryptography` has no Salsa20, so its core
is here, after "Extending the Salsa20 nonce" (Bernstein, 2011). It deciphers a key of some hundred bytes, and nothing else.
"""

from __future__ import annotations

import base64
import struct
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.poly1305 import Poly1305

from canon.image.descriptors import json_from_bytes

COSIGN_KEY = {"ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"}
"""Labels of the PEM block, today's and the first one."""
SIGMA = struct.unpack("<4I", b"expand 32-byte k")
ROUNDS = (
    *((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11)),
    *((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)),
)
"""Which words a double round mixes: the columns, then the rows."""
MOST_N = 2**17
"""Scrypt's N is 2**15 or 2**16 in keys of cosign; with r 8 it takes 1 KiB of memory each."""
KEY, NONCE, TAG = 32, 24, 16


def private_der(content: bytes, password: bytes, name: str) -> bytes:
    """Decipher the JSON of a PEM block. Raises ValueError when the password is another, or the file is damaged."""
    document = json_from_bytes(content, f"the key {name}")
    try:
        return open_box(
            _derived(document["kdf"], password),
            base64.b64decode(document["cipher"]["nonce"], validate=True),
            base64.b64decode(document["ciphertext"], validate=True),
        )
    except (KeyError, AttributeError, TypeError):
        raise ValueError(name) from None


def _derived(kdf: dict[str, Any], password: bytes) -> bytes:
    n, r, p = (kdf["params"][name] for name in ("N", "r", "p"))
    if kdf["name"] != "scrypt" or not (isinstance(n, int) and 1 < n <= MOST_N) or (r, p) != (8, 1):
        raise ValueError(n)
    return Scrypt(salt=base64.b64decode(kdf["salt"], validate=True), length=KEY, n=n, r=r, p=p).derive(password)


def open_box(key: bytes, nonce: bytes, box: bytes) -> bytes:
    """What is in a secretbox. Raises ValueError when the key is another, or a bit was changed."""
    if len(nonce) != NONCE or len(box) < TAG:
        raise ValueError(len(nonce))
    tag, cipher = box[:TAG], box[TAG:]
    stream = stream_of(key, nonce, KEY + len(cipher))
    try:
        Poly1305.verify_tag(stream[:KEY], cipher, tag)
    except InvalidSignature:
        raise ValueError(len(box)) from None
    return bytes(one ^ other for one, other in zip(cipher, stream[KEY:], strict=True))


def stream_of(key: bytes, nonce: bytes, length: int) -> bytes:
    """The first bytes of XSalsa20's stream for a key of 32 bytes and a nonce of 24."""
    words, first = struct.unpack("<8I", key), struct.unpack("<4I", nonce[:16])
    mixed = _mixed(_state(words, first))
    subkey = tuple(mixed[at] for at in (0, 5, 10, 15, 6, 7, 8, 9))
    found = b""
    while len(found) < length:
        state = _state(subkey, struct.unpack("<2IQ", nonce[16:] + struct.pack("<Q", len(found) // 64)))
        found += struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(state, _mixed(state), strict=True)))
    return found[:length]


def _state(key: tuple[int, ...], rest: tuple[int, ...]) -> list[int]:
    if len(rest) == 3:  # noqa: PLR2004  a nonce of two words, and the number of the block
        rest = (rest[0], rest[1], rest[2] & 0xFFFFFFFF, rest[2] >> 32)
    return [SIGMA[0], *key[:4], SIGMA[1], *rest, SIGMA[2], *key[4:], SIGMA[3]]


def _mixed(state: list[int]) -> list[int]:
    """Twenty rounds."""
    x = list(state)
    for _ in range(10):
        for a, b, c, d in ROUNDS:
            for target, one, other, by in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
                total = (x[one] + x[other]) & 0xFFFFFFFF
                x[target] ^= ((total << by) | (total >> (32 - by))) & 0xFFFFFFFF
    return x
