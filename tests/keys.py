"""Key pairs for tests, made anew; and files of keys in every form."""

from __future__ import annotations

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
