"""Which web servers are followed and believed: redirects, the machine's own services, certificates, credentials."""

from __future__ import annotations

import datetime as dt
import functools
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from canon.data.pin import pin_source
from canon.model.errors import CanonError
from tests.servers.conftest import Handler, Web, pin_of, send

pytestmark = pytest.mark.usefixtures("direct")


def test_redirects_are_followed(web: Web, tmp_path: Path) -> None:
    web.serve("/there.csv", b"one\n")
    uri = web.script("/x.csv", lambda handler: send(handler, 302, Location="/there.csv"))
    pin, source = pin_source(uri, root=tmp_path)
    assert (pin, source.uri) == (pin_of(tmp_path, b"one\n"), uri)


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x", "http://[", "/x.csv"])
def test_redirects_to_what_is_no_web_server_or_in_circles_are_refused(web: Web, tmp_path: Path, place: str) -> None:
    uri = web.script("/x.csv", lambda handler: send(handler, 302, Location=place))
    with pytest.raises(CanonError, match=rf"cannot read {uri}"):
        pin_source(uri, root=tmp_path)


METADATA = [
    "http://169.254.169.254/latest/meta-data/x",
    "http://[::ffff:169.254.169.254]/x",
    "http://[fd00:ec2::254]/x",
]


@pytest.mark.parametrize("address", METADATA)
@pytest.mark.parametrize("redirected", [False, True])
def test_the_machines_metadata_service_is_not_asked(
    web: Web,
    tmp_path: Path,
    address: str,
    redirected: bool,  # noqa: FBT001
) -> None:
    uri = web.script("/x.csv", lambda handler: send(handler, 302, Location=address)) if redirected else address
    with pytest.raises(CanonError, match="metadata service"):
        pin_source(uri, root=tmp_path)


@pytest.fixture
def https(tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a TLS server on loopback that sends everybody on to ``web``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, secret = tmp_path / "tls" / "certificate.pem", tmp_path / "tls" / "key.pem"
    pem.parent.mkdir()
    pem.write_bytes(certificate.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    # aiohttp made its own context when it was imported: what the system trusts is read once
    trusting = ssl.create_default_context(cafile=str(pem))
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)

    class Redirecting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/x.csv":
                send(self, 302, Location=f"{web.url}/x.csv")
            else:
                send(self, 200, b"one\n")

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            del format, args

    with HTTPServer(("127.0.0.1", 0), Redirecting) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"https://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_redirect_from_https_to_http_is_refused(https: str, web: Web, tmp_path: Path) -> None:
    web.serve("/x.csv", b"one\n")
    assert pin_source(f"{https}/y.csv", root=tmp_path)[0] == pin_of(tmp_path, b"one\n")
    with pytest.raises(CanonError, match="redirects to http://, where anyone"):
        pin_source(f"{https}/x.csv", root=tmp_path)


def test_a_server_with_a_certificate_of_its_own_making_is_refused(https: str, tmp_path: Path) -> None:
    with pytest.raises(CanonError, match="certificate is not to be trusted"):
        pin_source(f"{https}/y.csv".replace("localhost", "127.0.0.1"), root=tmp_path)


def test_a_secret_in_a_redirect_is_not_repeated(web: Web, tmp_path: Path) -> None:
    for number, place in enumerate(
        (f"{web.url}/signed.csv?X-Amz-Signature=hunter2", "http://user:hunter2@127.0.0.1:9/x")
    ):
        uri = web.script(f"/{number}.csv", functools.partial(send, status=302, Location=place))
        web.script("/signed.csv", lambda handler: send(handler, 403))
        with pytest.raises(CanonError) as caught:
            pin_source(uri, root=tmp_path)
        assert "hunter2" not in str(caught.value)


def test_credentials_come_from_netrc(web: Web, tmp_path: Path) -> None:
    def answer(handler: Handler) -> None:
        allowed = handler.headers.get("Authorization") == "Basic am9lOmh1bnRlcjI="
        send(handler, 200 if allowed else 401, b"one\n" if allowed else b"")

    uri = web.script("/x.csv", answer)
    (Path.home() / ".netrc").write_text("machine 127.0.0.1 login joe password hunter2\n")
    (Path.home() / ".netrc").chmod(0o600)
    assert pin_source(uri, root=tmp_path)[0] == pin_of(tmp_path, b"one\n")
