"""The environment layer: what the lock file pins, installed by uv for an interpreter that is never run."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import posixpath
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path

from canon.baking.cache import BuildCache
from canon.baking.interpreter import Interpreter
from canon.baking.reuse import cached_layer
from canon.git import clean_urls
from canon.image.images import Layer
from canon.image.layers import Member
from canon.image.stores import Progress, Store, no_progress
from canon.image.trees import member_of_bytes, members_of_folder
from canon.model.canonical import sha256_of
from canon.model.errors import CanonError

KIND = "environment"
FORMAT = 1
"""Counted up when the same lock file gives another layer."""
ENVIRONMENT = "opt/canon/env"
"""Where the environment lies in an image: packages at the top, their commands in `bin`."""
PLATFORMS = {
    "linux/amd64": "x86_64-manylinux_2_28",
    "linux/arm64": "aarch64-manylinux_2_28",
    "linux/arm64/v8": "aarch64-manylinux_2_28",
}
"""Platform of an image → uv's name of the oldest system that wheels may ask for."""
SHEBANG = re.compile(rb"\A#![^\n]*python[^\n]*\n|\A#!/bin/sh\n'''exec' [^\n]*python[^\n]*\n' '''\n")
"""How a command begins that an installer wrote, with the interpreter of the machine that it was written on."""
TIMEOUT = 3600
"""Seconds that an installation may take."""


def environment_layer(
    store: Store | None,
    cache: BuildCache,
    requirements: bytes,
    interpreter: Interpreter,
    platform: str,
    scratch: Path,
    progress: Progress = no_progress,
) -> Layer:
    """The layer with a lock file's packages, made where it is not known. Raises CanonError with uv's own words."""
    key = environment_key(requirements, interpreter, platform, ENVIRONMENT)

    def make() -> Iterable[Member]:
        return environment_members(requirements, interpreter, platform, scratch)

    return cached_layer(store, cache, key, ENVIRONMENT, make, KIND, progress)


def environment_key(requirements: bytes, interpreter: Interpreter, platform: str, top: str) -> str:
    """What an environment layer follows from, as one hash."""
    locked = hashlib.sha256(requirements).hexdigest()
    return sha256_of([FORMAT, locked, platform, interpreter.version, interpreter.path, top])


def environment_members(requirements: bytes, interpreter: Interpreter, platform: str, into: Path) -> list[Member]:
    """Install a lock file's packages below ``into``, an empty folder, and return them as members of a layer.

    No `.pyc`, nothing built here: wheels only, each with the hash that the lock has. Raises CanonError with uv's own words.
    """
    target = into / "env"
    with tempfile.NamedTemporaryFile(dir=into, suffix=".lock") as lock:
        lock.write(requirements)
        lock.flush()
        _uv(
            "pip", "install", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-compile-bytecode",
            "--link-mode", "copy", "--python-version", interpreter.version, "--python-platform", _platform(platform),
            "--target", str(target), "-r", lock.name,
        )  # fmt: skip
    return list(_members(target, interpreter))


def relocated(members: Iterable[Member], top: str, packages: str) -> Iterator[Member]:
    """The members of an environment elsewhere: commands in `bin` below ``top``, packages in a folder of their own."""
    for member in members:
        path = member.path.removeprefix(f"{ENVIRONMENT}/")
        yield replace(member, path=f"{top}/{path}" if path.startswith("bin/") else f"{packages}/{path}")


def _platform(platform: str) -> str:
    try:
        return PLATFORMS[platform]
    except KeyError:
        raise CanonError(f"no environment can be installed for {platform}; known are {', '.join(PLATFORMS)}") from None


def _uv(*arguments: str) -> None:
    command = shutil.which("uv")
    if command is None:
        raise CanonError("uv is not on PATH, which installs the environment; install it")
    env = {
        name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH"}
    }
    env.setdefault("UV_SYSTEM_CERTS", "1")  # trust whom the system trusts, as pip does
    try:
        done = subprocess.run(
            [command, *arguments],
            env=env,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise CanonError(f"uv did not install the environment within {TIMEOUT} s; is the package index slow?") from None
    if done.returncode:  # an index's address may hold a password
        raise CanonError(f"uv could not install the environment: {clean_urls(done.stderr.strip())[-1500:]}")


def _members(target: Path, interpreter: Interpreter) -> Iterator[Member]:
    """What an image gets of an installation: neither the installer's own files nor the interpreter of this machine."""
    members = {member.path.removeprefix(f"{ENVIRONMENT}/"): member for member in members_of_folder(target, ENVIRONMENT)}
    commands = {
        name: SHEBANG.sub(f"#!{interpreter.path}\n".encode(), _content(member))
        for name, member in members.items()
        if name.startswith("bin/") and member.read is not None
    }
    for name, member in members.items():
        if name in commands:
            yield member_of_bytes(member.path, commands[name], executable=True)
        elif name.endswith(".dist-info/RECORD"):
            yield member_of_bytes(member.path, _recorded(_content(member), commands))
        elif name != ".lock" and "__pycache__" not in name.split("/"):
            yield member


def _content(member: Member) -> bytes:
    assert member.read is not None, member.path  # noqa: S101  the callers look
    with member.read() as file:
        return file.read(member.size)


def _recorded(record: bytes, commands: Mapping[str, bytes]) -> bytes:
    """The list of a package's files (PyPA's "Recording installed projects"), with hash and size of the commands as they are now.

    Its order is the installer's, which may differ from run to run: it is sorted.
    """
    rows = []
    for row in csv.reader(StringIO(record.decode())):
        name = posixpath.normpath(row[0]).removeprefix("../")
        content = commands.get(name)
        if content is not None:
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            rows.append([row[0], f"sha256={digest}", str(len(content))])
        elif "__pycache__" not in row[0].split("/"):
            rows.append(row)
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(rows))
    return text.getvalue().encode()
