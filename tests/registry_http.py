"""The connections of a registry for tests: bodies by length or chunked, records, and the faults of a connection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.registry_state import CutConnection, Record, Refused, Reply, State

PIECE = 1 << 16


class Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state: State  # of the class that a registry makes for itself
    record: Record
    body: Iterator[bytes]
    query: dict[str, list[str]]

    def answer(self, path: str) -> Reply:
        raise NotImplementedError

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base's name
        """The records are the log."""

    def serve(self) -> None:
        self.record = Record(self.command, self.path, self.headers.get("Authorization", ""))
        self.state.requests.append(self.record)
        self.body = self.read_body()
        self.query = parse_qs(urlsplit(self.path).query)
        try:
            try:
                reply = self.failure() or self.answer(urlsplit(self.path).path)
            except Refused as refused:
                reply = refused.reply
            for _ in self.body:
                pass  # the next request begins after it
            self.send(reply)
        except (CutConnection, ConnectionError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve  # noqa: N815  the base's names

    def read_body(self) -> Iterator[bytes]:
        """The request's body in pieces, by length or chunked."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                yield from self.read_exactly(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            yield from self.read_exactly(int(self.headers.get("Content-Length", 0)))

    def read_exactly(self, size: int) -> Iterator[bytes]:
        uploads = "/blobs/uploads/" in self.path
        while size:
            cut = self.state.upload_cut
            with self.state.lock:
                limit = cut.after - self.record.received if uploads and cut.times > 0 else size
                if limit <= 0:
                    cut.times -= 1
                    raise CutConnection
            piece = self.rfile.read(min(size, limit, PIECE))
            if not piece:
                raise CutConnection
            self.record.received += len(piece)
            size -= len(piece)
            yield piece

    def send(self, reply: Reply) -> None:
        self.record.status = reply.status
        self.send_response(reply.status)
        headers = {"Docker-Distribution-API-Version": "registry/2.0", **reply.headers}
        if reply.status != 204:
            headers.setdefault("Content-Length", str(len(reply.body)))
        for name, value in headers.items():
            self.send_header(name, value)
        if self.command == "HEAD":
            self.end_headers()
            return
        body = reply.body if reply.cut is None else reply.body[: reply.cut]
        self.record.sent = len(body)
        self.end_headers()
        self.wfile.write(body)
        if reply.cut is not None:
            raise CutConnection

    def failure(self) -> Reply | None:
        with self.state.lock:
            for failure in self.state.failures:
                if (
                    failure.times > 0
                    and failure.method in {"*", self.command}
                    and re.search(failure.pattern, self.path)
                ):
                    failure.times -= 1
                    return failure.reply
        return None

    def asked(self, name: str) -> str:
        return self.query.get(name, [""])[0]
