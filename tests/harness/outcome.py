"""What the controller makes of a pod that has ended (workflow/controller/operator.go, inferFailedReason)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tests.harness.launch import Mount
from tests.harness.resolve import parameters

KILLED = (137, 143)
DEADLINE = "Pod was active on the node longer than the specified deadline"
DELETED = "pod deleted"


@dataclass(frozen=True)
class Outcome:
    """Phase, message, exit code of `main` if it ran, output parameters, and the exit codes of all containers."""

    phase: str
    message: str = ""
    exit_code: int | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, int] = field(default_factory=dict)


def judge(inits: Mapping[str, int], codes: Mapping[str, int], names: Sequence[str], waits: str) -> tuple[str, str]:
    """Phase and message by exit codes.

    ``inits``, ``codes``: of the containers that ended; ``names``: all but the init containers, in the order of the pod's status;
    ``waits``: why the executor could not read the outputs, or nothing. A failed init container comes first, then the containers, then the executor.
    """
    for name, code in inits.items():
        if code in KILLED:
            return "Error", f"Pod failed before {names[0]} container starts due to PodInitializing: "
        if code:
            return "Failed", f"{name}: Error (exit code {code})"
    for name in names:
        if codes.get(name):
            return "Failed", f"{name}: Error (exit code {codes[name]})"
    if waits:
        return "Error", f"wait: Error (exit code 64): {waits}"
    return "Succeeded", ""


def read_outputs(template: Mapping[str, Any], mounts: Sequence[Mount]) -> tuple[dict[str, str], str]:
    """Output parameters by name, and why they could not be read. One that cannot be read takes the others with it.

    ``mounts``: those of `main`, or of the whole set; the executor sees no others.
    """
    found: dict[str, str] = {}
    for each in parameters(template.get("outputs")):
        source = each["valueFrom"]
        path = _on_volume(PurePosixPath(source["path"]), mounts)
        try:
            found[each["name"]] = _read(path).removesuffix("\n")
        except OSError:
            if source.get("default") is None:
                return {}, f"open {source['path']}: no such file or directory"
            found[each["name"]] = str(source["default"])
    return found, ""


def _read(path: Path | None) -> str:
    """The text of a file. A link is not followed: it would lead to files of this machine."""
    if path is None or path.is_symlink():
        raise FileNotFoundError
    return path.read_text()


def _on_volume(path: PurePosixPath, mounts: Sequence[Mount]) -> Path | None:
    """Where a file of the container is on this machine; None where it is on no volume."""
    for mount in sorted(mounts, key=lambda each: -len(each.path)):
        if path.is_relative_to(mount.path):
            return mount.source / path.relative_to(mount.path)
    return None
