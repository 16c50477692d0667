"""Authentication at a registry: by name and password, or by tokens of the service that it names.

Credentials go to the registry and to that service alone, by TLS or on loopback. Protocol: "Token Authentication Specification" of
Docker's registry.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
from requests.utils import parse_dict_header

from canon.connections import authorities, is_loopback, no_proxies
from canon.image.credentials import Credentials, find_credentials
from canon.model.errors import CanonError

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and without a byte."""
MAX_TOKEN = 1024 * 1024
"""Bytes of the largest answer that holds a token, or words."""
SUCCESS = 400
"""Statuses below this one."""


class Login:
    """Who one is at a repository. ``actions``: repository → what is wanted of it, for tokens."""

    def __init__(self, host: str, repository: str, address: str, session: requests.Session, *, plain: bool) -> None:
        self.actions = {repository: "pull"}
        self._host, self._repository, self._address, self._session, self._plain = (
            host,
            repository,
            address,
            session,
            plain,
        )
        self._known: Credentials | None = None
        self._looked = False
        self._authorization = ""

    def want(self, repository: str, actions: str) -> None:
        """Ask for more rights from the next token on."""
        if self.actions.get(repository) not in {actions, "pull,push"}:
            self.actions[repository] = actions
            if self._authorization.startswith("Bearer "):
                self._authorization = ""

    def authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the header on a request to the registry itself."""
        if self._authorization:
            request.headers["Authorization"] = self._authorization
        return request

    def credentials(self) -> Credentials | None:
        """Those of the user's files; they are looked for when the registry asks. Raises CanonError for a file that is broken."""
        if not self._looked:
            self._known, self._looked = find_credentials(self._host, self._repository, os.environ), True
        return self._known

    def answer(self, challenge: str) -> None:
        """Answer a challenge: with name and password, or with a token of the service that the registry names. Raises CanonError."""
        scheme, _, rest = challenge.strip().partition(" ")
        if scheme.lower() == "bearer":
            self._authorization = f"Bearer {self._token(parse_dict_header(rest))}"  # type: ignore[no-untyped-call]
            return
        known = self.credentials()
        if scheme.lower() == "basic" and known is not None and known.user:
            self._authorization = known.basic()

    def _token(self, challenge: Mapping[str, str]) -> str:
        realm = str(challenge.get("realm", ""))
        try:
            parts = urlsplit(realm)
        except ValueError:
            raise CanonError(f"{self._host} names a token service that has no address") from None
        own = self._plain and (parts.hostname == self._address or is_loopback(parts.netloc))
        if parts.scheme != "https" and not (parts.scheme == "http" and own):
            raise CanonError(
                f"{self._host} wants its credentials to go to {parts.scheme}://{parts.netloc}, without TLS; they do not"
            )
        try:
            with self._ask(realm, str(challenge.get("service", ""))) as response:
                answer = json.loads(read_all(response, MAX_TOKEN)) if response.status_code < SUCCESS else {}
            token = answer.get("token") or answer.get("access_token")
        except (requests.exceptions.RequestException, OSError, ValueError, AttributeError, RecursionError) as error:
            what = type(error).__name__
            raise CanonError(f"the token service of {self._host}, {parts.netloc}, does not answer ({what})") from None
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise CanonError(
                f"the token service of {self._host}, {parts.netloc}, gives no token ({response.status_code}); log in again:"
                f" `podman login {self._host}`"
            )
        return token

    def _ask(self, realm: str, service: str) -> requests.Response:
        known = self.credentials()
        scopes = [f"repository:{name}:{actions}" for name, actions in self.actions.items()]
        options: dict[str, Any] = {
            "auth": anonymous, "timeout": TIMEOUT, "verify": authorities(), "allow_redirects": False, "stream": True,
            "proxies": no_proxies(realm),
        }  # fmt: skip
        if known is not None and known.identity:
            form = {
                "grant_type": "refresh_token", "service": service, "client_id": "canon", "scope": " ".join(scopes),
                "refresh_token": known.identity,
            }  # fmt: skip
            return self._session.post(realm, data=form, **options)
        headers = {"Authorization": known.basic()} if known is not None else {}
        query = urlencode([*([("service", service)] if service else []), *(("scope", each) for each in scopes)])

        def with_header(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers.update(headers)
            return request

        joint = "&" if urlsplit(realm).query else "?"
        return self._session.get(f"{realm}{joint}{query}", **{**options, "auth": with_header})


def anonymous(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """No credentials, those of ~/.netrc neither."""
    return request


def read_all(response: requests.Response, limit: int) -> bytes:
    """The body of a response. Raises ValueError when it has more than ``limit`` bytes."""
    content = b""
    for chunk in response.iter_content(64 * 1024):
        content += chunk
        if len(content) > limit:
            response.close()
            raise ValueError(limit)
    return content
