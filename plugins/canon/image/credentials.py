"""Who one is at a registry, by the files that `docker login` and `podman login` write, and by their credential helpers.

Formats: containers-auth.json(5), Docker's config.json; helpers speak docker/docker-credential-helpers' protocol.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from canon.model.errors import CanonError

HUB = "docker.io"
HELPER = re.compile(r"[A-Za-z0-9_.-]+")
SECONDS = 30
"""Time that a helper has; one may ask its user for a password."""
MAX_ANSWER = 1024 * 1024


@dataclass(frozen=True)
class Credentials:
    """A name and a password, or a token that is exchanged for others (``identity``)."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)

    def basic(self) -> str:
        """The value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def find_credentials(host: str, repository: str, environ: Mapping[str, str]) -> Credentials | None:
    """The credentials for a repository; None where no file has any. Raises CanonError for a file or a helper that is broken."""
    for path in _files(environ):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        found = _of_file(_document(path, content), path, host, repository, environ)
        if found is not None:
            return found
    return None


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Podman's files before Docker's, as Podman reads them."""
    home = Path(environ["HOME"]) if environ.get("HOME") else None
    if environ.get("REGISTRY_AUTH_FILE"):
        yield Path(environ["REGISTRY_AUTH_FILE"])
    if environ.get("XDG_RUNTIME_DIR"):
        yield Path(environ["XDG_RUNTIME_DIR"]) / "containers/auth.json"
    config = Path(environ["XDG_CONFIG_HOME"]) if environ.get("XDG_CONFIG_HOME") else home and home / ".config"
    if config:
        yield config / "containers/auth.json"
    docker = Path(environ["DOCKER_CONFIG"]) if environ.get("DOCKER_CONFIG") else home and home / ".docker"
    if docker:
        yield docker / "config.json"


def _document(path: Path, content: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise CanonError(f"{path} is no JSON object; mend it, or log in again")
    return document


def _of_file(
    document: Mapping[str, Any], path: Path, host: str, repository: str, environ: Mapping[str, str]
) -> Credentials | None:
    auths = {_key(key): value for key, value in _mapping(document, "auths").items()}
    helpers = {_key(key): value for key, value in _mapping(document, "credHelpers").items()}
    for name in _names(host, repository):
        if name in helpers:
            return _of_helper(str(helpers[name]), name, path, environ)
        entry = auths.get(name)
        if isinstance(entry, dict) and (entry.get("auth") or entry.get("identitytoken")):
            return _of_entry(entry, name, path)
    store = document.get("credsStore")
    return _of_helper(str(store), host, path, environ) if store else None


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _key(key: str) -> str:
    """A key as a name: Docker wrote URLs for a registry of the first version, its own hub still has one."""
    name = re.sub(r"^https?://", "", key)
    if name != key or name.startswith("index.docker.io"):
        name = name.partition("/")[0]
    return HUB if name in {"index.docker.io", "registry-1.docker.io"} else name.rstrip("/")


def _names(host: str, repository: str) -> Iterator[str]:
    """The repository, what is above it, the host: Podman keeps credentials for each."""
    path = f"{host}/{repository}"
    while path:
        yield path
        path = path.rpartition("/")[0]


def _of_entry(entry: Mapping[str, Any], name: str, path: Path) -> Credentials:
    if entry.get("identitytoken"):
        return Credentials(identity=str(entry["identitytoken"]))
    try:
        user, colon, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise CanonError(f"{path}: `auth` of {name} is not a name and a password in base64; log in again") from None
    return Credentials(user, password.rstrip("\0"))


def _of_helper(helper: str, name: str, path: Path, environ: Mapping[str, str]) -> Credentials | None:
    """Ask `docker-credential-NAME`. What it prints is never shown: it is a secret, or may hold one."""
    command = (
        shutil.which(f"docker-credential-{helper}", path=environ.get("PATH")) if HELPER.fullmatch(helper) else None
    )
    if command is None:
        raise CanonError(f"{path} names the credential helper docker-credential-{helper}, which is not on PATH")
    server = "https://index.docker.io/v1/" if name == HUB else name
    try:
        done = subprocess.run(
            [command, "get"],
            input=server.encode(),
            env=dict(environ),
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        raise CanonError(f"the credential helper {command} did not answer for {name} within {SECONDS} s") from None
    if done.returncode:
        if b"credentials not found" in done.stdout + done.stderr:
            return None
        raise CanonError(
            f"the credential helper {command} failed for {name} (exit status {done.returncode}); try `{helper}` by hand"
        )
    try:
        answer = json.loads(done.stdout[:MAX_ANSWER])
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise CanonError(
            f"the credential helper {command} did not answer in the protocol of Docker's helpers"
        ) from None
    return Credentials(identity=secret) if user == "<token>" else Credentials(user, secret)
