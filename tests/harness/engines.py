"""Which engine runs pods here: the chroot for root, else podman."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.harness.chroot import Chroot
from tests.harness.images import Image
from tests.harness.launch import Engine, Launch
from tests.harness.podman import PodmanEngine

ENGINES: dict[str, Callable[[Path], Engine]] = {
    "chroot": Chroot,
    "podman": lambda folder: PodmanEngine(folder, "overlay"),
    "podman, without overlays": lambda folder: PodmanEngine(folder, "vfs"),
}


def choose_engine(folder: Path, image: Image) -> tuple[Engine | None, str]:
    """The first engine that runs `true` of an image that has a shell, and why the others do not; None where none does."""
    wanted = os.environ.get("CANON_TEST_CONTAINERS", "")
    failures = []
    for name, make in ENGINES.items():
        if not name.startswith(wanted):
            continue
        log = folder / f"{name}.log"
        try:
            engine = make(folder)
            launch = Launch(
                image, ("sh", "-c", "exit 0"), image.env, "/", 10001, 10001, (), (), True, False, "trial", log
            )
            code = engine.start(launch).wait()
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            failures.append(f"{name}: {error}")
        else:
            if code == 0:
                return engine, ""
            engine.close()
            failures.append(f"{name} gave {code}: {log.read_text()}")
    return None, "\n".join(failures)
