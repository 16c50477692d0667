"""Where a pipeline runs in a cluster: all that its manifests say of a profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from canon.model.cluster import account_name, secret_name, workflow_name


@dataclass(frozen=True, slots=True)
class Remote:
    """DVC's remote, as the committed `.dvc/config` has it."""

    url: str
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """One pipeline in one profile's namespace.

    ``branches``: patterns of the branches that it may run, that of the releases first. ``endpoint``: S3 server of the datasets' sources.
    ``releases``: environments that `deliver` releases to, by commits on ``releases_branch``, and whether it does after what the clock has started.
    """

    pipeline: str
    profile: str
    namespace: str
    tools_image: str
    executor: Literal["patch", "supervisor", "none"]
    git_url: str
    branches: tuple[str, ...]
    remote: Remote
    endpoint: str | None = None
    mlflow: str | None = None
    registry: str | None = None
    accept: Literal["pods", "any"] = "pods"
    releases: tuple[str, ...] = ()
    releases_branch: str = ""
    releases_scheduled: bool = False

    @property
    def name(self) -> str:
        """Name of the WorkflowTemplate, and of what starts it."""
        return workflow_name(self.pipeline, self.profile)

    def secret(self, what: str) -> str:
        """Name of the Secret for one of `cluster.SECRETS`."""
        return secret_name(self.pipeline, self.profile, what)

    def account(self, what: str) -> str:
        """Name of the ServiceAccount for one of `cluster.ACCOUNTS`."""
        return account_name(self.pipeline, what)
