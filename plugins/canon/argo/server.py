"""Argo Server's workflows, by Hera's service client; logs by its session, because Hera's answer for a stream is one line of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from canon.argo.address import Address
from canon.argo.status import Snapshot, snapshot_from_status
from canon.argo.transport import ArgoMissingError, ArgoSession, ArgoUnavailableError
from canon.model.errors import CanonError, printable

FIELDS = "metadata.name,metadata.uid,status.phase,status.message,status.progress,status.startedAt,status.finishedAt,status.nodes"
"""What of a workflow is asked for while it is watched: its spec may have a MiB."""

OWN_LINES = 10
_OWN_LINE = re.compile(r'^time=\S+ level=[A-Z]+ .*\bargo=true\b|^\{.*"argo": ?true')
"""What Argo's executor says in a container's log, of itself."""


@dataclass(frozen=True, slots=True)
class Created:
    """A workflow that has been submitted. ``link``: its page in Argo's user interface."""

    name: str
    uid: str
    namespace: str
    link: str


@dataclass(frozen=True, slots=True)
class _Request:
    """A request's body as Hera's client asks for it: our own bytes. Its models would leave out what they do not know."""

    text: str

    def json(self, **_: object) -> str:
        return self.text


class ArgoServer:
    """One Argo Server. All calls raise CanonError: ArgoUnavailableError where asking again may help, ArgoMissingError for what is not there."""

    def __init__(self, address: Address) -> None:
        from hera.workflows import WorkflowsService

        self.address = address
        self._session = ArgoSession(address)
        # The token is the session's business: Hera would send what it finds in its global configuration.
        self._service = WorkflowsService(host=address.url, token=address.token, session=self._session)

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def template(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The manifest of a WorkflowTemplate; None where the namespace has none of that name."""
        try:
            found: dict[str, Any] = self._service.get_workflow_template(name, namespace=namespace).model_dump(
                by_alias=True, exclude_none=True, mode="json"
            )
        except ArgoMissingError:
            return None
        except ValueError as error:  # pydantic's
            raise CanonError(
                f"{self.address.host}: the WorkflowTemplate {name} cannot be read ({type(error).__name__})"
            ) from None
        return found

    def create(self, namespace: str, manifest: Mapping[str, Any]) -> Created:
        """Submit a workflow; never twice."""
        body = json.dumps({"namespace": namespace, "workflow": manifest})
        try:
            created = self._service.create_workflow(_Request(body), namespace=namespace)
        except ArgoUnavailableError as error:
            raise CanonError(
                f"{error}; the workflow may have started all the same: look with `argo list -n {namespace}` before you submit it again"
            ) from None
        except ValueError:  # pydantic's
            created = None
        name = getattr(getattr(created, "metadata", None), "name", None)
        uid = getattr(getattr(created, "metadata", None), "uid", None)
        if not _is_name(name) or not _is_name(uid):
            raise CanonError(
                f"{self.address.host} took the workflow, and does not say under which name; `argo list -n {namespace}` shows it"
            )
        return Created(name, uid, namespace, self.link(namespace, name))

    def link(self, namespace: str, name: str) -> str:
        """The page of a workflow in Argo's user interface."""
        return f"{self.address.url}workflows/{namespace}/{name}"

    def snapshot(self, namespace: str, name: str, uid: str) -> Snapshot:
        """How a workflow stands."""
        try:
            found = self._service.get_workflow(name, namespace=namespace, uid=uid, fields=FIELDS)
        except ValueError as error:
            raise ArgoUnavailableError(
                f"{self.address.host} answers with something else than a workflow ({type(error).__name__})"
            ) from None
        if found.metadata.uid not in {None, uid}:
            raise ArgoMissingError(f"{name} is another workflow by now")
        status = found.status.model_dump(by_alias=True, exclude_none=True, mode="json") if found.status else {}
        return snapshot_from_status(name, status)

    def tail(self, namespace: str, name: str, pod: str, container: str, lines: int) -> tuple[str, ...]:
        """The last lines that a container of a pod has printed, printable; none where they cannot be had."""
        url = f"{self.address.url}api/v1/workflows/{namespace}/{name}/log"
        asked = {"podName": pod, "logOptions.container": container, "logOptions.tailLines": str(lines + OWN_LINES)}
        try:
            content = self._session.glance(url, asked)
        except CanonError:
            return ()
        found: list[str] = []
        for line in content.decode(errors="replace").splitlines():
            try:
                text = json.loads(line)["result"]["content"]
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            if isinstance(text, str) and text.strip() and not _OWN_LINE.search(text):
                # a progress bar writes over its line: what stands there last
                found.append(printable(text.rstrip("\r\n").rpartition("\r")[2]).replace("\t", "    "))
        return tuple(found[-lines:])


def _is_name(text: object) -> TypeGuard[str]:
    return isinstance(text, str) and re.fullmatch("[A-Za-z0-9][A-Za-z0-9.-]{0,252}", text) is not None
