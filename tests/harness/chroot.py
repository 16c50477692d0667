"""Containers by the kernel's namespaces and a chroot: for root, some 50 ms each. See inside.py for what one sees."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests.harness.launch import EMISSARY_FAILED, Launch

INSIDE = Path(__file__).with_name("inside.py")
HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
RESOLVE = Path("/etc/resolv.conf")


class Chroot:
    """Starts containers below a folder."""

    def __init__(self, folder: Path) -> None:
        self._place = folder / "place"
        self._place.mkdir()

    def start(self, launch: Launch) -> ChrootProcess:
        """Start a container; return when its command runs, or could not be started."""
        said, says = os.pipe()
        spec = {
            "report": says,
            "place": str(self._place),
            "image": str(launch.image.root),
            "files": {
                "/etc/hosts": f"{HOSTS}127.0.0.1\t{launch.hostname}\n",
                "/etc/hostname": f"{launch.hostname}\n",
                **({"/etc/resolv.conf": RESOLVE.read_text()} if RESOLVE.exists() else {}),
            },
            "mounts": [(str(each.source), each.path, each.read_only) for each in launch.mounts],
            "read_only": launch.read_only,
            "folder": launch.folder,
            "argv": launch.argv,
            "env": dict(launch.env),
            "uid": launch.uid,
            "gid": launch.gid,
            "groups": launch.groups,
            "may_gain": launch.may_gain,
            "hostname": launch.hostname,
        }
        # In a thread that lives as long as the process: the kernel kills a child with the thread that made it (PR_SET_PDEATHSIG).
        with launch.log.open("ab") as log, os.fdopen(said, "rb") as answer:
            process = ChrootProcess(says, log.fileno())
            process.give(json.dumps(spec).encode())
            failure = answer.read().decode(errors="replace")
            if failure:
                log.write(f"{failure}\n".encode())
        process.failed = bool(failure)
        return process

    def close(self) -> None:
        """Nothing is left: what was mounted went with its process."""


class ChrootProcess:
    """A command in a container; its group gets the signals. ``failed``: it was never started."""

    failed = False

    def __init__(self, says: int, log: int) -> None:
        self._process = subprocess.Popen(
            (sys.executable, "-I", "-S", INSIDE), stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=(says,), env={"PATH": os.defpath}
        )  # fmt: skip
        os.close(says)
        self._ended = threading.Event()

    def give(self, content: bytes) -> None:
        """Say what to do."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(content)
            self._process.stdin.close()

    def wait(self) -> int:
        code = self._process.wait()
        self._ended.set()
        return EMISSARY_FAILED if self.failed else code if code >= 0 else 128 - code

    def kill(self, how: signal.Signals) -> None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            first = _child(self._process.pid)
            command = _child(first)
            if not self._ended.is_set():
                os.killpg(command, how)


def _child(pid: int) -> int:
    """The first child of a process. Raises OSError or IndexError where there is none."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
