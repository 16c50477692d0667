"""What a registry for tests keeps: repositories, uploads, tokens, records of the requests, and the faults that it will make."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Manifest(NamedTuple):
    media_type: str
    content: bytes


@dataclass
class Repository:
    blobs: dict[str, bytes] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    """Digest → size of the blobs whose bytes were not kept."""
    manifests: dict[str, Manifest] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def size(self, digest: str) -> int | None:
        """The size of a blob, None where there is none."""
        return len(self.blobs[digest]) if digest in self.blobs else self.dropped.get(digest)


@dataclass
class Record:
    """A request as it was answered; ``status`` is 0 when the connection was cut, the sizes are those of the bodies."""

    method: str
    path: str
    authorization: str
    status: int = 0
    received: int = 0
    sent: int = 0


@dataclass
class Failure:
    method: str
    pattern: str
    reply: Reply
    times: int


@dataclass
class CutFault:
    after: int
    times: int

    def due(self, size: int) -> bool:
        return self.times > 0 and size > self.after


@dataclass
class Upload:
    name: str
    hash: Any = field(default_factory=hashlib.sha256)
    size: int = 0
    content: bytearray | None = field(default_factory=bytearray)


@dataclass
class Token:
    scopes: Mapping[str, frozenset[str]]
    uses: int | None


@dataclass
class State:
    """All that a registry holds, and the faults that it will make."""

    referrers: bool = True
    auth: str | None = None
    user: str = "user"
    password: str = "password"
    keep: bool = True
    anonymous: bool = True
    """Whether a token for pulling is given to anybody."""
    token_uses: int | None = None
    """A token ends after so many requests."""
    realm: str | None = None
    location: str | None = None
    """Where uploads go, ``http://other:PORT``; the path is kept."""
    relative: bool = False
    """Locations name no host."""
    redirect_blobs: str | None = None
    ignore_range: bool = False
    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[Record] = field(default_factory=list)
    uploads: dict[str, Upload] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    corrupted: set[str] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)
    upload_cut: CutFault = field(default_factory=lambda: CutFault(0, 0))
    download_cut: CutFault = field(default_factory=lambda: CutFault(0, 0))
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    """Close the connection after so many bytes of the body."""


class Refused(Exception):  # noqa: N818  an answer, not an error of ours
    def __init__(self, status: int, code: str, message: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        body = json.dumps({"errors": [{"code": code, "message": message or code.lower(), "detail": None}]}).encode()
        self.reply = Reply(status, {"Content-Type": "application/json", **(headers or {})}, body)


class CutConnection(Exception):  # noqa: N818  as above
    """The connection ends here."""
