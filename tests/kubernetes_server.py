"""A Kubernetes API server for tests: GET of namespaces, pods and Argo CD's Applications, with TLS, tokens, rights by verb, resource and namespace, and
the Status objects of its refusals. Who is asking is known first, then what they may, then whether it is there.

Faults come first: they are given one by one, to the requests that a pattern is for.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.registry import make_tls

TOKEN = "kubernetes-token-of-the-tests"
USER = "system:serviceaccount:ci:canon"
RIGHTS = ("get applications.argoproj.io", "list pods", "get namespaces")
Object = dict[str, Any]
Reply = tuple[int, str, bytes]


def status(code: int, reason: str, message: str, **details: str) -> Reply:
    """A refusal as an API server says it."""
    body = {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": details, "code": code,
    }  # fmt: skip
    return code, "application/json", json.dumps(body).encode()


def nowhere() -> Reply:
    """What it says of a path that no API has, such as that of a kind without its CustomResourceDefinition."""
    return 404, "text/plain; charset=utf-8", b"404 page not found\n"


@dataclass
class KubernetesServer:
    """``rights``: `VERB RESOURCE`, with ` NAMESPACE` in that one alone. ``faults``: a pattern of paths and a reply, a number of seconds for one that
    hangs, None for a connection that is cut. ``has_argocd``: whether there are Applications at all.
    """

    folder: Path
    namespaces: set[str] = field(default_factory=lambda: {"argocd", "toy-staging", "toy"})
    applications: dict[tuple[str, str], Object] = field(default_factory=dict)
    pods: dict[str, list[Object]] = field(default_factory=dict)
    rights: Sequence[str] = RIGHTS
    has_argocd: bool = True
    has_tls: bool = True
    clock: datetime | None = None
    page: int = 250
    faults: list[tuple[str, Reply | float | None]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    authority: Path | None = None
    ends: threading.Event = field(default_factory=threading.Event)
    _server: Any = None

    def __enter__(self) -> Self:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base's name
                """The requests are the log."""

            def date_time_string(self, timestamp: float | None = None) -> str:
                del timestamp
                return format_datetime(owner.clock or datetime.now(UTC), usegmt=True)

            def do_GET(self) -> None:
                owner.requests.append(self.path)
                owner.tokens.append(self.headers.get("Authorization", ""))
                for index, (pattern, fault) in enumerate(owner.faults):
                    if re.search(pattern, self.path):
                        del owner.faults[index]
                        if isinstance(fault, tuple):
                            self.answer(*fault)
                            return
                        owner.ends.wait(fault or 0)
                        self.close_connection = True
                        return
                self.answer(*owner.reply(self.path, self.headers.get("Authorization", "")))

            def answer(self, code: int, kind: str, body: bytes) -> None:
                with contextlib.suppress(OSError):
                    self.send_response(code)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(body)))
                    if 300 <= code < 400:
                        self.send_header("Location", "https://evil.example.com/")
                    self.end_headers()
                    self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # a client that hangs up
        if self.has_tls:
            context, self.authority = make_tls(self.folder)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ends.set()
        self._server.shutdown()
        self._server.server_close()

    def forget(self) -> None:
        """Be as it was at first."""
        new = KubernetesServer(self.folder)
        self.namespaces, self.applications, self.pods, self.rights = (
            new.namespaces,
            new.applications,
            new.pods,
            new.rights,
        )
        self.has_argocd, self.clock, self.page = new.has_argocd, new.clock, new.page
        self.faults, self.requests, self.tokens = new.faults, new.requests, new.tokens

    @property
    def url(self) -> str:
        return f"http{'s' if self.has_tls else ''}://127.0.0.1:{self._server.server_address[1]}"

    def kubeconfig(
        self, user: Mapping[str, Any] | None = None, cluster: Mapping[str, Any] | None = None, name: str = "kubeconfig"
    ) -> Path:
        """A kubeconfig for it, with the token or another way to be known; ``cluster`` adds to what it says of the server."""
        file = self.folder / name
        trusted = {"certificate-authority": str(self.authority)} if self.authority else {}
        its = {"server": self.url, **trusted, **(cluster or {})}
        content = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {key: value for key, value in its.items() if value is not None}}],
            "users": [{"name": "me", "user": {"token": TOKEN} if user is None else dict(user)}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "me"}}],
        }  # fmt: skip
        file.write_text(yaml.safe_dump(content))
        return file

    def reply(self, target: str, authorization: str) -> Reply:
        parts = urlsplit(target)
        query = {key: values[-1] for key, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
        kind, _, token = authorization.partition(" ")
        if not authorization:
            return status(403, "Forbidden", f'{parts.path} is forbidden: User "system:anonymous" cannot get it')
        if (kind.lower(), token) != ("bearer", TOKEN):
            return status(401, "Unauthorized", "Unauthorized")
        match parts.path.split("/"):
            case ["", "apis", "argoproj.io", "v1alpha1", "namespaces", namespace, "applications", name]:
                return self._refused("get", "applications.argoproj.io", namespace, name) or self._application(
                    namespace, name
                )
            case ["", "api", "v1", "namespaces", namespace, "pods"]:
                return self._refused("list", "pods", namespace) or self._pods(namespace, query)
            case ["", "api", "v1", "namespaces", name]:
                return self._refused("get", "namespaces", name, name) or self._namespace(name)
        return nowhere()

    def _refused(self, verb: str, resource: str, namespace: str, name: str = "") -> Reply | None:
        if {f"{verb} {resource}", f"{verb} {resource} {namespace}"} & set(self.rights):
            return None
        kind, _, group = resource.partition(".")
        quoted = f' "{name}"' if name else ""
        message = f'{resource}{quoted} is forbidden: User "{USER}" cannot {verb} resource "{kind}" in API group "{group}" in the namespace "{namespace}"'
        return status(403, "Forbidden", message, name=name, kind=kind, group=group)

    def _application(self, namespace: str, name: str) -> Reply:
        if not self.has_argocd:
            return nowhere()
        found = self.applications.get((namespace, name))
        if found is None:
            message = f'applications.argoproj.io "{name}" not found'
            return status(404, "NotFound", message, name=name, group="argoproj.io", kind="applications")
        return _json(found)

    def _namespace(self, name: str) -> Reply:
        if name not in self.namespaces:
            return status(404, "NotFound", f'namespaces "{name}" not found', name=name, kind="namespaces")
        return _json({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def _pods(self, namespace: str, query: Mapping[str, str]) -> Reply:
        """The pods of a namespace that a selector of equal labels takes; none, and no error, of a namespace that is not there."""
        wanted = dict(each.split("=", 1) for each in query["labelSelector"].split(","))
        found = [each for each in self.pods.get(namespace, []) if wanted.items() <= each["metadata"]["labels"].items()]
        begin, size = int(query.get("continue", "0")), min(self.page, int(query["limit"]))
        meta: Object = {"resourceVersion": "1"}
        if begin + size < len(found):
            meta |= {"continue": str(begin + size), "remainingItemCount": len(found) - begin - size}
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": meta, "items": found[begin : begin + size]})


def _json(found: Object) -> Reply:
    return 200, "application/json", json.dumps(found).encode()
