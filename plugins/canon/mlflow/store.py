"""Which store rows go to, how it is opened without noise, and one writer at a time to a local one."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from canon.model.errors import CanonError, StoreUnavailableError

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_TIMEOUT = 120
"""Seconds to wait for another process that writes to the same store."""
# MLflow's own defaults are 7 retries of 120 s: a server that is down would hold a finished stage for minutes.
HTTP_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
QUIET = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def tracking_uri(root: Path, declared: str | None, environ: Mapping[str, str]) -> str:
    """The tracking URI: MLFLOW_TRACKING_URI, else the profile's, else an SQLite file in ``root``, by its absolute path."""
    return environ.get("MLFLOW_TRACKING_URI") or declared or f"sqlite:///{root.absolute()}/mlflow.db"


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store; None for a server."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def describe_store(uri: str) -> str:
    """How a person looks at a store: the command, or the server's address without credentials."""
    if sqlite_file(uri) is not None:
        return f"mlflow ui --backend-store-uri {uri}"
    return clean(uri)


def clean(text: str) -> str:
    """A text without the credentials of the URLs in it."""
    return re.sub(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s'\"]*@", r"\1", text)


@contextlib.contextmanager
def store_lock(uri: str, root: Path) -> Iterator[None]:
    """Hold the one lock of a store: alembic and search-then-create both go wrong side by side (measured).

    For a server the lock orders this project's own commands only; the search after the creation does the rest.
    Raises CanonError when another process holds it for two minutes.
    """
    from filelock import FileLock, Timeout

    file = sqlite_file(uri)
    path = file.with_name(f".{file.name}.lock") if file is not None else root / ".dvc" / "tmp" / "canon" / "mlflow.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path, timeout=LOCK_TIMEOUT):
            yield
    except Timeout:
        raise CanonError(
            f"another process has been writing to {clean(uri)} for {LOCK_TIMEOUT} s (lock {path}); wait for it, or end it"
        ) from None
    except PermissionError:
        raise StoreUnavailableError(
            f"{path} cannot be locked: no right to write there; make the folder writable, or set MLFLOW_TRACKING_URI"
        ) from None


def open_client(uri: str) -> MlflowClient:
    """Return a client, quiet and with short waits. The caller holds `store_lock` for a store that may be new."""
    for name, value in {**HTTP_DEFAULTS, **QUIET}.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient, set_tracking_uri

    for name in ("mlflow", "alembic", "alembic.runtime.migration"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with explained(uri):
        # A store in SQL asks the process-wide store for the model that it registers, which is that of the cwd by default.
        set_tracking_uri(uri)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextlib.contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn what a store raises into StoreUnavailableError: what is wrong, where, and what helps."""
    try:
        yield
    except CanonError:
        raise
    except Exception as error:
        module = type(error).__module__.partition(".")[0]
        if module not in {"mlflow", "sqlalchemy", "requests", "urllib3", "alembic", "sqlite3"} and not isinstance(
            error, OSError
        ):
            raise
        raise StoreUnavailableError(f"MLflow at {clean(uri)}: {_reason(uri, error)}") from error


def _reason(uri: str, error: Exception) -> str:
    text = clean(" ".join(str(error).split()))
    if sqlite_file(uri) is not None:
        if "Can't locate revision" in text or "out-of-date" in text:
            return f"the store was written by another version of MLflow ({text[:160]}); use that version, or run `mlflow db upgrade {uri}`"
        return f"the store cannot be used ({text[:200]}); is the file damaged, or its folder read-only or full?"
    host = urlsplit(uri).hostname or uri
    for code, reason in (("401", "it asks for credentials: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"),
                         ("403", "the credentials have no right to write there")):  # fmt: skip
        if (
            f"error code {code}" in text
            or f"{code} error" in text
            or f"status {code}" in text
            or f"{code} Client Error" in text
        ):
            return f"{reason} ({text[:120]})"
    if "Max retries" in text or "timed out" in text or "refused" in text or "Connection" in text:
        return f"{host} does not answer; is the server up, and the address right?"
    return f"{type(error).__name__}: {text[:200]}"
