"""Containers by podman, for machines where the tests are not run by root; some 0.5 s each."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
import uuid
from pathlib import Path

from tests.containers import LIFE, Podman
from tests.harness.errors import HarnessError
from tests.harness.launch import EMISSARY_FAILED, Launch

TICK = 0.01


class PodmanEngine:
    """Starts containers by a podman with a store of its own below a folder. ``driver``: how it stores layers."""

    def __init__(self, folder: Path, driver: str) -> None:
        place = folder / f"podman-{driver}"
        place.mkdir()
        self._podman = Podman(place, driver)
        self._place = place
        self._lock = threading.Lock()

    def start(self, launch: Launch) -> PodmanProcess:
        """Start a container; return when its command runs, or could not be started."""
        if launch.image.layout is None:
            raise HarnessError(
                "podman runs no image that is unpacked already: CANON_TEST_CONTAINERS=chroot does, as root"
            )
        with self._lock:
            image = self._podman.image(launch.image.layout, launch.image.digest)
        pid = self._place / f"{uuid.uuid4().hex}.pid"
        options = {
            "pidfile": str(pid),
            "hostname": launch.hostname,
            "user": f"{launch.uid}:{launch.gid}",
            "workdir": launch.folder,
            "entrypoint": "",
            "timeout": str(LIFE),
            "read-only": str(launch.read_only).lower(),
        }
        command = [
            *self._podman.prefix, "run", "--rm", "--pull=never", "--log-driver=none", "--network=host", "--cap-drop=all",
            # Process 1 would be deaf to a TERM that it does not handle; the executor's child is not.
            "--pid=host", "--http-proxy=false", "--read-only-tmpfs=false", "--unsetenv-all",
            *(f"--{name}={value}" for name, value in options.items()),
            *(f"--group-add={group}" for group in launch.groups),
            *(() if launch.may_gain else ("--security-opt=no-new-privileges",)),
            *(f"--volume={each.source}:{each.path}:{'ro' if each.read_only else 'rw'}" for each in launch.mounts),
            *(f"--env={name}={value}" for name, value in launch.env.items()),
            image, *launch.argv,
        ]  # fmt: skip
        with launch.log.open("ab") as log:
            process = subprocess.Popen(
                command, env=self._podman.env, cwd=self._place, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        while not (pid.exists() and pid.read_text()) and process.poll() is None:
            time.sleep(TICK)
        return PodmanProcess(self._podman, process, pid)

    def close(self) -> None:
        """Remove what was unpacked."""
        self._podman.close()


class PodmanProcess:
    """A command in a container of podman's."""

    def __init__(self, podman: Podman, process: subprocess.Popen[bytes], pid: Path) -> None:
        self._podman, self._process = podman, process
        self._killed: signal.Signals | None = None
        self._pid = int(pid.read_text()) if pid.exists() and pid.read_text() else None

    def wait(self) -> int:
        code = self._process.wait()
        if self._pid is None:
            return EMISSARY_FAILED
        # Podman's own codes: it had not attached to the container yet.
        if code in {125, 126, 127} and self._killed is not None:
            return 128 + self._killed
        return code if code >= 0 else 128 - code

    def kill(self, how: signal.Signals) -> None:
        self._killed = self._killed or how
        if self._pid is None or self._process.poll() is not None:
            return
        if os.geteuid() == 0:
            with contextlib.suppress(OSError):
                os.killpg(self._pid, how)
        else:
            # The processes are of users of podman's own namespace.
            command = (*self._podman.prefix, "unshare", "kill", f"-{how.value}", "--", f"-{self._pid}")
            subprocess.run(command, env=self._podman.env, capture_output=True, check=False)
