"""Kustomize, as Argo CD's repository server runs it: its own program, which `.ci/run` installs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

VERSION = "v5.8.1"


def find_kustomize() -> str:
    """Where the program is: CANON_TEST_KUSTOMIZE, or on PATH. Skips the test where there is none."""
    found = os.environ.get("CANON_TEST_KUSTOMIZE") or shutil.which("kustomize")
    if not found:
        pytest.skip(
            "there is no kustomize; .ci/run installs it, "
            f"or `go install sigs.k8s.io/kustomize/kustomize/v5@{VERSION}` with its folder on PATH"
        )
    return found


def build(folder: Path) -> list[dict[str, Any]]:
    """What `kustomize build` makes of a folder."""
    done = subprocess.run((find_kustomize(), "build", folder), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [each for each in yaml.safe_load_all(done.stdout) if each]
