"""Keys are read in every form that OpenSSL writes; an error says which file and never what is in it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from canon.image.keys import holds, key_id, load_private_key, load_public_key, sign
from canon.model.errors import CanonError
from tests.keys import ENVIRONMENT, PASSWORD, key, pem, public_pem, write_keys

COSIGN = b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\neyJrZGYi\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"
"""As `cosign generate-key-pair` writes it."""


def test_a_key_is_read_as_it_was_written(tmp_path: Path) -> None:
    old = key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    for number, content in enumerate([pem(key()), pem(key(), PASSWORD), old]):
        file = tmp_path / str(number)
        file.write_bytes(content)
        assert key_id(load_private_key(file, ENVIRONMENT).public_key()) == key_id(key().public_key())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_keys_of_the_command_openssl(tmp_path: Path) -> None:
    def openssl(*args: str) -> str:
        done = subprocess.run(["openssl", *args], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout

    openssl("ecparam", "-genkey", "-name", "prime256v1", "-out", "old")  # with a block of parameters before the key
    openssl("pkcs8", "-topk8", "-in", "old", "-passout", f"pass:{PASSWORD}", "-out", "new")
    openssl("ec", "-in", "old", "-aes128", "-passout", f"pass:{PASSWORD}", "-out", "locked")
    openssl("ec", "-in", "old", "-pubout", "-out", "public")
    public = load_public_key(tmp_path / "public")
    keys = [load_private_key(tmp_path / name, ENVIRONMENT) for name in ("old", "new", "locked")]
    assert {key_id(each.public_key()) for each in keys} == {key_id(public)}
    (tmp_path / "text").write_bytes(b"text")
    (tmp_path / "signature").write_bytes(sign(keys[0], b"text"))
    done = openssl("dgst", "-sha256", "-verify", "public", "-signature", "signature", "text")
    assert done == "Verified OK\n"
    openssl("dgst", "-sha256", "-sign", "old", "-out", "theirs", "text")
    assert holds(public, (tmp_path / "theirs").read_bytes(), b"text")


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen")
def test_the_id_is_the_fingerprint_of_ssh(tmp_path: Path) -> None:
    file = tmp_path / "key.pub"
    file.write_bytes(key().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    shown = subprocess.run(["ssh-keygen", "-lf", file], check=True, capture_output=True, text=True).stdout
    assert shown.split()[1] == key_id(key().public_key())


def test_the_same_bytes_give_the_same_signature() -> None:
    assert sign(key(), b"text") == sign(key(), b"text") != sign(key(1), b"text")
    assert not holds(key().public_key(), sign(key(), b"text"), b"Text")
    assert not holds(key().public_key(), b"", b"text")


OTHERS: dict[str, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey] = {
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "RSA": rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.mark.parametrize(
    ("content", "environment", "says"),
    [
        (pem(key(), PASSWORD), {}, "is encrypted; put its password into the variable COSIGN_PASSWORD"),
        (pem(key(), PASSWORD), {"COSIGN_PASSWORD": "wrong"}, "is damaged, or COSIGN_PASSWORD is not its password"),
        (pem(key(), PASSWORD), {"COSIGN_PASSWORD": ""}, "is damaged, or COSIGN_PASSWORD is not its password"),
        (COSIGN, ENVIRONMENT, "is encrypted in cosign's own way.*`cosign import-key-pair`"),
        (pem(key()).replace(b"MIG", b"MIX"), {}, "is no private key, or is damaged"),
        (public_pem(key()), {}, "is a public key"),
        (pem(key()) + pem(key(1)), {}, "holds 2 keys in PEM, not one"),
        (b"", {}, "holds 0 keys"),
        (b"\0" * 100_000, {}, "holds 0 keys"),
        *(
            (each.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), {}, "P-256")
            for each in OTHERS.values()
        ),
    ],
)
def test_what_is_no_key_is_refused_and_not_quoted(
    tmp_path: Path, content: bytes, environment: dict[str, str], says: str
) -> None:
    file = tmp_path / "signing.key"
    file.write_bytes(content)
    with pytest.raises(CanonError, match=says) as raised:
        load_private_key(file, environment)
    assert "signing.key" in str(raised.value)
    lines = {line.decode() for line in content.splitlines() if len(line) > 8 and not line.startswith(b"-")}
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    assert not [line for line in lines if line[:12] in str(raised.value)]
    assert not re.search(r"[A-Za-z0-9+/]{40}", str(raised.value).replace(str(tmp_path), ""))
    assert not environment.get("COSIGN_PASSWORD") or environment["COSIGN_PASSWORD"] not in str(raised.value)


def test_a_public_key_is_read_and_nothing_else(tmp_path: Path) -> None:
    private, public = write_keys(tmp_path)
    assert key_id(load_public_key(public)) == key_id(key().public_key())
    with pytest.raises(CanonError, match="is a private key; to verify, name the public one"):
        load_public_key(private)
    with pytest.raises(CanonError, match=r"cannot read the key .*none: No such file"):
        load_public_key(tmp_path / "none")
    public.write_bytes(public_pem(key()).replace(b"MFk", b"MFx"))
    with pytest.raises(CanonError, match="is no public key, or is damaged"):
        load_public_key(public)
    for other in OTHERS.values():
        public.write_bytes(other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        with pytest.raises(CanonError, match="P-256"):
            load_public_key(public)
