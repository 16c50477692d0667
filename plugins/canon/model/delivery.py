"""What serves the model, where it is deployed, and what starts a training in the cluster."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from canon.model.fields import (
    BRANCH,
    IMAGE,
    TIMEZONE,
    URL_PATH,
    Count,
    Declared,
    DnsName,
    Duration,
    Flag,
    Name,
    RelativePath,
    Text,
)
from canon.model.pod import Pod

CRON = r"^\S+(\s+\S+){4}$"
GATE = re.compile(
    r"^\s*(?:healthy\s+\d+(?:\.\d+)?[smhd]"
    r"|[A-Za-z_][\w./-]*\s*(?:<=|>=|==|<|>)\s*(?:[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?:\s*\*\s*[a-z][-a-z0-9]*\.[\w./-]+)?|[a-z][-a-z0-9]*\.[\w./-]+))\s*$"
)
"""A gate: ``metric OP number``, ``metric OP [number *] environment.metric``, or ``healthy DURATION``."""
_OTHER = re.compile(r"[<>=]\s*(?:\S+\s*\*\s*)?([a-z][-a-z0-9]*)\.")


def environment_of_gate(gate: str) -> str | None:
    """The environment whose metric a gate compares with; None for one that compares with a number, or asks for health."""
    found = _OTHER.search(gate)
    return found[1] if found else None


class Serving(Declared):
    """The service that answers with the model."""

    artifact: Name = Field(description="the artifact of this declaration that is baked into the image")
    cmd: Text | None = Field(
        default=None, description="the command; by default MLflow's scoring server, for a model in MLflow's format"
    )
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] = 8080
    health: Annotated[str, Field(pattern=URL_PATH)] = "/health"
    pod: Pod | None = None


class Sync(Declared):
    """How Argo CD follows the commits of an environment."""

    automated: Flag = Field(default=True, description="false: somebody syncs by hand")
    prune: Flag = Field(default=True, description="what is no longer in Git is deleted")
    self_heal: Flag = Field(default=True, description="what was changed in the cluster is changed back")


class Environment(Declared):
    """One place where the service is deployed."""

    namespace: DnsName
    replicas: Annotated[int, Field(strict=True, ge=0, le=1000)] = 1
    from_: DnsName | None = Field(
        default=None, alias="from", description="the environment that releases are promoted from"
    )
    profile: Name | None = Field(
        default=None,
        description="without `from`: the profile whose Workflows release here; by default that of `triggers.sync`, or the only one with a registry",
    )
    gates: tuple[Annotated[str, Field(pattern=GATE.pattern)], ...] = Field(
        default=(), description="conditions of a promotion"
    )
    sync: Sync = Sync()
    pod: Pod | None = None


class Workflow(Declared):
    """How the stages run as one Argo Workflow."""

    group: Literal["chain"] | None = Field(
        default=None, description="chain: linear chains of stages with equal pods share one pod"
    )
    parallelism: Annotated[int, Field(strict=True, ge=1)] | None = None
    ttl: Duration = "168h"
    archive_logs: Flag | None = None
    priority: Count | None = None


class Schedule(Declared):
    """A training at fixed times; datasets are pinned anew for it."""

    cron: Annotated[str, Field(pattern=CRON)]
    profile: Name
    timezone: Annotated[str, Field(pattern=TIMEZONE)] | None = None
    release: Flag = False


class Triggers(Declared):
    """What starts a training in the cluster."""

    sync: Name | None = Field(
        default=None, description="profile: each commit of the declared branch trains, started by Argo CD"
    )
    push: dict[Annotated[str, Field(pattern=BRANCH)], Name] | None = Field(
        default=None, description="pattern of branches → profile"
    )
    schedule: Schedule | None = None


class EnvironmentImage(Declared):
    """The software that the stages run in."""

    image: Annotated[str, Field(pattern=IMAGE)] | None = Field(default=None, description="the image, by digest")
    requirements: RelativePath | None = Field(default=None, description="the lock file of the Python environment")
    bytecode: Flag = False
