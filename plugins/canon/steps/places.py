"""Where the containers of a pod meet: folders that they share, and files by which they wait for each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from canon.model import cluster
from canon.model.errors import CanonError
from canon.output.files import write_bytes


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of a pod. ``main`` writes in all but ``private``: nothing there is believed."""

    code: Path = Path(cluster.CODE)
    run: Path = Path(cluster.RUN)
    private: Path = Path(cluster.PRIVATE)
    emissary: Path = Path("/var/run/argo/ctr")
    """Where Argo's executor leaves the exit codes of a pod's containers."""

    @property
    def script(self) -> Path:
        """What `main` runs."""
        return self.run / Path(cluster.SCRIPT).name

    def exit_file(self, number: int) -> Path:
        """Where `main` writes the exit code of a task's stage, counted from 0."""
        return self.run / f"{number}.exit"

    def go_file(self, number: int) -> Path:
        """What `push` says of the next stage: `run` or `hit`, or `refused` of the one before."""
        return self.run / f"{number}.go"


@dataclass(frozen=True, slots=True)
class Pod:
    """Which pod this is, by the variables of its manifest."""

    workflow: str
    task: str
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    places: Places = Places()


def load_pod(task: str, environ: Mapping[str, str] = os.environ) -> Pod:
    """The pod that this runs in. Raises CanonError for variables that are missing, and for a template of another protocol."""
    protocol = environ.get(cluster.PROTOCOL_VARIABLE)
    if protocol is None:
        raise CanonError(
            f"{cluster.PROTOCOL_VARIABLE} is not set: this runs in a pod of a Workflow that `canon render` made"
        )
    if protocol != str(cluster.PROTOCOL):
        raise CanonError(
            f"the template speaks protocol {protocol}, and the tools image protocol {cluster.PROTOCOL}; render it with the Canon of"
            " that image, or name another `tools_image`"
        )
    workflow = environ.get(cluster.WORKFLOW_VARIABLE)
    if not workflow:
        raise CanonError(f"{cluster.WORKFLOW_VARIABLE} is not set: the template is not one that `canon render` made")
    return Pod(workflow, task, dict(environ))


def write_outputs(places: Places, values: Mapping[str, str]) -> None:
    """Write output parameters, each at once: Argo reads the files of a pod that was killed, too."""
    for name, text in values.items():
        write_bytes(places.private / Path(cluster.OUTPUTS).name / name, text.encode())


def say_go(places: Places, number: int, word: str) -> None:
    """Let `main` go on."""
    write_bytes(places.go_file(number), f"{word}\n".encode())
