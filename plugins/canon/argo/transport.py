"""Requests to Argo Server: bounded in size and time, never led elsewhere, with errors that say what to do.

Hera's service client makes them by the session that it is given. It takes a redirect for an answer and reads whatever comes: so the session looks
first. Errors have the form of grpc-gateway, `{"code": …, "message": …}`.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, InsecureRequestWarning

from canon.argo.address import TOKEN, Address
from canon.connections import authorities, no_proxies
from canon.model.errors import CanonError, printable

TIMEOUT = (10, 30)
"""Seconds to connect, and to wait for the next bytes."""
LONGEST = 60.0
"""Seconds that one answer may take."""
LARGEST = 64 << 20
"""Bytes of one answer: a workflow of 1,000 nodes has some 2 MB."""
GLANCE, LARGEST_GLANCE = 5.0, 1 << 18
"""The same for what is worth no waiting."""
TRIES = 4
MAX_WORDS = 500
MISSING, OK = 404, 300
AGAIN = frozenset({429, 502, 503, 504})
pause = time.sleep


class ArgoMissingError(CanonError):
    """Argo Server answers, and does not have what was asked for."""


class ArgoUnavailableError(CanonError):
    """Argo Server does not answer, or cannot just now; asking again may help."""


class ArgoSession(requests.Session):
    """A session for one address: what it is asked for anywhere else, it refuses."""

    def __init__(self, address: Address) -> None:
        super().__init__()
        self.address = address
        self.headers["User-Agent"] = "canon"
        self.auth = self._authorized  # else requests would look for another one in ~/.netrc

    def _authorized(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.address.token:
            request.headers["Authorization"] = self.address.token
        return request

    def request(self, method: str | bytes, url: str | bytes, *_: Any, **options: Any) -> requests.Response:  # noqa: ANN401
        """The answer, read to its end; reading is tried again. Raises CanonError, ArgoMissingError, ArgoUnavailableError."""
        verb = str(method).upper()
        tries = TRIES if verb == "GET" else 1
        for attempt in range(1, tries + 1):
            try:
                return self._sent(verb, str(url), {**options, "stream": True})
            except ArgoUnavailableError:
                if attempt == tries:
                    raise
                pause(0.5 * 2.0**attempt)
        raise AssertionError(url)

    def glance(self, url: str, params: dict[str, str]) -> bytes:
        """The beginning of an answer that is a stream, as much as comes within moments. Raises as `request`; nothing is tried again."""
        options = {"params": params, "stream": True, "timeout": GLANCE}
        with self._opened("GET", url, options) as response:
            return self._read(response, LARGEST_GLANCE, GLANCE, partial=True)

    def _sent(self, verb: str, url: str, options: dict[str, Any]) -> requests.Response:
        response = self._opened(verb, url, options)
        with response:
            content = self._read(response, LARGEST, LONGEST)
        try:
            is_object = isinstance(json.loads(content), dict)
        except (ValueError, RecursionError):
            is_object = False
        if not is_object:
            raise CanonError(
                f"{self.address.host} answers, but not as Argo Server does (no JSON): is it the right address, or does a login page stand before it?"
            )
        response._content = content  # noqa: SLF001  there is no public way to say so
        return response

    def _opened(self, verb: str, url: str, options: dict[str, Any]) -> requests.Response:
        """An answer that is a success. Raises CanonError."""
        if not url.startswith(self.address.url):
            raise CanonError(f"{printable(url)[:100]} is no address below {self.address.url}")
        verify = authorities() if self.address.verify else False
        fixed: dict[str, Any] = {"allow_redirects": False, "proxies": no_proxies(url), "verify": verify}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureRequestWarning)  # it is said once, by the command
            response: requests.Response = self._tried(
                lambda: super(ArgoSession, self).request(verb, url, **{"timeout": TIMEOUT, **options, **fixed})
            )
        if response.status_code >= OK:
            with response:
                raise self._problem(verb, response)
        return response

    def _tried(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401  what the call gives
        host = self.address.host
        try:
            return call()
        except requests.exceptions.SSLError as error:
            if "WRONG_VERSION_NUMBER" in str(error) or "record layer failure" in str(error).lower():
                raise CanonError(
                    f"{host} does not speak TLS; say http://{host}, or ARGO_SECURE=false, if that is meant"
                ) from None
            raise CanonError(
                f"{host} has no certificate that is trusted here ({self._words(str(error))}); REQUESTS_CA_BUNDLE names a file of authorities"
            ) from None
        except requests.exceptions.Timeout:
            raise ArgoUnavailableError(f"{host} does not answer in time") from None
        except (requests.exceptions.RequestException, HTTPError, OSError) as error:
            text = str(error)
            if "Name or service not known" in text or "NameResolution" in text or "Temporary failure in name" in text:
                raise CanonError(f"there is no host {host}; correct the address of Argo Server") from None
            if "refused" in text:
                raise ArgoUnavailableError(
                    f"{host} does not answer (connection refused): is it the right host and port?"
                ) from None
            raise ArgoUnavailableError(f"{host} cut the connection ({type(error).__name__})") from None
        except ValueError:  # requests looks where it would be redirected to
            raise CanonError(f"{host} redirects to another address, which is none") from None

    def _read(self, response: requests.Response, limit: int, seconds: float, *, partial: bool = False) -> bytes:
        """The body. With ``partial`` what came within the limits is enough."""
        end = time.monotonic() + seconds
        content = bytearray()

        def read() -> None:
            for chunk in response.iter_content(64 * 1024 if not partial else None):
                content.extend(chunk)
                if len(content) > limit or time.monotonic() > end:
                    if partial:
                        return
                    what = "in time" if len(content) <= limit else f"within {limit >> 20} MiB"
                    raise ArgoUnavailableError(f"{self.address.host} does not end its answer {what}")

        try:
            self._tried(read)
        except ArgoUnavailableError:
            if not partial:
                raise
        return bytes(content)

    def _redirected(self, response: requests.Response) -> CanonError:
        try:
            target = urlsplit(response.headers.get("Location", ""))
            where = self._words(f"{target.scheme}://{target.netloc}" if target.netloc else target.path)
        except ValueError:
            where = ""
        return CanonError(
            f"{self.address.host} redirects to {where or 'another address'}, which is not followed: the token is for no other; give that address if"
            " it is Argo Server's"
        )

    def _problem(self, verb: str, response: requests.Response) -> CanonError:
        status, host = response.status_code, self.address.host
        if status < 400:  # noqa: PLR2004
            return self._redirected(response)
        said = self._said(response)
        if status == MISSING:
            return self._missing(verb, said)
        if status == 401:  # noqa: PLR2004
            who = f"the token in {TOKEN}" if self.address.token else "requests without a token"
            return CanonError(f"{host} does not take {who} (401{said}); set {TOKEN} to what `argo auth token` prints")
        if status == 403:  # noqa: PLR2004
            right = "read" if verb == "GET" else "create"
            return CanonError(
                f"{host} does not allow it (403{said}); ask for the right to {right} workflows and their templates there"
            )
        if status in AGAIN or (status == 500 and verb == "GET"):  # noqa: PLR2004
            return ArgoUnavailableError(f"{host} answers {status}{said}")
        return CanonError(f"{host} refuses it ({status}{said})")

    def _missing(self, verb: str, said: str) -> CanonError:
        host = self.address.host
        if said:
            return ArgoMissingError(f"{host} does not have it (404{said})")
        # Not Argo Server's own words: there is another server, or none behind a proxy.
        kind = ArgoUnavailableError if verb == "GET" else CanonError
        return kind(f"{host} knows no such path (404): is {self.address.url} the address of Argo Server?")

    def _said(self, response: requests.Response) -> str:
        """What the server says of a failure, in its own words, shortened; a page of HTML says nothing."""
        try:
            found = json.loads(self._read(response, LARGEST_GLANCE, GLANCE, partial=True))
            text = found.get("message") or found.get("error") or ""
        except (ValueError, AttributeError, RecursionError):
            return ""
        return f": {self._words(text)}" if isinstance(text, str) and text else ""

    def _words(self, text: str) -> str:
        """A text of somebody else's for a terminal, in one line; what was sent may come back in it."""
        for secret in (self.address.token or "").split()[-1:]:
            text = text.replace(secret, "…")
        plain = printable(text).replace("\n", " ")
        return plain if len(plain) <= MAX_WORDS else f"{plain[:MAX_WORDS]}…"
