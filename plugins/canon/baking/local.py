"""`canon serve`: the serving command on this machine, for the model of the workspace or of an image."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from canon.baking.code import SOURCE, TOP
from canon.baking.environment import ENVIRONMENT
from canon.baking.labels import PIPELINE, PYTHON
from canon.baking.provenance import PROVENANCE
from canon.baking.serving import ANY_ADDRESS, check_servable, health_path, served, serving_command
from canon.image.images import Image
from canon.image.stores import Source
from canon.image.unpack import unpack_below
from canon.model.errors import CanonError
from canon.model.project import Pipeline, load_project
from canon.processes import passed_on, wait

LOOPBACK = "127.0.0.1"
LOOK = 2
"""Seconds that one look at the health path may take."""
SECONDS = 120
"""How long the service may take until its health path answers; then it is said that it does not, and it goes on."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Service:
    """A command to be run: where, with which variables, and the address at which it will answer."""

    command: Sequence[str]
    folder: Path
    env: Mapping[str, str]
    health: str


def workspace_service(root: Path, pipeline: Pipeline, port: int | None) -> Service:
    """The service of the workspace's model. Raises CanonError when it is not there."""
    return _service(pipeline, root, {}, port)


def image_service(source: Source, image: Image, name: str | None, folder: Path, port: int | None) -> Service:
    """The service of an image's model, with the image's own code and environment, unpacked into a folder. Raises CanonError."""
    labels = image.labels
    if PIPELINE not in labels:
        raise CanonError(f"{image.name} holds no model; it was not made by `canon image bake`")
    if name not in {None, labels[PIPELINE]}:
        raise CanonError(f"{image.name} serves {labels[PIPELINE]}, not {name}")
    unpack_below(source, image, TOP, folder)
    code = folder / SOURCE
    pipeline = load_project(code).pipeline(str(labels[PIPELINE]))
    env = {"CANON_PROVENANCE": str(folder / PROVENANCE), "PYTHONDONTWRITEBYTECODE": "1"}
    if (folder / ENVIRONMENT).is_dir():
        python = str(labels.get(PYTHON))
        if not Path(python).is_file():
            raise CanonError(
                f"the environment of {image.name} was installed for {python}, which is not on this machine; run the image in a container"
            )
        env |= {
            "PATH": os.pathsep.join((str(folder / ENVIRONMENT / "bin"), os.environ.get("PATH", os.defpath))),
            "PYTHONPATH": str(folder / ENVIRONMENT),
        }
    return _service(pipeline, code, env, port)


def _service(pipeline: Pipeline, folder: Path, env: Mapping[str, str], port: int | None) -> Service:
    serving, path = served(pipeline)
    model = folder / path
    if not model.exists():
        raise CanonError(f"the model {path} is not in {folder}; run `dvc repro`, or `dvc pull`")
    check_servable(pipeline, {file.relative_to(model).as_posix() for file in model.rglob("*")})
    argv, variables = serving_command(pipeline, source=str(folder))
    text = _on_loopback(argv[-1] if serving.cmd is not None else f"exec {shlex.join(argv)}", serving.port, port)
    return Service(
        ["/bin/sh", "-c", text],
        folder,
        {**os.environ, **env, **variables},
        f"http://{LOOPBACK}:{port or serving.port}{health_path(pipeline)}",
    )


def _on_loopback(command: str, declared: int, port: int | None) -> str:
    """The command with loopback for every address, and with another port. Raises CanonError where it does not name its port."""
    changed = re.sub(rf"(?<![\w.]){re.escape(ANY_ADDRESS)}(?![\w.])", LOOPBACK, command)
    if port is None or port == declared:
        return changed
    # A word, the value of an option, or what follows the address that is listened at; never a port of another host.
    place = rf"((?:^|[\s=\"'])(?:{re.escape(LOOPBACK)}:|localhost:|:)?){declared}(?=[\s\"']|$)"
    again, count = re.subn(place, rf"\g<1>{port}", changed)
    if not count:
        raise CanonError(
            f"`{command}` does not name the port {declared}, so that --port cannot change it; change the declaration"
        )
    return again


def run_service(service: Service, say: Say) -> int:
    """Run a service until it ends; signals to this process are passed on. Return its exit status, 128 + n for signal n.

    Raises CanonError when something listens at its address already: that would be taken for the service.
    """
    _check_free(service)
    with passed_on() as pass_to:
        process = subprocess.Popen(
            list(service.command), cwd=service.folder, env=dict(service.env), start_new_session=True
        )
        pass_to(process)
        ended = threading.Event()
        watch = threading.Thread(target=_say_when_well, args=(service, ended, say), daemon=True)
        watch.start()
        try:
            code = wait(process)
        finally:
            ended.set()
            watch.join(LOOK + 1)  # one that runs while the interpreter ends can crash it (seen on Python 3.12.1)
    return code if code >= 0 else 128 - code


def _check_free(service: Service) -> None:
    place = urllib.parse.urlsplit(service.health)
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex((str(place.hostname), place.port or 80)) == 0:
            raise CanonError(
                f"something listens at {place.hostname}:{place.port} already; stop it, or take another one with --port"
            )


def _say_when_well(service: Service, ended: threading.Event, say: Say) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(SECONDS * 10):
        try:
            with opener.open(service.health, timeout=LOOK):
                say(f"canon: it answers at http://{urllib.parse.urlsplit(service.health).netloc}")
                return
        except (urllib.error.URLError, OSError):
            if ended.wait(0.1):
                return
    say(f"canon: {service.health} did not answer within {SECONDS} s")
