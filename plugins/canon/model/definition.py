"""A stage as it is declared: DVC's own stage schema (dvc/schema.py), and what Argo needs beside it."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, Union

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from canon.model.fields import LIST, MAPPING, TEXT, Declared, Flag, RelativePath, Text, by_shape
from canon.model.pod import Pod


class OutFlags(Declared):
    """What DVC lets one say of an out."""

    desc: str | None = None
    type: str | None = None
    labels: tuple[str, ...] | None = None
    meta: Any = None
    cache: Flag | None = Field(default=None, description="false: DVC does not store the file; Git may")
    persist: Flag | None = Field(default=None, description="true: DVC does not remove the out before the stage runs")
    checkpoint: Flag | None = None
    remote: str | None = None
    push: Flag | None = None


class PlotFlags(OutFlags):
    """What DVC lets one say of an out that is a plot."""

    template: str | None = None
    x: str | None = None
    y: str | None = None
    x_label: str | None = None
    y_label: str | None = None
    title: str | None = None
    header: Flag | None = None


OneOrMorePlotFlags: TypeAlias = Annotated[
    Union[Annotated[PlotFlags, MAPPING], Annotated[tuple[PlotFlags, ...], LIST]], by_shape("<mapping>", "<list>")  # noqa: UP007  tags need Union
]  # fmt: skip
Out: TypeAlias = Annotated[
    Union[Annotated[RelativePath, TEXT], Annotated[dict[str, OutFlags], MAPPING]], by_shape("<text>", "<mapping>")  # noqa: UP007
]  # fmt: skip
Plot: TypeAlias = Annotated[
    Union[Annotated[RelativePath, TEXT], Annotated[dict[str, OneOrMorePlotFlags], MAPPING]], by_shape("<text>", "<mapping>")  # noqa: UP007
]  # fmt: skip
Param: TypeAlias = Annotated[
    Union[Annotated[Text, TEXT], Annotated[dict[str, tuple[str, ...] | None], MAPPING]], by_shape("<text>", "<mapping>")  # noqa: UP007
]  # fmt: skip
Command: TypeAlias = Annotated[
    Union[Annotated[Text, TEXT], Annotated[tuple[Text, ...], LIST]], by_shape("<text>", "<list>")  # noqa: UP007
]  # fmt: skip
Listed: TypeAlias = Annotated[
    Union[Annotated[list[Any], LIST], Annotated[str, TEXT]], by_shape("<list>", "<text>")  # noqa: UP007
]  # fmt: skip
Columns: TypeAlias = Annotated[
    Union[Annotated[str, TEXT], Annotated[list[str], LIST]], by_shape("<text>", "<list>")  # noqa: UP007
]  # fmt: skip
Vars: TypeAlias = tuple[
    Annotated[Union[Annotated[str, TEXT], Annotated[dict[str, Any], MAPPING]], by_shape("<text>", "<mapping>")], ...  # noqa: UP007
]  # fmt: skip


class StageDefinition(Declared):
    """One stage, or with ``matrix`` several. All but ``pod`` and ``environment`` is DVC's and goes to dvc.yaml as written."""

    cmd: Command = Field(description="the command, run by the shell in the repository's root (or `wdir`)")
    wdir: RelativePath | None = Field(default=None, description="folder that the command and its paths start from")
    deps: tuple[RelativePath, ...] | None = Field(
        default=None, description="files and folders that the stage reads, its code too"
    )
    params: tuple[Param, ...] | None = Field(
        default=None, description="keys of params files; a change runs the stage again"
    )
    vars: Vars | None = None
    outs: tuple[Out, ...] | None = Field(default=None, description="files and folders that the stage writes")
    metrics: tuple[Out, ...] | None = None
    plots: tuple[Plot, ...] | None = None
    frozen: Flag | None = None
    always_changed: Flag | None = None
    desc: str | None = None
    meta: Any = None
    matrix: dict[str, Listed] | None = Field(default=None, description="a stage for each combination of these values")
    pod: Pod | None = Field(default=None, description="how the stage runs as a pod; never changes DVC's hash")
    environment: Flag | None = Field(
        default=None, description="false: the stage does not depend on the pipeline's environment"
    )


class ForeachDefinition(Declared):
    """A stage for each item of a list or mapping."""

    foreach: Annotated[
        Union[Annotated[list[Any], LIST], Annotated[dict[Any, Any], MAPPING], Annotated[str, TEXT]], by_shape("<list>", "<mapping>", "<text>")  # noqa: UP007
    ]  # fmt: skip
    do: StageDefinition


def _kind(value: Any) -> str:  # noqa: ANN401  whatever YAML holds
    return "<foreach>" if isinstance(value, dict) and ("foreach" in value or "do" in value) else "<stage>"


AnyStage: TypeAlias = Annotated[
    Union[Annotated[StageDefinition, Tag("<stage>")], Annotated[ForeachDefinition, Tag("<foreach>")]],  # noqa: UP007
    Discriminator(_kind),
]


class PlotDefinition(Declared):
    """One of DVC's top-level plots."""

    x: Annotated[
        Union[Annotated[str, TEXT], Annotated[dict[str, str], MAPPING]], by_shape("<text>", "<mapping>")  # noqa: UP007
    ] | None = None  # fmt: skip
    y: Annotated[
        Union[Annotated[str, TEXT], Annotated[list[str], LIST], Annotated[dict[str, Columns], MAPPING]], by_shape("<text>", "<list>", "<mapping>")  # noqa: UP007
    ] | None = None  # fmt: skip
    x_label: str | None = None
    y_label: str | None = None
    title: str | None = None
    template: str | None = None


TopLevelPlot: TypeAlias = Annotated[
    Union[Annotated[RelativePath, TEXT], Annotated[dict[str, PlotDefinition | None], MAPPING]], by_shape("<text>", "<mapping>")  # noqa: UP007
]  # fmt: skip


class Artifact(Declared):
    """One of DVC's artifacts; of type `model` it is logged and registered in MLflow."""

    path: RelativePath
    desc: str | None = None
    type: str | None = None
    labels: tuple[str, ...] | None = None
    meta: Any = None


class DatasetDefinition(BaseModel):
    """One of DVC's own datasets: it knows further keys by type."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Text
    type: Text
