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

from canon.mlflow.credentials import move_credentials
from canon.model.errors import CanonError, StoreRefusedError, StoreUnavailableError, printable
from canon.processes import kept_environment

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
REFUSALS = frozenset(
    {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE"}
)
"""MLflow's error codes for one request that it does not take, while it takes others."""
QUIET = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


SQLITE = "sqlite:///"


def tracking_uri(root: Path, declared: str | None, environ: Mapping[str, str]) -> str:
    """The tracking URI: MLFLOW_TRACKING_URI, else the profile's, else an SQLite file in ``root``.

    An SQLite file's path starts from ``root``: from the current folder, a row would vanish with DVC's temporary copy.
    """
    uri = environ.get("MLFLOW_TRACKING_URI") or declared or f"{SQLITE}mlflow.db"
    file = sqlite_file(uri)
    return uri if file is None or file.is_absolute() else f"{SQLITE}{root.absolute()}/{uri.removeprefix(SQLITE)}"


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store; None for a server."""
    return Path(uri.removeprefix(SQLITE).partition("?")[0]) if uri.startswith(SQLITE) else None


def clean(text: str) -> str:
    """A text without the credentials of the URLs in it."""
    return re.sub(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s'\"]*@", r"\1", text)


@contextlib.contextmanager
def store_lock(uri: str, root: Path) -> Iterator[None]:
    """Hold the one lock of a store: alembic and search-then-create both go wrong side by side (measured).

    For a server the lock orders this project's own commands only; the search after the creation does the rest.
    Raises StoreUnavailableError where it cannot be had, or another process holds it for two minutes.
    """
    from filelock import FileLock, Timeout

    file = sqlite_file(uri)
    path = file.with_name(f".{file.name}.lock") if file is not None else root / ".dvc" / "tmp" / "canon" / "mlflow.lock"
    lock = FileLock(path, timeout=LOCK_TIMEOUT)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise StoreUnavailableError(
            f"another process has been writing to {clean(uri)} for {LOCK_TIMEOUT} s (lock {path}); wait for it, or end it"
        ) from None
    except (OSError, NotImplementedError) as error:  # filelock: a file system without locks
        raise StoreUnavailableError(
            f"{path} cannot be locked: {getattr(error, 'strerror', None) or error}; make the folder writable, or set MLFLOW_TRACKING_URI"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def opened(uri: str, root: Path) -> Iterator[MlflowClient]:
    """A client while the store's lock is held; ``root``: the folder of a local one. The variables of this process are as before afterwards.

    MLflow writes the address into them, and reads credentials there: what comes next, a command or another store, must not get either.
    Raises StoreUnavailableError for all that goes wrong, `StoreRefusedError` for what the store does not take.
    """
    with kept_environment(), store_lock(uri, root), explained(uri):
        yield open_client(uri)


def open_client(uri: str) -> MlflowClient:
    """Return a client, quiet and with short waits, for a process that has nothing else to do; see `opened`."""
    for name, value in {**HTTP_DEFAULTS, **QUIET}.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient, set_registry_uri, set_tracking_uri

    for name in ("mlflow", "alembic", "alembic.runtime.migration"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with explained(uri):
        file = sqlite_file(uri)
        if file is not None:
            _check_sqlite(file)
        uri = move_credentials(uri)
        # A store in SQL asks the process-wide store for the model that it registers, which is that of the cwd by default.
        set_tracking_uri(uri)
        set_registry_uri(uri)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _check_sqlite(file: Path) -> None:
    """Raise sqlite3.Error for a file that is no database or cannot be opened: MLflow itself tries again for 100 s."""
    import sqlite3

    file.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA schema_version").fetchone()


@contextlib.contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn what a store raises into StoreUnavailableError: what is wrong, where, and what helps.

    Everything: MLflow's own errors, those of the network, of a database, and of the libraries that artifacts go to S3 and
    the like with. A finished stage must not fail of any.
    """
    try:
        yield
    except CanonError:
        raise
    except Exception as error:
        kind = StoreRefusedError if getattr(error, "error_code", None) in REFUSALS else StoreUnavailableError
        raise kind(f"MLflow at {clean(uri)}: {_reason(uri, error)}") from error


def _reason(uri: str, error: Exception) -> str:
    text = printable(clean(" ".join(str(error).split())))
    file = sqlite_file(uri)
    if getattr(error, "error_code", None) in REFUSALS:
        return text[:300]
    return _server_reason(uri, error, text) if file is None else _file_reason(uri, file, text)


def _file_reason(uri: str, file: Path, text: str) -> str:
    if "Can't locate revision" in text or "out-of-date" in text:
        return f"the store was written by another version of MLflow ({text[:160]}); use that version, or run `mlflow db upgrade {uri}`"
    return f"the store cannot be used ({text[:200]}); is {file} damaged, or its folder read-only or full?"


def _server_reason(uri: str, error: Exception, text: str) -> str:
    host = urlsplit(uri).hostname or clean(uri)
    code = re.search(r"error code (\d{3})\b|too many (\d{3}) error responses|\b(40[13]) Client Error", text)
    status = next(filter(None, code.groups()), "") if code else ""
    status = {"UNAUTHENTICATED": "401", "PERMISSION_DENIED": "403"}.get(getattr(error, "error_code", ""), status)
    known = {
        "401": "asks for credentials (401): set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
        "403": "gives these credentials no right to write (403): ask whoever runs it",
    }
    if status in known:
        return f"{host} {known[status]}"
    if status.startswith("5"):
        return f"{host} answers {status}: its log says why"
    if re.search(r"timed out|Timeout", text):
        return f"{host} does not answer in time; MLFLOW_HTTP_REQUEST_TIMEOUT is the limit in seconds"
    if re.search(r"Max retries|refused|Connection|resolve", text):
        return f"{host} does not answer; is the server up, and the address right?"
    return f"{type(error).__name__}: {text[:300]}"
