"""Requests to a registry (OCI distribution specification 1.1), by `requests`.

Retries with Retry-After; credentials that go to the registry and to its token service alone, by TLS or on loopback; redirects
without them; errors that say what the registry said; limits on what is read. python-dxf was tried: two of its calls were left when these
were put into it, and it needs a package that has no wheel, so that no tools image could be made of wheels alone.
"""

from __future__ import annotations

import email.utils
import ipaddress
import json
import re
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests

from canon.connections import authorities, is_loopback, no_proxies
from canon.image.login import MAX_TOKEN, TIMEOUT, Login, anonymous, read_all
from canon.model.errors import CanonError, ImageMissingError, printable

TRIES = 5
"""How often a request is sent before its failure is the answer."""
LONGEST_PAUSE = 60.0
"""Seconds that a registry may ask for between two tries; one that asks for more is not waited for."""
MAX_WORDS = 300
"""Characters of what a registry says that are passed on."""
MAX_REDIRECTS = 5
PLAIN = {"Accept-Encoding": "identity"}
"""Bytes as they are stored: what they are is told by their hash."""
HUB, HUB_API = "docker.io", "registry-1.docker.io"
OK, NO_TLS, MISSING, DENIED, UNAUTHORIZED, BUSY, BROKEN = 400, 400, 404, 403, 401, 429, 500
UNKNOWN_HOST = "is no host that is known here: is the name right?"
pause = time.sleep
"""Waits between two tries; tests do not wait."""


class InterruptedUploadError(CanonError):
    """What was being sent did not arrive; it can be sent again, from the beginning. ``wish``: the registry's Retry-After."""

    wish: str | None = None


class Wire:
    """A repository of a registry."""

    def __init__(self, host: str, repository: str, *, plain_http: bool = False) -> None:
        self.plain = plain_http or is_loopback(host)
        self._may_be_tls = self.plain and not plain_http
        self.named, self.repository = host, repository
        address = HUB_API if host == HUB else host
        self._base = f"{'http' if self.plain else 'https'}://{address}/v2/{repository}/"
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "canon"
        weakref.finalize(self, self._session.close)  # its connections do not wait for the garbage collector
        self.login = Login(host, repository, urlsplit(self._base).hostname or "", self._session, plain=self.plain)

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request: a path in the repository, or a URL that the registry named.

        Raises CanonError for what is no success, ImageMissingError for what is not there, InterruptedUploadError for a body that is
        to be sent again.
        """
        self._find_scheme()
        try:
            url = self._own(urljoin(self._base, path))
        except ValueError as error:
            raise CanonError(f"{self.named} names an address that is none ({error})") from None
        body = options.get("data")
        again = body is None or isinstance(body, str | bytes)
        asked = False
        for attempt in range(1, TRIES + 1):
            response, what = self._sent(method, url, options)
            if response is None:
                self._give_up_or_wait(attempt, again, what, None)
                continue
            if response.status_code < OK:
                return response if options.get("stream") else self._read(response)
            response_words = _said(response)
            response.close()
            if response.status_code == UNAUTHORIZED and not asked:
                asked = True
                self.login.answer(response.headers.get("WWW-Authenticate", ""))
                if again:
                    continue
                raise InterruptedUploadError(f"{self.named} wants a new token")
            if response.status_code == BUSY or response.status_code >= BROKEN:
                what = f"answers {response.status_code}{response_words}"
                self._give_up_or_wait(attempt, again, what, response.headers.get("Retry-After"))
                continue
            raise self._problem(response.status_code, response_words, url)
        raise AssertionError(path)

    def _sent(self, method: str, url: str, options: Mapping[str, Any]) -> tuple[requests.Response | None, str]:
        """The answer to a request, or what stood in its way and may not next time. Raises CanonError for what will."""
        try:
            return self._follow(method, url, options), ""
        except requests.exceptions.SSLError as error:
            raise CanonError(f"{self.named} has no certificate that is trusted here ({_words(str(error))})") from None
        except (requests.exceptions.RequestException, OSError) as error:
            if isinstance(error, requests.exceptions.InvalidURL):
                raise CanonError(f"{self.named} names an address that is none ({_words(str(error))})") from None
            what = self._what(error)
            if what == UNKNOWN_HOST:
                raise CanonError(f"{self.named} {what}") from None
            return None, what
        except ValueError as error:  # of the standard library: requests looks where it would be redirected to
            raise CanonError(f"{self.named} names an address that is none ({_words(str(error))})") from None

    def _read(self, response: requests.Response) -> requests.Response:
        """Take what is left of an answer of which the headers are wanted, so that the connection can be used again."""
        try:
            read_all(response, MAX_TOKEN)
        except (ValueError, OSError, requests.exceptions.RequestException):
            response.close()
        return response

    def _find_scheme(self) -> None:
        """On loopback a registry may speak TLS all the same: it is asked once, without a name or a password."""
        if not self._may_be_tls:
            return
        self._may_be_tls = False
        root = urljoin(self._base, "/v2/")
        options: dict[str, Any] = {
            "auth": anonymous,
            "timeout": TIMEOUT,
            "allow_redirects": False,
            "proxies": no_proxies(root),
        }
        try:
            refused = self._session.get(root, **options).status_code == NO_TLS
        except requests.exceptions.RequestException as error:
            refused = "refused" not in str(error)
        if refused:
            try:
                self._session.get(root.replace("http://", "https://", 1), verify=authorities(), **options)
            except requests.exceptions.SSLError:
                pass  # it is TLS, and the request that follows says what is wrong with it
            except requests.exceptions.RequestException:
                return
            self._base, self.plain = self._base.replace("http://", "https://", 1), False

    def _follow(self, method: str, url: str, options: Mapping[str, Any]) -> requests.Response:
        """Send a request, and what it is redirected to; another host gets no credentials of this one."""
        place = url
        for _ in range(MAX_REDIRECTS):
            ours = urlsplit(place).netloc == urlsplit(url).netloc
            response = self._session.request(
                method.upper(),
                place,
                **{**options, "stream": True},  # nothing is read that nobody bounds, of a redirect neither
                auth=self.login.authorize if ours else anonymous,
                allow_redirects=False,
                timeout=TIMEOUT,
                verify=authorities(),
                proxies=no_proxies(place),
            )
            target = response.headers.get("Location")
            if (
                response.status_code not in {301, 302, 303, 307, 308}
                or not target
                or method.lower() not in {"get", "head"}
            ):
                return response
            response.close()
            try:
                place = urljoin(place, target)
                self._check_redirect(place)
            except ValueError as error:
                raise CanonError(f"{self.named} redirects to an address that is none ({error})") from None
        raise CanonError(f"{self.named} redirects in a circle")

    def _check_redirect(self, place: str) -> None:
        parts = urlsplit(place)
        if parts.scheme != "https" and not (parts.scheme == "http" and self.plain):
            raise CanonError(
                f"{self.named} redirects to {parts.scheme}://{parts.hostname}, without TLS; it is not followed"
            )
        try:
            inside = ipaddress.ip_address(parts.hostname or "").is_link_local
        except ValueError:
            inside = False
        if inside:
            raise CanonError(f"{self.named} redirects to {parts.hostname}, an address of this machine's own network")

    def _own(self, url: str) -> str:
        """A URL of the registry itself: what it names for an upload may be no other host. Proxies that end TLS confuse the scheme alone."""
        parts, own = urlsplit(url), urlsplit(self._base)
        if _address(parts.netloc, parts.scheme) != _address(own.netloc, own.scheme) and parts.netloc != own.netloc:
            raise CanonError(
                f"{self.named} wants the upload to go to {parts.netloc}; what is sent there, and with which credentials, nobody has agreed to"
            )
        return urlunsplit((own.scheme, own.netloc, parts.path, parts.query, ""))

    def _give_up_or_wait(self, attempt: int, again: bool, what: str, wish: str | None) -> None:  # noqa: FBT001
        if not again:
            error = InterruptedUploadError(f"{self.named} {what}")
            error.wish = wish
            raise error
        if attempt == TRIES:
            raise CanonError(f"{self.named} {what}; tried {TRIES} times")
        wait_before(attempt, wish, self.named, what)

    def _what(self, error: Exception) -> str:
        text = str(error)
        if "Name or service not known" in text or "Temporary failure in name" in text or "NameResolution" in text:
            return UNKNOWN_HOST
        if "refused" in text:
            return "does not answer (connection refused): is it the right host and port?"
        if isinstance(error, requests.exceptions.Timeout):
            return "does not answer in time"
        return f"cut the connection ({type(error).__name__})"

    def _problem(self, status: int, words: str, url: str) -> CanonError:
        place = f"{self.named}/{self.repository}"
        if status == MISSING:
            return ImageMissingError(f"{self.named} has no {urlsplit(url).path.removeprefix('/v2/')}{words}")
        if status == UNAUTHORIZED:
            who = "the credentials that are known here" if self.login.credentials() else "anonymous requests"
            return CanonError(
                f"{place} does not take {who} (401{words}); log in: `podman login {self.named}`, or `docker login {self.named}`"
            )
        if status == DENIED:
            return CanonError(
                f"{place} does not allow it (403{words}); ask for the right to {self.login.actions[self.repository]}"
            )
        return CanonError(f"{place} answers {status}{words}")


def wait_before(attempt: int, wish: str | None, name: str, what: str) -> None:
    """Wait for the next try: as long as the registry wishes, else longer each time. Raises CanonError when it wishes too much."""
    seconds = _seconds(wish)
    if seconds is not None and seconds > LONGEST_PAUSE:
        raise CanonError(f"{name} {what}, and asks to come back in {seconds:.0f} s")
    pause(seconds if seconds is not None else min(0.5 * 2.0**attempt, LONGEST_PAUSE))


def _seconds(wish: str | None) -> float | None:
    """The value of Retry-After: seconds, or a date."""
    if wish is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", wish.strip()):
        return float(wish)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(wish).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _address(netloc: str, scheme: str) -> tuple[str, int]:
    parts = urlsplit(f"//{netloc}")
    return (parts.hostname or "").lower(), parts.port or (80 if scheme == "http" else 443)


def _said(response: requests.Response) -> str:
    """What the registry says of a failure, in its own words, shortened."""
    try:
        errors = json.loads(read_all(response, MAX_TOKEN)).get("errors") or []
        first = errors[0]
        text = ": ".join(str(first[key]) for key in ("code", "message") if first.get(key))
    except (
        *(ValueError, AttributeError, IndexError, KeyError, TypeError, RecursionError),
        requests.exceptions.RequestException,
    ):
        return ""
    return f": {_words(text)}" if text else ""


def _words(text: str) -> str:
    """A text of somebody else's for a terminal."""
    plain = printable(text).replace("\n", " ")
    return plain if len(plain) <= MAX_WORDS else f"{plain[:MAX_WORDS]}…"


def pages(wire: Wire, path: str, **options: Any) -> Iterator[requests.Response]:
    """A list's pages, by the Link headers that lead from one to the next."""
    for _ in range(100):
        response = wire.request("get", path, **options)
        yield response
        following = response.links.get("next")
        if not following:
            return
        path = str(following["url"])
    raise CanonError(f"{wire.named} lists without end")
