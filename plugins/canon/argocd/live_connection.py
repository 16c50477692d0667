"""How an API server is reached: by a kubeconfig as kubectl reads it, or by the account of the pod that this runs in.

Kubernetes' own client reads kubeconfigs, runs their plugins, and knows authorities, certificates and proxies. It logs what goes wrong with a plugin and goes on
without credentials, and names a whole user, with the token, where a key is missing: so it is listened to, and its words are cut.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from canon.connections import is_loopback
from canon.model.errors import CanonError, printable

PLUGIN_TIMEOUT = 120.0
"""Seconds that a plugin may take for credentials: somebody may have to log in."""
MAX_WORDS = 400
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True, slots=True)
class Reach:
    """Which cluster is meant: a kubeconfig and a context of it; by default what kubectl would take."""

    kubeconfig: Path | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """An API server. ``host``: for messages; ``source``: whose credentials are sent; ``pool``: urllib3's, with all that TLS and a proxy need."""

    url: str
    source: str
    verified: bool
    pool: Any = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def host(self) -> str:
        """Host and port, without credentials."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


@contextmanager
def opened_connection(reach: Reach) -> Iterator[Connection]:
    """Prepare to ask the cluster; nothing is sent yet. Keys of a kubeconfig lie in a folder that is gone afterwards. Raises CanonError."""
    files = _files(reach)
    source = _source(files, reach)
    if find_spec("kubernetes") is None:
        raise CanonError(
            "Kubernetes' client is not installed, which the tools image leaves out; install Canon with all that it requires"
        )
    with tempfile.TemporaryDirectory(prefix="canon-kube-", ignore_cleanup_errors=True) as folder:
        configuration = _heard(source, lambda: _configuration(files, reach.context, folder))
        connection = _connection(configuration, source)
        try:
            yield connection
        finally:
            connection.pool.clear()


def _files(reach: Reach) -> list[str]:
    """The kubeconfigs that are merged; none in a pod. Raises CanonError where nothing says how a cluster is reached."""
    if reach.kubeconfig is not None:
        if not reach.kubeconfig.is_file():
            raise CanonError(f"there is no kubeconfig {reach.kubeconfig}; correct --kubeconfig")
        if os.pathsep in str(reach.kubeconfig):
            raise CanonError(
                f"{reach.kubeconfig}: a path with `{os.pathsep}` stands for several files; give it another name"
            )
        return [str(reach.kubeconfig)]
    named = [each for each in os.environ.get("KUBECONFIG", "").split(os.pathsep) if each]
    found = [each for each in named or ["~/.kube/config"] if Path(each).expanduser().is_file()]
    if named and not found:
        raise CanonError(f"KUBECONFIG names {', '.join(named)}, and no such file is there; correct it")
    if not found and (reach.context or not (os.environ.get("KUBERNETES_SERVICE_HOST") and ACCOUNT.is_file())):
        raise CanonError("nothing says how the cluster is reached; name a kubeconfig by --kubeconfig or KUBECONFIG")
    return found


def _source(files: list[str], reach: Reach) -> str:
    if not files:
        return "the account of this pod"
    return f"{', '.join(files)}{f' (context {reach.context})' if reach.context else ''}"


def _configuration(files: list[str], context: str | None, folder: str) -> Any:  # noqa: ANN401  the client has no types
    from kubernetes import client, config

    configuration = client.Configuration()
    if files:
        config.load_kube_config(
            os.pathsep.join(files), context, configuration, persist_config=False, temp_file_path=folder
        )
    else:
        config.load_incluster_config(configuration)
    return configuration


class _Ear(logging.Handler):
    """Hears one thread: a plugin that an earlier call gave up on may end, and be complained of, at any time."""

    def __init__(self, thread: threading.Thread) -> None:
        super().__init__(logging.ERROR)
        self.thread = thread
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread.ident:
            self.heard.append(record.getMessage())


def _heard(source: str, load: Callable[[], Any]) -> Any:  # noqa: ANN401  what it gives
    """What ``load`` gives within the time that a plugin has. Raises CanonError for what it raises or logs."""
    from kubernetes.config.config_exception import ConfigException

    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(load())
        except Exception as error:  # noqa: BLE001  a kubeconfig may hold anything
            answers.put(error)

    thread = threading.Thread(target=run, daemon=True)
    ear = _Ear(thread)
    logging.getLogger().addHandler(ear)
    try:
        thread.start()
        found = answers.get(timeout=PLUGIN_TIMEOUT)
    except queue.Empty:
        raise CanonError(
            f"{source}: its plugin for credentials gave none within {PLUGIN_TIMEOUT:.0f} s; run it by hand, then again"
        ) from None
    finally:
        logging.getLogger().removeHandler(ear)
    if isinstance(found, ConfigException):
        raise CanonError(
            f"{source}: {_words(str(found))}; correct it, or name another one by --kubeconfig or --context"
        )
    if isinstance(found, Exception):
        line = getattr(getattr(found, "problem_mark", None), "line", None)
        where = f"line {line + 1}: " if isinstance(line, int) else ""
        why = found.strerror if isinstance(found, OSError) and found.strerror else type(found).__name__
        raise CanonError(f"{source}: {where}is no kubeconfig that can be read ({why}); correct it")
    if ear.heard:
        raise CanonError(f"{source}: gives no credentials: {_words(ear.heard[-1])}; log in, or correct it")
    return found


def _words(text: str) -> str:
    """Words of the client in one line, up to where a user of the kubeconfig would begin."""
    plain = " ".join(printable(re.split(r"/?\{", text, maxsplit=1)[0]).split())
    return plain if len(plain) <= MAX_WORDS else f"{plain[:MAX_WORDS]}…"


def _connection(configuration: Any, source: str) -> Connection:  # noqa: ANN401  the client has no types
    from kubernetes.client.rest import RESTClientObject

    url = str(configuration.host)
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CanonError(f"{source}: names no server by http:// or https://; correct it")
    if parts.scheme == "http" and not is_loopback(parts.netloc):
        raise CanonError(
            f"{source}: names a server without TLS, which would show the credentials to others; say https://"
        )
    if is_loopback(parts.netloc) and configuration.proxy in getproxies().values():
        configuration.proxy = None  # the environment's is for others than this machine
    value = next((each["value"] for each in configuration.auth_settings().values()), None)
    token = str(value).strip() if value else ""
    if not token.isascii() or not token.isprintable():
        raise CanonError(f"{source}: its token has characters that no token has; correct it")
    headers = {"Accept": "application/json", "User-Agent": "canon", **({"Authorization": token} if token else {})}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it misses for SOCKS is said below
            pool = RESTClientObject(configuration).pool_manager
    except ImportError:
        raise CanonError(f"{source}: its proxy-url is of SOCKS, for which PySocks has to be installed") from None
    except (ValueError, AttributeError):
        raise CanonError(f"{source}: its proxy-url is none; write http://HOST:PORT") from None
    return Connection(url.rstrip("/"), source, bool(configuration.verify_ssl), pool, headers)
