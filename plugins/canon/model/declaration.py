"""The declaration of a pipeline: `pipelines/<name>.yaml`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from canon.model.definition import AnyStage, Artifact, DatasetDefinition, TopLevelPlot, Vars
from canon.model.delivery import Environment, EnvironmentImage, Serving, Triggers, Workflow
from canon.model.fields import DVC_FILE, Declared, DnsName, Flag, Name, RelativePath, Text

RESERVED_DATASETS = ("profile", "sources", "profiles")
"""Keys of the pins file that are no datasets."""
TRACK = "track"
"""Name of the generated last stage."""


def data_stage(dataset: str) -> str:
    """Name of the generated stage that brings a dataset."""
    return f"data-{dataset}"


class Dataset(Declared):
    """An input whose content is pinned."""

    path: RelativePath = Field(description="where the stages find it")
    from_: dict[Name, Text] = Field(
        alias="from", description="profile → source: a path, s3://, http(s)://", min_length=1
    )
    materialize: Flag = Field(
        default=True, description="false: the data stays where it is; stages read its URI from the pins file"
    )


class Declaration(Declared):
    """All that a person writes about a pipeline."""

    name: Annotated[DnsName, Field(max_length=40, description="the file's name, too")]
    description: str | None = None
    dvc_file: RelativePath = Field(default="dvc.yaml", description="the dvc.yaml that is generated", pattern=DVC_FILE)
    environment: EnvironmentImage | None = None
    data: dict[Name, Dataset] = Field(default_factory=dict)
    params: dict[Name, RelativePath] = Field(default_factory=dict, description="profile → overlay on the params files")
    vars: Vars | None = None
    stages: dict[str, AnyStage] = Field(min_length=1)
    metrics: tuple[RelativePath, ...] | None = None
    plots: tuple[TopLevelPlot, ...] | None = None
    parameters: tuple[RelativePath, ...] | None = Field(
        default=None, description="DVC's top-level `params`: files that `dvc params` shows"
    )
    artifacts: dict[str, Artifact] = Field(default_factory=dict)
    track: Flag = Field(default=True, description="false: no stage writes and logs the result")
    serving: Serving | None = None
    deploy: dict[DnsName, Environment] = Field(default_factory=dict)
    workflow: Workflow = Workflow()
    triggers: Triggers = Triggers()
    datasets: tuple[DatasetDefinition, ...] | None = Field(default=None, description="DVC's own `datasets` block")
