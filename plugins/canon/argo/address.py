"""Where Argo Server is, and who one is there: a flag, the variables of Argo's own CLI, the profile; in this order.

The variables are those of `argo` (cmd/argo/commands/client/conn.go): ARGO_SERVER is `host:port`, spoken to by TLS unless ARGO_SECURE is `false`,
with ARGO_BASE_HREF before its paths; ARGO_TOKEN is what `argo auth token` prints.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from canon.connections import is_loopback
from canon.model.errors import CanonError, UsageError

SERVER, SECURE, BASE, TOKEN, UNVERIFIED = (
    "ARGO_SERVER",
    "ARGO_SECURE",
    "ARGO_BASE_HREF",
    "ARGO_TOKEN",
    "ARGO_INSECURE_SKIP_VERIFY",
)
_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?"
_PATH = r"(?:/[A-Za-z0-9._~-]+)*/?"


@dataclass(frozen=True, slots=True)
class Address:
    """Argo Server's URL, which ends with `/`, and how it is spoken to. The token is in no text of it."""

    url: str
    token: str | None = field(default=None, repr=False)
    verify: bool = True

    @property
    def host(self) -> str:
        """Its host and port, for messages."""
        return urlsplit(self.url).netloc

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of the connection is not safe, in words."""
        found = []
        if self.url.startswith("http://") and not is_loopback(self.host):
            what = "the token and all else" if self.token else "everything"
            found.append(f"{self.host} is spoken to without TLS: {what} can be read on the way")
        if self.url.startswith("https://") and not self.verify:
            found.append(f"the certificate of {self.host} is not looked at ({UNVERIFIED})")
        return tuple(found)


def find_address(flag: str | None, environ: Mapping[str, str], setting: str | None) -> Address | None:
    """The address that a flag, the environment or a profile says; None where none does. Raises CanonError, UsageError."""
    token = _token(environ.get(TOKEN, ""))
    verify = environ.get(UNVERIFIED) != "true"
    if flag:
        return Address(_url(flag, "--server", environ, usage=True), token, verify)
    if environ.get(SERVER):
        return Address(_url(environ[SERVER], SERVER, environ), token, verify)
    if setting:
        return Address(_url(setting, "`argo` of the profile", {}), token, verify)
    return None


def _url(text: str, source: str, environ: Mapping[str, str], *, usage: bool = False) -> str:
    scheme, separator, rest = text.strip().rpartition("://")
    if not separator:
        scheme = "http" if environ.get(SECURE) == "false" else "https"
    base = environ.get(BASE, "").strip("/")
    whole = re.fullmatch(rf"({_HOST})({_PATH})", rest)
    if scheme not in {"http", "https"} or whole is None or not re.fullmatch(_PATH, f"/{base}" if base else ""):
        error = UsageError if usage else CanonError
        what = "holds credentials, a query or" if re.search(r"[@?#]", rest) else "is no address, or has"
        raise error(
            f"{source} {what} what an address of Argo Server does not have; write HOST:PORT or https://HOST[:PORT][/PATH], "
            f"and the token into {TOKEN}"
        )
    path = whole[2].strip("/") or base
    return f"{scheme}://{whole[1]}/{path}/" if path else f"{scheme}://{whole[1]}/"


def _token(text: str) -> str | None:
    """The value of the header, by what the variable says. Raises CanonError, which does not say it."""
    words = text.split()
    if not words:
        return None
    if len(words) > 2 or not text.isascii() or not text.strip().isprintable():  # noqa: PLR2004  the scheme and the token
        raise CanonError(f"{TOKEN} holds something else than a token; set it to what `argo auth token` prints")
    return " ".join(words) if len(words) > 1 else f"Bearer {words[0]}"
