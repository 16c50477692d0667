"""Asking an API server: GET alone, bounded in size and time, never led elsewhere, with errors that name what the account lacks."""

from __future__ import annotations

import json
import re
import time
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from urllib3.exceptions import HTTPError, InsecureRequestWarning

from canon.argocd.live_connection import Connection
from canon.model.cluster import ENVIRONMENT_LABEL, PIPELINE_LABEL
from canon.model.errors import CanonError, printable

CONNECT, READ = 10.0, 20.0
"""Seconds to connect, and to wait for the next bytes."""
LONGEST = 60.0
"""Seconds that one answer may take."""
LARGEST = 64 << 20
PAGE, PAGES = 250, 40
"""Pods in one answer, and answers."""
TRIES = 3
MAX_WORDS = 300
AGAIN = frozenset({429, 500, 502, 503, 504})
APPLICATIONS = "applications.argoproj.io"
pause = time.sleep


class LiveError(CanonError):
    """Something of the cluster cannot be read; the rest may be."""


class LiveMissingError(LiveError):
    """The API server answers, and does not have it."""


class LiveForbiddenError(LiveError):
    """The account lacks a right."""


class LiveUnreachableError(LiveError):
    """No API server answers, or it takes nobody in: no other question will do better."""


class Cluster:
    """An API server. ``now``: its clock, as of the last answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lost: LiveUnreachableError | None = None
        self.now = datetime.now(UTC)

    def application(self, namespace: str, name: str) -> dict[str, Any]:
        """An Application of Argo CD. Raises LiveError, LiveMissingError."""
        path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/applications/{quote(name, safe='')}"
        try:
            return self._read(path, {}, f"get {APPLICATIONS} in namespace {namespace}")
        except LiveMissingError:
            if self.has_namespace(namespace) is False:
                raise LiveError(
                    f"there is no namespace {namespace}, where Argo CD should be; correct `argocd.namespace` in [tool.canon]"
                ) from None
            raise

    def pods(self, namespace: str, pipeline: str, environment: str) -> list[dict[str, Any]]:
        """The pods of a service. Raises LiveError."""
        query = {
            "labelSelector": f"{PIPELINE_LABEL}={pipeline},{ENVIRONMENT_LABEL}={environment}",
            "limit": str(PAGE),
        }
        found: list[dict[str, Any]] = []
        for _ in range(PAGES):
            answer = self._read(f"/api/v1/namespaces/{namespace}/pods", query, f"list pods in namespace {namespace}")
            items, meta = answer.get("items"), answer.get("metadata")
            found += [each for each in items if isinstance(each, dict)] if isinstance(items, list) else []
            more = meta.get("continue") if isinstance(meta, dict) else None
            if not isinstance(more, str) or not more:
                return found
            query["continue"] = more
        raise LiveError(f"namespace {namespace} has more than {PAGE * PAGES} pods of {pipeline} in {environment}")

    def has_namespace(self, name: str) -> bool | None:
        """Tell whether there is a namespace; None where the account may not know."""
        try:
            self._read(f"/api/v1/namespaces/{name}", {}, f"get namespace {name}")
        except LiveMissingError:
            return False
        except LiveForbiddenError:
            return None
        return True

    def _read(self, path: str, query: Mapping[str, str], right: str) -> dict[str, Any]:
        """An object. ``right``: what an account needs for it. Raises LiveError."""
        if self._lost is not None:
            raise self._lost
        url = f"{self._connection.url}{path}{f'?{urlencode(query)}' if query else ''}"
        try:
            for attempt in range(1, TRIES + 1):
                status, content, kind = self._answer(url)
                if status not in AGAIN or attempt == TRIES:
                    break
                pause(0.5 * 2.0**attempt)
        except LiveUnreachableError as error:
            self._lost = error
            raise
        if status == 200:  # noqa: PLR2004
            return self._object(content)
        raise self._problem(status, content, kind, right)

    def _object(self, content: bytes) -> dict[str, Any]:
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise LiveError(f"{self._connection.host} answers, but not as an API server does (no JSON): is it one?")
        return found

    def _answer(self, url: str) -> tuple[int, bytes, str]:
        """Status, body and type of an answer. Raises LiveUnreachableError."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureRequestWarning)  # it is said once, by the command
            return self._tried(lambda: self._asked(url))

    def _asked(self, url: str) -> tuple[int, bytes, str]:
        end = time.monotonic() + LONGEST
        response = self._connection.pool.request(
            "GET",
            url,
            headers=dict(self._connection.headers),
            timeout=urllib3.Timeout(connect=CONNECT, read=READ),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            content = bytearray()
            for chunk in response.stream(64 * 1024):
                content.extend(chunk)
                if len(content) > LARGEST or time.monotonic() > end:
                    raise LiveUnreachableError(f"{self._connection.host} does not end its answer in time")
            self._look_at_clock(response.headers.get("Date", ""))
            return response.status, bytes(content), response.headers.get("Content-Type", "")
        finally:
            response.close()

    def _look_at_clock(self, text: str) -> None:
        try:
            found = parsedate_to_datetime(text)
        except (ValueError, TypeError):
            return
        self.now = found if found.tzinfo else found.replace(tzinfo=UTC)

    def _tried(self, call: Callable[[], tuple[int, bytes, str]]) -> tuple[int, bytes, str]:
        host, source = self._connection.host, self._connection.source
        try:
            return call()
        except LiveUnreachableError:
            raise
        except urllib3.exceptions.ProxyError:
            raise LiveUnreachableError(
                f"the proxy before {host} does not let through; look at proxy-url and HTTPS_PROXY"
            ) from None
        except urllib3.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise LiveUnreachableError(
                    f"{host} has no certificate that the authorities of {source} vouch for: is it the right cluster?"
                ) from None
            raise LiveUnreachableError(
                f"{host} and {source} do not come together by TLS ({type(error).__name__})"
            ) from None
        except (urllib3.exceptions.NameResolutionError, urllib3.exceptions.LocationParseError):
            raise LiveUnreachableError(f"there is no host {host}; correct the server of {source}") from None
        except (HTTPError, OSError, ValueError) as error:
            slow = isinstance(error, urllib3.exceptions.TimeoutError)
            if slow and not isinstance(
                error, urllib3.exceptions.NewConnectionError
            ):  # which is one, too, when it is refused
                why = "in time"
            else:
                why = f"({'connection refused' if 'refused' in str(error) else type(error).__name__})"
            raise LiveUnreachableError(f"{host} does not answer {why}: does this machine reach the cluster?") from None

    def _problem(self, status: int, content: bytes, kind: str, right: str) -> LiveError:
        host = self._connection.host
        said = self._said(content)
        if status == 401:  # noqa: PLR2004
            self._lost = LiveUnreachableError(
                f"{host} does not take the credentials of {self._connection.source} (401); log in to the cluster anew"
            )
            return self._lost
        if status == 403:  # noqa: PLR2004
            return self._forbidden(said, right)
        if status == 404:  # noqa: PLR2004
            if "json" in kind and said:
                return LiveMissingError(said)
            what = (
                f"knows no {APPLICATIONS}: is Argo CD installed there?" if APPLICATIONS in right else "is no API server"
            )
            return LiveError(f"{host} {what} (404)")
        if status < 400:  # noqa: PLR2004
            return LiveError(f"{host} redirects, which is not followed: the credentials are for no other")
        return LiveError(f"{host} answers {status}{f': {said}' if said else ''}; asked was: {right}")

    def _forbidden(self, said: str, right: str) -> LiveForbiddenError:
        source = self._connection.source
        user = re.search(r'[Uu]ser "([^"]+)"', said)
        if user and user[1] == "system:anonymous":
            return LiveForbiddenError(f"{source} gives no credentials, and without any nobody may {right} (403)")
        who = f"account {user[1]}" if user else f"account of {source}"
        return LiveForbiddenError(f"the {who} may not {right} (403); give it that right")

    def _said(self, content: bytes) -> str:
        """The words of a failure (kind Status of API servers), in one line; what was sent may come back in it."""
        try:
            text = json.loads(content)["message"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return ""
        if not isinstance(text, str):
            return ""
        for secret in self._connection.headers.get("Authorization", "").split()[-1:]:
            text = text.replace(secret, "…")
        plain = " ".join(printable(text).split())
        return plain if len(plain) <= MAX_WORDS else f"{plain[:MAX_WORDS]}…"
