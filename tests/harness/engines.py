"""Which engine runs pods here: the chroot for root, else podman."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.harness.chroot import Chroot
from tests.harness.images import Image
from tests.harness.launch import Engine, Launch

ENGINES: dict[str, Callable[[Path], Engine]] = {"chroot": Chroot}


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
        except OSError as error:
            failures.append(f"{name}: {error}")
        else:
            if code == 0:
                return engine, ""
            failures.append(f"{name} gave {code}: {log.read_text()}")
    return None, "\n".join(failures)
