"""The settings of a project: `[tool.canon]` in pyproject.toml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from canon.model.fields import Declared, DnsName, Flag, Name, Text, Url


class Profile(Declared):
    """Where pipelines run: remote, services, namespace."""

    remote: Text | None = Field(default=None, description="a remote's name in .dvc/config")
    endpoint: Text | None = Field(
        default=None, description="S3 endpoint of the datasets' sources; AWS_ENDPOINT_URL goes first"
    )
    mlflow: Text | None = Field(default=None, description="tracking URI; MLFLOW_TRACKING_URI goes first")
    registry: Text | None = None
    namespace: DnsName | None = None
    argo: Url | None = Field(default=None, description="URL of Argo Server; --server and ARGO_SERVER go first")
    accept: Literal["pods", "any"] | None = Field(default=None, description="which run-cache entries are believed")

    @property
    def believed(self) -> Literal["pods", "any"]:
        """Which run-cache entries are believed: where images are baked those of pods, unless it is said."""
        return self.accept or ("pods" if self.registry else "any")


class Releases(Declared):
    """Where releases are committed."""

    branch: Text


class Git(Declared):
    """The repository that the cluster reads."""

    url: Text
    branch: Text = "main"
    releases: Releases | None = None


class ArgoCD(Declared):
    """Where Argo CD is."""

    namespace: DnsName = Field(default="argocd", description="of Argo CD itself, and of its Applications")


class Tracking(Declared):
    """How results are logged."""

    register_models: Flag = Field(
        default=True, description="false: artifacts of type `model` are logged, not registered"
    )


class Settings(Declared):
    """What belongs to the project, once."""

    default_profile: Name
    profiles: Annotated[dict[Name, Profile], Field(min_length=1)]
    git: Git | None = None
    tools_image: Text | None = None
    executor: Literal["patch", "supervisor", "none"] = "patch"
    argocd: ArgoCD = ArgoCD()
    tracking: Tracking = Tracking()
