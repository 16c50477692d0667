"""Whose credentials a server gets: those in its own address, else those of the environment where they are meant for it.

MLflow sends what its variables, or its file, hold to whatever server it is told of (mlflow/utils/credentials.py).
"""

from __future__ import annotations

import configparser
import contextlib
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from canon.model.errors import StoreUnavailableError

USERNAME, PASSWORD, TOKEN = (f"MLFLOW_TRACKING_{name}" for name in ("USERNAME", "PASSWORD", "TOKEN"))
VARIABLES = (
    USERNAME,
    PASSWORD,
    TOKEN,
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_AWS_SIGV4",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
)
FILE = "~/.mlflow/credentials"


def is_server(uri: str) -> bool:
    """Tell whether a store is spoken to by HTTP."""
    return uri.startswith(("http://", "https://"))


def has_own(uri: str) -> bool:
    """Tell whether a server's address holds credentials."""
    return is_server(uri) and "@" in urlsplit(uri).netloc


def load_credentials(uri: str) -> tuple[tuple[str, str] | None, str | None]:
    """Name with password, or token, that MLflow sends to a server whose address holds none."""
    if has_own(uri):
        return None, None
    file = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(OSError, UnicodeError, configparser.Error):
        file.read(Path(FILE).expanduser())
    user, password = (
        os.environ.get(name) or str(file.get("mlflow", name.lower(), fallback="")) for name in (USERNAME, PASSWORD)
    )
    if user and password:
        return (user, password), None
    return None, os.environ.get(TOKEN)


def move_credentials(uri: str) -> str:
    """A server's address without the credentials in it, which go into the variables that MLflow reads them from, instead of all that is there.

    MLflow's messages and tracebacks hold the whole address.
    """
    if not has_own(uri):
        return uri
    parts = urlsplit(uri)
    _forget()
    os.environ[USERNAME] = unquote(parts.username or "")
    os.environ[PASSWORD] = unquote(parts.password or "")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def drop_credentials(uri: str) -> None:
    """Let a store get none of the environment's credentials. Raises StoreUnavailableError where it would get those of MLflow's file all the same."""
    _forget()
    if is_server(uri) and not has_own(uri) and Path(FILE).expanduser().exists():
        raise StoreUnavailableError(
            f"MLflow at {uri} is not asked: it is not this project's server now, and would get the credentials in {FILE}; set MLFLOW_TRACKING_URI to it where they are meant for it"
        )


def _forget() -> None:
    for name in VARIABLES:
        os.environ.pop(name, None)
