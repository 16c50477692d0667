"""A container of Canon's in a pod, as a command: `canon step` with the pod's folders below $CANON_TEST_POD, in place of those of a manifest.

`tests/preloaded.py` has it as `canon-pod`, and this file is it where that is not used.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path


def main() -> None:
    """Be `canon step` with the arguments of this command."""
    from canon.cli.main import main as canon
    from canon.steps import places

    top = Path(os.environ["CANON_TEST_POD"])
    own = places.Places(top / "src", top / "run", top / "private", top / "emissary")
    load = places.load_pod

    def load_pod(task: str, environ: Mapping[str, str] = os.environ) -> places.Pod:
        return dataclasses.replace(load(task, environ), places=own)

    places.load_pod = load_pod
    sys.argv[:] = ["canon", "step", *sys.argv[1:]]
    canon()


if __name__ == "__main__":
    main()
