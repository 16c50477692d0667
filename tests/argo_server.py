"""An Argo Server for tests: its HTTP paths as grpc-gateway has them, strict about paths, queries, bodies and the token.

What a workflow does is a list of statuses, one an answer, or what the pod harness behind it does. Faults come first: they are given one by one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.harness.fields import check_fields
from tests.harness.harness import Harness, Submitted

TOKEN = "v2-of-the-tests"
REFERENCE_MODE = "workflows must use workflowTemplateRef to be executed when the controller is in reference mode"
QUERIES = {
    "template": {"getOptions.resourceVersion"},
    "create": set[str](),
    "get": {"getOptions.resourceVersion", "fields", "uid"},
    "log": {"podName", "logOptions.container", "logOptions.tailLines"},
}
Reply = tuple[int, Mapping[str, str], bytes]


def error(status: int, message: str, code: int = 2) -> Reply:
    """An error as grpc-gateway says it."""
    return status, {"Content-Type": "application/json"}, json.dumps({"code": code, "message": message}).encode()


def page(status: int, text: str = "<html><body>log in</body></html>", **headers: str) -> Reply:
    """What a proxy answers."""
    return status, {"Content-Type": "text/html", **headers}, text.encode()


@dataclass
class Running:
    """A workflow that was submitted."""

    manifest: dict[str, Any]
    statuses: list[dict[str, Any]] = field(default_factory=list)
    submitted: Submitted | None = None
    asked: int = 0


@dataclass
class ArgoServer:
    """``templates``: those of the namespace by name; ``statuses``: what a workflow that is submitted does; ``faults``: replies that come first,
    None for a connection that is cut, a number of seconds for one that hangs; ``logs``: pod → what its container `main` has printed, or `POD/CONTAINER`.
    """

    namespace: str = "ml"
    templates: dict[str, Any] = field(default_factory=dict)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    harness: Harness | None = None
    strict: bool = False
    faults: list[Reply | float | None] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    token: str | None = TOKEN
    workflows: dict[str, Running] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    ends: threading.Event = field(default_factory=threading.Event)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _server: Any = None

    def __enter__(self) -> Self:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base's name
                """The requests are the log."""

            def serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                owner.requests.append((self.command, self.path, self.headers.get("Authorization", "")))
                if owner.faults:
                    fault = owner.faults.pop(0)
                    if fault is None or isinstance(fault, float):
                        owner.ends.wait(fault or 0)
                        self.close_connection = True
                        return
                    self.answer(*fault)
                    return
                self.answer(*owner.reply(self.command, self.path, self.headers.get("Authorization"), body))

            do_GET = do_POST = do_PUT = do_DELETE = serve  # noqa: N815  the base's names

            def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
                with contextlib.suppress(ConnectionError):
                    self.send_response(status)
                    for name, value in {**headers, "Content-Length": str(len(body))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # a client that hangs up
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ends.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def reply(self, method: str, target: str, authorization: str | None, body: bytes) -> Reply:
        parts = urlsplit(target)
        query = parse_qs(parts.query, strict_parsing=bool(parts.query))
        if self.token is not None and authorization != f"Bearer {self.token}":
            return error(401, "token not valid. see https://argo-workflows.readthedocs.io/en/latest/faq/", 16)
        found: Callable[[], Reply]
        match (method, *parts.path.split("/")):
            case ("GET", "", "api", "v1", "workflow-templates", namespace, name):
                what, found = "template", partial(self._template, namespace, name)
            case ("POST", "", "api", "v1", "workflows", namespace):
                what, found = "create", partial(self._create, namespace, body)
            case ("GET", "", "api", "v1", "workflows", namespace, name):
                what, found = "get", partial(self._get, namespace, name, query)
            case ("GET", "", "api", "v1", "workflows", namespace, name, "log"):
                what, found = "log", partial(self._log, namespace, name, query)
            case _:
                return page(404, "404 page not found\n")
        if set(query) - QUERIES[what]:
            return error(400, f"unknown query {sorted(set(query) - QUERIES[what])}", 3)
        return found()

    def _template(self, namespace: str, name: str) -> Reply:
        if namespace != self.namespace:
            return error(403, f'workflowtemplates.argoproj.io is forbidden in the namespace "{namespace}"', 7)
        if name not in self.templates:
            return error(404, f'workflowtemplates.argoproj.io "{name}" not found', 5)
        return _json(self.templates[name])

    def _create(self, namespace: str, body: bytes) -> Reply:
        try:
            manifest = _manifest(json.loads(body), namespace)
            if (
                "templates" not in manifest["spec"]
                and manifest["spec"]["workflowTemplateRef"]["name"] not in self.templates
            ):
                return error(404, "workflowtemplates.argoproj.io not found", 5)
        except (ValueError, KeyError, TypeError) as refused:
            return error(400, f"bad request: {refused!r}", 3)
        if namespace != self.namespace:
            return error(403, f'workflows.argoproj.io is forbidden in the namespace "{namespace}"', 7)
        metadata = manifest["metadata"]
        name = metadata.get("name") or f"{metadata['generateName']}{next(self._numbers):05}"
        if name in self.workflows:
            return error(409, f'workflows.argoproj.io "{name}" already exists', 6)
        running = Running(manifest, list(self.statuses))
        metadata |= {"name": name, "uid": f"uid-{name}", "creationTimestamp": _time(datetime.now(UTC).timestamp())}
        if self.strict and "templates" in manifest["spec"]:
            running.statuses = [
                {"phase": "Error", "message": REFERENCE_MODE, "finishedAt": metadata["creationTimestamp"]}
            ]
        elif self.harness is not None:
            ours = {
                key: value for key, value in metadata.items() if key not in {"uid", "creationTimestamp", "generateName"}
            }
            running.submitted = self.harness.submit({**manifest, "metadata": ours})
        self.workflows[name] = running
        return _json(
            {"metadata": metadata, "spec": manifest["spec"], "status": {"startedAt": None, "finishedAt": None}}
        )

    def _get(self, namespace: str, name: str, query: Mapping[str, list[str]]) -> Reply:
        running = self.workflows.get(name)
        uid = query.get("uid", [f"uid-{name}"])[0]
        if running is None or namespace != self.namespace or uid != f"uid-{name}":
            return error(404, f'workflows.argoproj.io "{name}" not found', 5)
        running.asked += 1
        if running.submitted is not None:
            status = status_of(running.submitted)
        else:
            status = running.statuses.pop(0) if len(running.statuses) > 1 else (running.statuses or [{}])[0]
        whole = {"metadata": running.manifest["metadata"], "spec": running.manifest["spec"], "status": status}
        wanted = query.get("fields", [""])[0]
        if wanted:  # what the server leaves of a workflow: an empty spec all the same (util/fields)
            whole["metadata"] = {key: whole["metadata"][key] for key in ("name", "uid")}
            whole["metadata"]["creationTimestamp"] = None
            whole["spec"] = {"arguments": {}}
        return _json(whole)

    def _log(self, namespace: str, name: str, query: Mapping[str, list[str]]) -> Reply:
        running = self.workflows.get(name)
        if running is None or namespace != self.namespace:
            return error(404, f'workflows.argoproj.io "{name}" not found', 5)
        pod = query["podName"][0]
        container = query["logOptions.container"][0]
        text = self.logs.get(pod if container == "main" else f"{pod}/{container}", "")
        if running.submitted is not None:
            report = running.submitted.report()
            paths = {
                pod_name(name, node.name, node.template): node.name.removeprefix(f"{name}.") for node in report.nodes
            }
            text = report.log(paths[pod], container) if pod in paths else ""
        lines = text.removesuffix("\n").split("\n")[-int(query["logOptions.tailLines"][0]) :]
        entries = [json.dumps({"result": {"content": line, "podName": pod}}) + "\n" for line in lines]
        return 200, {"Content-Type": "application/json"}, "".join(entries).encode()


def _manifest(request: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The workflow of a request. Raises ValueError, KeyError, TypeError."""
    manifest: dict[str, Any] = request["workflow"]
    check_fields(manifest)
    if set(request) != {"namespace", "workflow"} or request["namespace"] != namespace:
        raise ValueError(sorted(request))
    if manifest["kind"] != "Workflow" or manifest["metadata"]["namespace"] != namespace:
        raise ValueError(manifest["kind"])
    return manifest


def status_of(submitted: Submitted) -> dict[str, Any]:
    """The status of a workflow of the harness, as the controller writes it."""
    report = submitted.report()
    nodes = {}
    for node in report.nodes:
        found: dict[str, Any] = {
            "id": f"id-{pod_name(report.name, node.name, node.template)}", "name": node.name, "displayName": node.name.rpartition(".")[2],
            "type": node.kind, "templateName": node.template, "phase": node.phase, "message": node.message, "startedAt": _time(node.start),
            "finishedAt": _time(node.end) if node.end else None, "progress": node.progress or ("0/1" if node.phase == "Running" else "1/1"),
        }  # fmt: skip
        if node.exit_code is not None:
            found["outputs"] = {"exitCode": str(node.exit_code)}
        nodes[found["id"]] = found
    return {"phase": report.phase, "message": report.message, "nodes": nodes, "startedAt": None, "finishedAt": None}


def pod_name(workflow: str, node: str, template: str) -> str:
    """The name of a pod; FNV-1a."""
    value = 2166136261
    for byte in node.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return workflow if node == workflow else f"{workflow}-{template}-{value}"


def _json(value: object) -> Reply:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
