"""Key pairs for tests, made anew; and files of keys in every form."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

PASSWORD = "correct horse"
ENVIRONMENT = {"COSIGN_PASSWORD": PASSWORD}


@cache
def _keys() -> list[ec.EllipticCurvePrivateKey]:
    return [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]


def key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    """The same key for the same number, in one run of the tests."""
    return _keys()[number]


def pem(private: ec.EllipticCurvePrivateKey, password: str = "") -> bytes:
    """As PKCS#8."""
    how = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def public_pem(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def write_keys(folder: Path, number: int = 0) -> tuple[Path, Path]:
    """Write a pair; return the private file and the public one."""
    private, public = folder / f"{number}.key", folder / f"{number}.pub"
    private.write_bytes(pem(key(number)))
    public.write_bytes(public_pem(key(number)))
    return private, public


def cosign_pem(box: bytes, salt: bytes, nonce: bytes, n: int = 2**15) -> bytes:
    """A file as `cosign generate-key-pair` writes it, around a secretbox."""
    document = {
        "kdf": {"name": "scrypt", "params": {"N": n, "r": 8, "p": 1}, "salt": base64.b64encode(salt).decode()},
        "cipher": {"name": "nacl/secretbox", "nonce": base64.b64encode(nonce).decode()},
        "ciphertext": base64.b64encode(box).decode(),
    }
    body = base64.b64encode(json.dumps(document).encode()).decode()
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    label = "ENCRYPTED SIGSTORE PRIVATE KEY"
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()


def derived(salt: bytes, n: int = 2**15) -> bytes:
    return hashlib.scrypt(PASSWORD.encode(), salt=salt, n=n, r=8, p=1, dklen=32, maxmem=2**27)
