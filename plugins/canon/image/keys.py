"""Keys that images are signed with: ECDSA on P-256, in PEM files, as OpenSSL writes them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from canon.model.errors import CanonError

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey
PASSWORD = "COSIGN_PASSWORD"  # noqa: S105  the variable's name
"""Variable of the environment that holds a private key's password, as for cosign."""
MAX_KEY = 64 * 1024
"""Bytes of the largest file that can be a key."""
COSIGN_KEY = {"ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"}
"""Labels of what `cosign generate-key-pair` writes: NaCl's secretbox, which `cryptography` has not."""
LABEL = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----", re.MULTILINE)


class OtherKeyError(CanonError):
    """What was to be verified is signed, but not by this key."""


def load_private_key(path: Path, environment: Mapping[str, str]) -> PrivateKey:
    """Read a private key; its password comes from the environment. Raises CanonError, never with what the file holds."""
    content, label = _pem(path)
    if label == "PUBLIC KEY":
        raise CanonError(f"{path} is a public key; to sign, name the private one")
    if label in COSIGN_KEY:
        raise CanonError(
            f"{path} is encrypted in cosign's own way, which is not read here; make the key with OpenSSL, and give it to cosign by"
            " `cosign import-key-pair`"
        )
    encrypted = label.startswith("ENCRYPTED ") or b"\nProc-Type: 4,ENCRYPTED" in content
    password = environment.get(PASSWORD, "").encode() if encrypted else None
    if encrypted and PASSWORD not in environment:
        raise CanonError(f"{path} is encrypted; put its password into the variable {PASSWORD}")
    try:
        key: object = load_pem_private_key(content, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # what OpenSSL says of a wrong password and of a damaged file is the same, and may quote the file
        why = f"is damaged, or {PASSWORD} is not its password" if encrypted else "is no private key, or is damaged"
        raise CanonError(f"the key {path} {why}") from None
    if not isinstance(key, PrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CanonError(f"{path} {_other(key)}")
    return key


def load_public_key(path: Path) -> PublicKey:
    """Read a public key. Raises CanonError."""
    content, label = _pem(path)
    if "PRIVATE KEY" in label:
        raise CanonError(f"{path} is a private key; to verify, name the public one, and hand out no other")
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise CanonError(f"the key {path} is no public key, or is damaged") from None
    if not isinstance(key, PublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CanonError(f"{path} {_other(key)}")
    return key


def _other(key: object) -> str:
    kind = f"ECDSA on {key.curve.name}" if isinstance(key, PrivateKey | PublicKey) else "another kind"
    return f"is a key of {kind}; images are signed with ECDSA on P-256: openssl ecparam -genkey -name prime256v1"


def _pem(path: Path) -> tuple[bytes, str]:
    """The content of a file and the label of its block that is a key."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY + 1)
    except OSError as error:
        raise CanonError(f"cannot read the key {path}: {error.strerror}") from None
    labels = [label.decode() for label in LABEL.findall(content.replace(b"\r\n", b"\n"))]
    keys = [label for label in labels if label.endswith("KEY")]
    if len(content) > MAX_KEY or len(keys) != 1:
        raise CanonError(f"{path} holds {len(keys)} keys in PEM, not one")
    return content, keys[0]


def key_id(key: PublicKey) -> str:
    """The fingerprint that `ssh-keygen -l` shows. go-securesystemslib, and so cosign, skips signatures in an envelope with another id."""
    line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    found = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return f"SHA256:{base64.b64encode(found).decode().rstrip('=')}"


def sign(key: PrivateKey, content: bytes) -> bytes:
    """Sign bytes (ECDSA with SHA-256, DER). The same bytes give the same signature (RFC 6979), where OpenSSL is 3.2 or newer."""
    try:
        return key.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    except UnsupportedAlgorithm:
        return key.sign(content, ec.ECDSA(hashes.SHA256()))


def holds(key: PublicKey, signature: bytes, content: bytes) -> bool:
    """Tell whether a signature of bytes was made with the other half of a key."""
    try:
        key.verify(signature, content, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
