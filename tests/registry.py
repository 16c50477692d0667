"""Registries of images for tests: one in this process, which makes faults when asked to, and Debian's docker-registry."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import ipaddress
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.registry_server import Handler
from tests.registry_state import CutFault, Failure, Manifest, Record, Reply, Repository, State

__all__ = ["Manifest", "Record", "Registry", "Repository", "debian_registry", "have_debian_registry", "make_tls"]

START = 20.0
"""Seconds in which Debian's registry answers, or never."""


class Server(ThreadingHTTPServer):
    daemon_threads = False  # a test leaves no thread behind
    request_queue_size = 64

    def __init__(self, handler: type[Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or one that does not trust the certificate, is not ours to report."""
        if not isinstance(sys.exception(), (OSError, ValueError)):
            super().handle_error(request, client_address)


class Registry(State):
    """A registry on a free loopback port. What `State` lists can be set at any time.

    A blob belongs to the repository that it was pushed to or mounted in. With ``keep=False`` blobs of more than 1 MB are
    hashed and dropped; they cannot be pulled.
    """

    def __init__(
        self,
        *,
        referrers: bool = True,
        auth: Literal["basic", "bearer"] | None = None,
        user: str = "user",
        password: str = "password",
        tls: ssl.SSLContext | None = None,
        keep: bool = True,
    ) -> None:
        super().__init__(referrers=referrers, auth=auth, user=user, password=password, keep=keep)
        self.tls = tls

    def __enter__(self) -> Self:
        self.server = Server(type("Bound", (Handler,), {"state": self}))
        if self.tls:
            # The handshake is made by the connection's own thread.
            self.server.socket = self.tls.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{'https' if self.tls else 'http'}://{self.host}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.thread.join()
        for connection in list(self.server.connections):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self.server.server_close()

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT``."""
        return f"127.0.0.1:{self.server.server_port}"

    @property
    def received(self) -> int:
        """Bytes of all requests' bodies."""
        return sum(record.received for record in self.requests)

    def clear(self) -> None:
        """Forget the requests; what was pushed stays."""
        self.requests.clear()

    def fail(
        self,
        method: str,
        pattern: str,
        status: int = 503,
        times: int = 1,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> None:
        """Answer so to the next requests whose path with its query has the pattern; the method ``*`` is any."""
        self.failures.append(Failure(method, pattern, Reply(status, headers or {}, body), times))

    def cut_upload(self, after: int, times: int = 1) -> None:
        """Close the connection within an upload's body that has more bytes than these; the upload is forgotten."""
        self.upload_cut = CutFault(after, times)

    def cut_download(self, after: int, times: int = 1) -> None:
        """Close the connection within a blob's answer that has more bytes than these."""
        self.download_cut = CutFault(after, times)

    def corrupt(self, digest: str) -> None:
        """Serve other bytes of the same length for a blob or manifest."""
        self.corrupted.add(digest)


def make_tls(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's side of TLS for 127.0.0.1 and localhost, and the certificate file that a client must trust."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - dt.timedelta(days=1), now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    pem, secret = folder / "certificate.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    return context, pem


def have_debian_registry() -> bool:
    """Whether Debian's docker-registry is installed."""
    return shutil.which("docker-registry") is not None


@contextlib.contextmanager
def debian_registry(folder: Path) -> Iterator[str]:
    """Debian's docker-registry with its storage in a folder; its ``127.0.0.1:PORT``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yml").write_text(
        "version: 0.1\nlog: {level: info}\nhttp: {addr: '127.0.0.1:0'}\n"
        f"storage: {{filesystem: {{rootdirectory: '{folder / 'storage'}'}}, delete: {{enabled: true}}}}\n"
    )
    log = folder / "log"
    with log.open("wb") as stream:
        # It takes every REGISTRY_* variable for its configuration.
        process = subprocess.Popen(
            ("docker-registry", "serve", folder / "config.yml"),
            stdout=stream,
            stderr=stream,
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        )
    try:
        end = time.monotonic() + START
        host = ""
        while not (host and answers(host)):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"docker-registry did not start\n{log.read_text()}")
            time.sleep(0.02)
            said = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())
            host = said[1] if said else ""
        yield host
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(host: str) -> bool:
    with contextlib.closing(http.client.HTTPConnection(host, timeout=5)) as connection:
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status == 200
        except OSError:
            return False
