"""How a stage runs as a pod. For Argo alone: nothing here changes DVC's hash."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, Union

from pydantic import Field

from canon.model.fields import (
    ABSOLUTE,
    MAPPING,
    NUMBER,
    TEXT,
    VARIABLE,
    Count,
    Declared,
    DnsName,
    Duration,
    Flag,
    Quantity,
    Text,
    by_shape,
)

Cpu: TypeAlias = Annotated[
    Union[Annotated[Quantity, TEXT], Annotated[float, NUMBER, Field(gt=0, strict=True, allow_inf_nan=False)]], by_shape("<text>", "<number>")  # noqa: UP007  tags need Union
]  # fmt: skip


class Gpu(Declared):
    """Accelerators of one kind."""

    count: Annotated[int, Field(strict=True, ge=1)] = 1
    resource: Text = Field(
        default="nvidia.com/gpu", description="the resource's name as the device plugin registers it"
    )


class Backoff(Declared):
    """The wait between two attempts."""

    duration: Duration = "10s"
    factor: Annotated[int, Field(strict=True, ge=1)] = 2
    max: Duration = "5m"


class Retries(Declared):
    """Further attempts after a fault of the infrastructure; a command that fails by itself is not repeated."""

    limit: Annotated[int, Field(strict=True, ge=0, le=100)] = 2
    backoff: Backoff = Backoff()


class Toleration(Declared):
    """A taint that the pod tolerates, in Kubernetes' words."""

    key: str | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    tolerationSeconds: Count | None = None  # noqa: N815  Kubernetes' own spelling


class SecretKey(Declared):
    """One key of a Secret."""

    secret: DnsName
    key: Text


class Volume(Declared):
    """A volume mounted into the stage's own container: exactly one source."""

    mount: Annotated[str, Field(pattern=ABSOLUTE)]
    claim: DnsName | None = Field(default=None, description="a PersistentVolumeClaim")
    secret: DnsName | None = None
    config_map: DnsName | None = None
    empty_dir: Quantity | None = Field(default=None, description="scratch space of this size")
    read_only: Flag = False


class Pod(Declared):
    """Resources and placement of the stage's own container."""

    cpu: Cpu | None = None
    memory: Quantity | None = None
    ephemeral_storage: Quantity | None = None
    shared_memory: Quantity | None = Field(default=None, description="size of /dev/shm")
    gpu: Annotated[
        Union[Annotated[int, NUMBER, Field(strict=True, ge=0)], Annotated[Gpu, MAPPING]], by_shape("<number>", "<mapping>")  # noqa: UP007
    ] | None = None  # fmt: skip
    retries: Annotated[
        Union[Annotated[int, NUMBER, Field(strict=True, ge=0, le=100)], Annotated[Retries, MAPPING]], by_shape("<number>", "<mapping>")  # noqa: UP007
    ] | None = None  # fmt: skip
    timeout: Duration | None = None
    node_selector: dict[str, str] | None = None
    tolerations: tuple[Toleration, ...] | None = None
    affinity: dict[str, Any] | None = Field(default=None, description="a Kubernetes Affinity")
    env: dict[Annotated[str, Field(pattern=VARIABLE)], str] | None = None
    env_from: tuple[DnsName, ...] | None = Field(default=None, description="Secrets whose keys become variables")
    secrets: dict[Annotated[str, Field(pattern=VARIABLE)], SecretKey] | None = None
    volumes: tuple[Volume, ...] | None = None
    image_pull_secrets: tuple[DnsName, ...] | None = None
    priority_class: DnsName | None = None
