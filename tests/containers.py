"""Run what is in an image: by podman where it works, else in a chroot with mounts and a process table of its own.

Both run as another uid than root, on a read-only root unless told otherwise, without capabilities, with nothing mounted but
empty folders in memory, and on the network of the host: bridges need rights that a CI job may lack. Each image is unpacked
once for a test session. ``CANON_TEST_CONTAINERS=podman`` or ``chroot`` asks for one of the two.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tests.images import read_blob, write_index

UID = 12345
"""A uid that no image names, as clusters give out."""
SECONDS = 120
"""Time that a command has, and a server has to stop."""
LIFE = 600
"""Seconds after which a container ends by itself, whatever became of the test that started it."""


@dataclasses.dataclass(frozen=True)
class Wish:
    """How a command is to run."""

    uid: int = UID
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tmpfs: tuple[str, ...] = ("/tmp",)  # noqa: S108  the container's
    read_only: bool = True


@dataclasses.dataclass
class Container:
    """A command that runs in an image. ``kill`` sends a signal to the command itself."""

    process: subprocess.Popen[bytes]
    log: Path
    kill: Callable[[signal.Signals], None]
    port: int | None = None

    @property
    def logs(self) -> str:
        """What it has printed so far, on stdout and stderr."""
        return self.log.read_text(errors="replace")

    def wait(self, seconds: float = SECONDS) -> int:
        """Wait for the end; return the exit status, 128 + n for signal n."""
        code = self.process.wait(seconds)
        return code if code >= 0 else 128 - code

    def wait_until_served(self, seconds: float = SECONDS) -> None:
        """Wait until the port takes connections; a command that ended before fails with its logs."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port or 0), 1):
                return
            assert self.process.poll() is None, f"ended with {self.wait()} before it served\n{self.logs}"
            assert time.monotonic() < end, f"port {self.port} took no connection in {seconds} s\n{self.logs}"
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = SECONDS) -> int:
        """Send a signal and wait; return the exit status. A command that does not end is killed, and its test fails."""
        running = self.process.poll() is None
        if running:
            self.kill(how)
        try:
            code = self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill(signal.SIGKILL)
            self.wait()
            raise AssertionError(f"did not end within {seconds} s of {how.name}\n{self.logs}") from None
        # unshare 2.38 ends with 1 where its child was killed: it cannot set the action of SIGKILL (sys-utils/unshare.c).
        return 128 + how if running and how is signal.SIGKILL else code


class Command(NamedTuple):
    """The process that runs a command in an image, and a name for it."""

    argv: list[str]
    env: dict[str, str]
    name: str


class Engine(Protocol):
    """What runs containers."""

    name: str

    def command(self, layout: Path, digest: str, argv: tuple[str, ...], wish: Wish) -> Command:
        """Unpack an image, unless that is done, and say how to run a command in it; without one, the image's own."""

    def kill(self, name: str, pid: int, how: signal.Signals) -> None:
        """Send a signal to the command of a container."""

    def close(self) -> None:
        """Remove what was unpacked."""


class Containers:
    """The containers of a test session; ``engine.name`` says what runs them."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self._started: list[Container] = []

    def run(
        self, layout: Path, digest: str, *argv: str, code: int | None = 0, **wish: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; ``code`` is the exit status that is expected, None for any. ``wish``: fields of Wish."""
        command, env, name = self.engine.command(layout, digest, argv, Wish(**wish))
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            stdout, stderr = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.engine.kill(name, process.pid, signal.SIGKILL)
            raise
        found = process.returncode if process.returncode >= 0 else 128 - process.returncode
        assert code is None or found == code, f"{argv} gave {found}\n{stdout}\n{stderr}"
        return subprocess.CompletedProcess(argv, found, stdout, stderr)

    def start(self, layout: Path, digest: str, *argv: str, port: int | None = None, **wish: Any) -> Container:
        """Start a command; with ``port``, on which it will serve, wait until it does. The session's end stops it at the latest."""
        command, env, name = self.engine.command(layout, digest, argv, Wish(**wish))
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        started = Container(process, log, lambda how: self.engine.kill(name, process.pid, how), port)
        self._started.append(started)
        if port is not None:
            started.wait_until_served()
        return started

    def close(self) -> None:
        """Stop what runs, remove what was unpacked."""
        for each in self._started:
            if each.process.poll() is None:
                each.kill(signal.SIGKILL)
                each.wait()
        self.engine.close()


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(ask: Callable[[], str], seconds: float = 10) -> str:
    """Ask until there is an answer; return it, or an empty one when the time is over."""
    end = time.monotonic() + seconds
    while not (answer := ask()) and time.monotonic() < end:
        time.sleep(0.02)
    return answer


CONF = """\
[containers]
# Podman's own limits are above what a job in a container may set.
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
# crun refuses a hybrid cgroup hierarchy.
runtime = "runc"
"""


class Podman:
    """Podman with a store and settings of its own: the user's are not touched."""

    name = "podman"

    def __init__(self, folder: Path, driver: str) -> None:
        self._folder = folder
        self._images: dict[str, str] = {}
        (folder / "containers.conf").write_text(CONF)
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "{driver}"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/graph"\n'
        )
        self.env = {
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",  # where Debian has runc
            "HOME": str(folder),
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }
        self.prefix = ["podman", f"--tmpdir={folder}/tmp"]  # noqa: S108  no file of a known name

    def call(self, *arguments: str) -> str:
        """Run podman; return what it prints."""
        done = subprocess.run(
            (*self.prefix, *arguments), env=self.env, cwd=self._folder, capture_output=True, text=True, check=False, timeout=SECONDS
        )  # fmt: skip
        assert done.returncode == 0, f"podman {shlex.join(arguments)} gave {done.returncode}\n{done.stderr}"
        return done.stdout

    def image(self, layout: Path, digest: str) -> str:
        """Podman's id of an image, which is in its store from now on, digest unchanged."""
        if digest not in self._images:
            # Podman 4.3 takes a layout with one image alone, and names the image by the path that it is given.
            name = f"canon-{digest[7:19]}"
            view = self._folder / name
            view.mkdir()
            (view / "blobs").symlink_to(layout.resolve() / "blobs")
            manifest = read_blob(layout, digest)
            media_type = json.loads(manifest)["mediaType"]
            write_index(view, [{"mediaType": media_type, "digest": digest, "size": len(manifest)}])
            self._images[digest] = self.call("pull", "--quiet", f"oci:{name}").strip()
        return self._images[digest]

    def command(self, layout: Path, digest: str, argv: tuple[str, ...], wish: Wish) -> Command:
        name = f"canon-{uuid.uuid4().hex[:12]}"
        command = [
            *self.prefix, "run", "--rm", f"--name={name}", "--network=host", f"--user={wish.uid}", "--cap-drop=all",
            "--security-opt=no-new-privileges", "--http-proxy=false", f"--timeout={LIFE}", "--log-driver=none", "--pull=never",
            f"--read-only={str(wish.read_only).lower()}", "--read-only-tmpfs=false",
            *(f"--tmpfs={each}:mode=1777" for each in wish.tmpfs), *(f"--env={key}={value}" for key, value in wish.env.items()),
            self.image(layout, digest), *argv,
        ]  # fmt: skip
        return Command(command, self.env, name)

    def kill(self, name: str, pid: int, how: signal.Signals) -> None:  # noqa: ARG002  the pid is podman's own
        wait_for(lambda: self.call("ps", "--quiet", f"--filter=name={name}").strip())
        self.call("kill", f"--signal={how.value}", name)

    def close(self) -> None:
        with contextlib.suppress(AssertionError):
            self.call("rm", "--all", "--force", "--time=0")
            self.call("rmi", "--all", "--force")
        # Its store is a mount of itself, which would keep the folder from being removed.
        subprocess.run(("umount", "--recursive", self._folder / "graph/overlay"), capture_output=True, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)


INSIDE = """
import json, os, subprocess, sys
root, upper, read_only, tmpfs, folder, uid, env, argv = json.loads(sys.argv[1])
def mount(*arguments): subprocess.run(("mount", *arguments), check=True)
mount("--make-rprivate", "/")
if read_only:
    mount("--bind", root, root)
    mount("-o", "remount,bind,ro", root)
else:
    mount("-t", "tmpfs", "tmpfs", upper)
    for name in ("upper", "work"): os.mkdir(f"{upper}/{name}")
    mount("-t", "overlay", "-o", f"lowerdir={root},upperdir={upper}/upper,workdir={upper}/work", "overlay", root)
for each in tmpfs: mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", root + each)
mount("-t", "proc", "proc", root + "/proc")
mount("--rbind", "/dev", root + "/dev")
os.chroot(root)
os.chdir(folder)
os.setgroups([])
os.setgid(0)  # what a container has whose user is a number alone
os.setuid(uid)
os.environ.clear()
os.environ.update(env)
os.execvp(argv[0], argv)
"""
"""What runs in namespaces of its own, and becomes the command."""


class Chroot:
    """The same by util-linux, as root, for machines where podman is missing or cannot work."""

    name = "chroot"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._roots: dict[str, Path] = {}

    def command(self, layout: Path, digest: str, argv: tuple[str, ...], wish: Wish) -> Command:
        name = f"canon-{uuid.uuid4().hex[:12]}"
        manifest = json.loads(read_blob(layout, digest))
        config = json.loads(read_blob(layout, manifest["config"]["digest"]))["config"]
        if digest not in self._roots:
            self._roots[digest] = self._folder / f"root-{digest[7:19]}"
            unpack(layout, [layer["digest"] for layer in manifest["layers"]], self._roots[digest])
        root, upper = self._roots[digest], self._folder / name
        upper.mkdir()
        for each in ("/proc", "/dev", *wish.tmpfs):
            (root / each.lstrip("/")).mkdir(parents=True, exist_ok=True)
        env = {**dict(line.split("=", 1) for line in config.get("Env", ())), "HOME": "/", **wish.env}
        command = (*config.get("Entrypoint", ()), *(argv or config.get("Cmd", ())))
        inside = json.dumps([
            str(root), str(upper), wish.read_only, wish.tmpfs, config.get("WorkingDir") or "/", wish.uid, env, command,
        ])  # fmt: skip
        return Command(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", sys.executable, "-c", INSIDE, inside],
            dict(os.environ), name,
        )  # fmt: skip

    def kill(self, name: str, pid: int, how: signal.Signals) -> None:  # noqa: ARG002  a process has no name
        # unshare waits and passes no signal on; its child is the command, as soon as it is no longer what sets it up.
        children = Path(f"/proc/{pid}/task/{pid}/children")
        child = wait_for(lambda: children.read_text().strip())
        wait_for(lambda: "x" if INSIDE.encode() not in Path(f"/proc/{child}/cmdline").read_bytes() else "")
        os.kill(int(child), how)

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def unpack(layout: Path, layers: list[str], root: Path) -> None:
    """Unpack layers over each other, as root: owners and modes as they are in the image."""
    root.mkdir()
    for digest in layers:
        blob = layout / "blobs" / digest.replace(":", "/", 1)
        with tarfile.open(blob) as tar:
            gone = [Path(name) for name in tar.getnames() if Path(name).name.startswith(".wh.")]
        assert not gone, f"{blob} deletes files of the layers below ({gone[0]}), which no image of these tests does"
        subprocess.run(("tar", "-C", root, "--keep-directory-symlink", "--numeric-owner", "-xpf", blob), check=True)


def choose_engine(folder: Path, layout: Path, digest: str) -> tuple[Engine | None, str]:
    """The first engine that runs `true` of an image that has a shell, and why the others do not; None where none does."""
    wanted = os.environ.get("CANON_TEST_CONTAINERS", "")
    makers: dict[str, Callable[[Path], Engine]] = {
        "podman": lambda place: Podman(place, "overlay"),
        "podman, without overlays": lambda place: Podman(place, "vfs"),
        "chroot": Chroot,
    }
    failures = []
    for name, make in makers.items():
        if not name.startswith(wanted):
            continue
        place = folder / name.partition(",")[0]
        place.mkdir()
        engine = make(place)
        try:
            Containers(engine, folder).run(layout, digest, "sh", "-c", "exit 0")
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            failures.append(f"{name}: {error}")
            engine.close()
        else:
            return engine, ""
    return None, "\n".join(failures)
