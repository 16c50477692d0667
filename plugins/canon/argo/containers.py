"""What the containers of a pod have in common: security, variables, Secrets, mounts and resources, as Hera's models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from canon.argo.site import Site
from canon.manifests.pods import RESTRICTED, SCRATCH, build_env, build_resources, quiet_variables
from canon.model import cluster
from canon.model.pod import Pod

WORK, PRIVATE, REGISTRY = "work", "private", "registry"
"""Names of volumes."""
MOUNTED = ("/canon", cluster.TMP, "/dev", "/var/run/argo", "/argo")
"""Where a user's volume would cover what Canon, Argo or the kernel mount."""
UID = 10001
"""One user for all containers of a pod: they share its volumes."""


def restricted() -> Any:  # noqa: ANN401  Hera's models are not typed here
    """The security context of every container."""
    from hera.workflows import models as m

    return m.SecurityContext.model_validate(RESTRICTED)


def tools_variables(site: Site) -> dict[str, str]:
    """Variables of every container that runs Canon beside the stages."""
    found = {
        **quiet_variables(),
        cluster.PROTOCOL_VARIABLE: str(cluster.PROTOCOL),
        cluster.PIPELINE_VARIABLE: site.pipeline,
        cluster.PROFILE_VARIABLE: site.profile,
        cluster.WORKFLOW_VARIABLE: "{{workflow.uid}}",
        cluster.DAG_VARIABLE: "",  # filled in by `canon.argo.dag.fill_in_hash`
        cluster.REMOTE_URL_VARIABLE: site.remote.url,
    }
    if site.remote.endpoint:
        found[cluster.REMOTE_ENDPOINT_VARIABLE] = site.remote.endpoint
    return found


def mlflow_variables(site: Site) -> dict[str, str]:
    """The address of the profile's MLflow server, if it has one."""
    return {"MLFLOW_TRACKING_URI": site.mlflow} if site.mlflow else {}


def git_variables(site: Site) -> dict[str, str]:
    """Where the code is fetched from, and the branches that it may be of."""
    return {cluster.GIT_URL_VARIABLE: site.git_url, cluster.GIT_BRANCHES_VARIABLE: "\n".join(site.branches)}


def release_variables(site: Site) -> dict[str, str]:
    """Where `deliver` releases to, if it does."""
    if not site.releases:
        return {}
    return {
        cluster.RELEASES_VARIABLE: "\n".join(site.releases),
        cluster.RELEASES_BRANCH_VARIABLE: site.releases_branch,
    }


def registry_variables(site: Site) -> dict[str, str]:
    """The profile's registry, if it has one, and where its credentials are mounted."""
    if site.registry is None:
        return {}
    return {cluster.REGISTRY_VARIABLE: site.registry, "REGISTRY_AUTH_FILE": cluster.REGISTRY_AUTH}


def variables(values: Mapping[str, str], pod: Pod | None = None) -> list[Any]:
    """A container's `env`; those of a stage's `pod` replace ours of the same name."""
    from hera.workflows import models as m

    return [m.EnvVar.model_validate(each) for each in build_env(values, pod)]


def credentials(site: Site, whats: Iterable[str], required: Iterable[str] = (), prefix: str | None = None) -> list[Any]:
    """A container's `envFrom`: Secrets of this pipeline and profile, which a cluster may do without, and the user's own."""
    from hera.workflows import models as m

    named = [(site.secret(what), True) for what in whats] + [(name, None) for name in required]
    return [
        m.EnvFromSource(prefix=prefix, secret_ref=m.SecretEnvSource(name=name, optional=optional))
        for name, optional in named
    ]


def mounts(**places: str) -> list[Any]:
    """A container's `volumeMounts`: name of a volume → place."""
    from hera.workflows import models as m

    return [m.VolumeMount(name=name, mount_path=place) for name, place in places.items()]


def shared_mounts() -> list[Any]:
    """The workspace and /tmp, which every container has."""
    return mounts(**{WORK: cluster.WORK, SCRATCH: cluster.TMP})


def empty_dir(name: str, size: str | None = None, medium: str | None = None) -> Any:  # noqa: ANN401  Hera's model
    """A volume that lives as long as its pod."""
    from hera.workflows import models as m

    return m.Volume(name=name, empty_dir=m.EmptyDirVolumeSource(size_limit=size, medium=medium))


def small(cpu: str, memory: str, limit: str) -> Any:  # noqa: ANN401  Hera's model
    """Resources of a container of ours: requests of the containers of a pod add up."""
    from hera.workflows import models as m

    return m.ResourceRequirements(requests={"cpu": cpu, "memory": memory}, limits={"memory": limit})


def resources(pod: Pod) -> Any:  # noqa: ANN401  Hera's model, or None
    """Resources of a stage's own container."""
    from hera.workflows import models as m

    return m.ResourceRequirements.model_validate(found) if (found := build_resources(pod)) else None
