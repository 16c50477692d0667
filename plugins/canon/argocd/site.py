"""What Argo CD is told of one pipeline: where everything is, and how its objects are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from canon.model.cluster import application_name

SERVER = "https://kubernetes.default.svc"
"""The cluster that Argo CD itself runs in."""
WORKFLOW = "workflow"
"""The folder of the training, and its file in `applications/`."""


@dataclass(frozen=True, slots=True)
class Site:
    """One pipeline in one repository.

    ``releases``: the branch that releases are committed to. ``namespace``: Argo CD's own. ``training``: the namespaces that the pipeline is trained
    in, none where no profile has one; ``kinds``: what lies in its `workflow/`; ``synced``: whether each commit trains. ``environments``: name →
    namespace. ``pull_secrets``: name of an environment → the Secrets by which its pods' image is pulled.
    """

    pipeline: str
    git_url: str
    branch: str
    releases: str
    namespace: str
    training: tuple[str, ...]
    kinds: tuple[str, ...]
    synced: bool
    environments: Mapping[str, str]
    pull_secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where all of it lies, from the root."""
        return f"argo/{self.pipeline}"

    @property
    def project(self) -> str:
        """AppProject of the environments."""
        return self.pipeline

    @property
    def training_project(self) -> str:
        """AppProject of the training: a commit puts no Workflow into a namespace of a service."""
        return f"{self.pipeline}-training"

    @property
    def root(self) -> str:
        """The Application that holds all others, and its AppProject."""
        return f"{self.pipeline}-root"

    @property
    def releases_root(self) -> str | None:
        """The Application that holds those of the environments, where releases have a branch of their own."""
        return f"{self.pipeline}-releases" if self.releases != self.branch and self.environments else None

    @property
    def workflow(self) -> str:
        """The Application of the training."""
        return f"{self.pipeline}-{WORKFLOW}"

    def application(self, environment: str) -> str:
        """The Application of an environment."""
        return application_name(self.pipeline, environment)

    @property
    def applications(self) -> dict[str, tuple[str, str, str]]:
        """Name of each Application that may be there → the root that holds it, its AppProject, the namespace of its destination."""
        holder = self.releases_root or self.root
        found = {
            self.application(name): (holder, self.project, namespace)
            for name, namespace in sorted(self.environments.items())
        }
        return found | ({self.workflow: (self.root, self.training_project, self.training[0])} if self.training else {})
