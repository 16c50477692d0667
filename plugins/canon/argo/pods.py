"""The pods of a Workflow as Hera's templates: `plan`, one for each shape of a stage's pod, `deliver`.

A stage's pod has the init container `code` and the containers `fetch`, `main` and `push`; each `->` waits for the one before::

    code (base image) -> fetch (tools) -> main (base image, the user's command)
                                       -> push (tools, waits for main's exit file)
"""

from __future__ import annotations

import math
import re
from typing import Any

from canon.argo.containers import (
    PRIVATE,
    REGISTRY,
    credentials,
    empty_dir,
    git_variables,
    mlflow_variables,
    mounts,
    registry_variables,
    release_variables,
    resources,
    restricted,
    shared_mounts,
    small,
    tools_variables,
    variables,
)
from canon.argo.site import Site
from canon.manifests.pods import build_mounts, build_tolerations, build_volumes, quiet_variables
from canon.model import cluster
from canon.model.pod import Pod, Retries

RETRY = (
    f"not (lastRetry.message contains 'deadline') and not (lastRetry.message startsWith 'push: Error (exit code {cluster.REFUSED})') and "
    "(lastRetry.status == 'Error' or "
    "not (lastRetry.message startsWith 'main: Error') or asInt(lastRetry.exitCode) in [137, 143])"
)
"""Tells faults of the infrastructure, which are worth another attempt, from a stage's own failure, outs of it that are refused, its deadline and a stop."""
RETRY_PLAN = "lastRetry.status == 'Error' or asInt(lastRetry.exitCode) in [137, 143]"
"""The same of `plan`: Argo calls a pod Failed whose only container was killed. What it refuses it would refuse again."""
TOOLS_COMMAND = [cluster.TOOLS_PYTHON, "-I", "-X", f"pycache_prefix={cluster.PRIVATE}/bytecode", "-m", "canon"]
"""Images hold no bytecode, and making it takes longer than all else that `push` does: it finds that of `fetch`, where no user's command could put any."""
TASK_PARAMETER = "{{inputs.parameters.task}}"
IMAGE_PARAMETER = "{{inputs.parameters.image}}"
COPY = f"mkdir -p {cluster.CODE} {cluster.RUN} && cp -R {cluster.IMAGE_CODE}/. {cluster.CODE}/"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_from_duration(text: str) -> int:
    """Whole seconds, rounded up, of a duration such as `1h30m`."""
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", text)
    return math.ceil(sum(float(number) * _SECONDS[unit] for number, unit in parts))


def build_plan(site: Site, *, is_scheduled: bool) -> Any:  # noqa: ANN401  Hera's models are not typed here
    """Fetches the revision, makes sure of the base image, and says which tasks run. ``is_scheduled``: it may have to pin datasets anew."""
    from hera import workflows as hera
    from hera.workflows import models as m

    asked = {
        cluster.REVISION_VARIABLE: cluster.REVISION,
        cluster.SET_VARIABLE: cluster.SET,
        cluster.FRESH_VARIABLE: cluster.FRESH,
    }
    env = {
        **tools_variables(site),
        **{name: as_it_is(f"workflow.parameters.{parameter}") for name, parameter in asked.items()},
        cluster.ACCEPT_VARIABLE: site.accept,
        **git_variables(site),
        **registry_variables(site),
    }
    secrets = credentials(site, ("remote", "git-read"))
    if is_scheduled:
        env[cluster.PIN_VARIABLE] = f"{{{{inputs.parameters.{cluster.PIN}}}}}"
        env[cluster.RELEASES_SCHEDULED_VARIABLE] = str(site.releases_scheduled).lower()
        secrets += credentials(site, ("data",), prefix=cluster.DATA_PREFIX)
    return hera.Container(
        name=cluster.PLAN,
        service_account_name=site.account("plan"),
        inputs=[hera.Parameter(name=cluster.PIN, value="false")] if is_scheduled else None,
        retry_strategy=_retries(Retries(), policy="Always", expression=RETRY_PLAN),
        outputs=[
            hera.Parameter(name=name, value_from=m.ValueFrom(path=f"{cluster.OUTPUTS}/{name}"))
            for name in (cluster.RUNS, cluster.IMAGE, cluster.DELIVERS)
        ]
        + [_told(cluster.REVISION), _told(cluster.COMMIT)],
        env_from=secrets,
        resources=small("100m", "256Mi", "1Gi"),
        **_tools_pod(site, env, "plan"),
    )


def as_it_is(name: str) -> str:
    """A parameter as a variable's value: a kubelet would put another variable, a Secret's too, in place of its `$(NAME)`."""
    return f"{{{{=replace({name}, '$', '$$')}}}}"


def build_deliver(site: Site) -> Any:  # noqa: ANN401
    """Makes the result known: experiment, image, MLflow. Each step is safe to repeat, so every failure is worth another attempt."""
    from hera import workflows as hera

    env = {
        **tools_variables(site),
        **git_variables(site),
        **registry_variables(site),
        **mlflow_variables(site),
        **release_variables(site),
        cluster.REVISION_VARIABLE: f"{{{{inputs.parameters.{cluster.REVISION}}}}}",
    }
    return hera.Container(
        name=cluster.DELIVER,
        inputs=[hera.Parameter(name=cluster.REVISION)],
        service_account_name=site.account("deliver"),
        retry_strategy=_retries(Retries(), policy="Always"),
        outputs=[
            _told(name) for name in (cluster.RESULT, cluster.EXPERIMENT, cluster.IMAGE, cluster.ROW, cluster.RELEASE)
        ],
        env_from=credentials(site, ("remote", "git-write", *(("mlflow",) if site.mlflow else ()))),
        resources=small("100m", "512Mi", "2Gi"),
        **_tools_pod(site, env, "deliver"),
    )


def _told(name: str) -> Any:  # noqa: ANN401
    """An output parameter that no pod has to have: empty where its file is missing."""
    from hera import workflows as hera
    from hera.workflows import models as m

    return hera.Parameter(name=name, value_from=m.ValueFrom(path=f"{cluster.OUTPUTS}/{name}", default=""))


def _tools_pod(site: Site, env: dict[str, str], step: str) -> dict[str, Any]:
    volumes, places = [empty_dir(PRIVATE)], {PRIVATE: cluster.PRIVATE}
    if site.registry:
        volumes.append(_registry_volume(site))
        places[REGISTRY] = cluster.REGISTRY_AUTH.rpartition("/")[0]
    return {
        "image": site.tools_image,
        "command": TOOLS_COMMAND,
        "args": ["step", step],
        "env": variables(env),
        "volumes": volumes,
        "volume_mounts": [*shared_mounts(), *mounts(**places)],
        "security_context": restricted(),
    }


def _registry_volume(site: Site) -> Any:  # noqa: ANN401
    from hera.workflows import models as m

    item = m.KeyToPath(key=".dockerconfigjson", path=cluster.REGISTRY_AUTH.rpartition("/")[2])
    secret = m.SecretVolumeSource(secret_name=site.secret("registry"), items=[item], optional=True)
    return m.Volume(name=REGISTRY, secret=secret)


def build_stage(site: Site, name: str, pod: Pod, *, is_data: bool) -> Any:  # noqa: ANN401
    """The pod of stages of one shape; which stage is its parameter. With ``is_data`` Canon itself brings a dataset there."""
    from hera import workflows as hera
    from hera.workflows import models as m

    retries = Retries(limit=pod.retries) if isinstance(pod.retries, int) else pod.retries or Retries()
    return hera.ContainerSet(
        name=name,
        inputs=[hera.Parameter(name=cluster.TASK), hera.Parameter(name=cluster.IMAGE)],
        labels={cluster.TASK_LABEL: TASK_PARAMETER},
        service_account_name=site.account("stage"),
        retry_strategy=_retries(retries, policy="Always", expression=RETRY) if retries.limit else None,
        active_deadline_seconds=seconds_from_duration(pod.timeout) if pod.timeout else None,
        node_selector=dict(pod.node_selector) if pod.node_selector else None,
        tolerations=[m.Toleration.model_validate(each) for each in build_tolerations(pod)] or None,
        priority_class_name=pod.priority_class,
        init_containers=[_code()],
        volumes=[empty_dir(PRIVATE), *(m.Volume.model_validate(each) for each in build_volumes(pod))],
        volume_mounts=shared_mounts(),
        containers=[_fetch(site), _main(site, pod, is_data=is_data), _push(site)],
    )  # fmt: skip


def _code() -> Any:  # noqa: ANN401
    from hera import workflows as hera

    return hera.UserContainer(
        name=cluster.CODE_CONTAINER,
        image=IMAGE_PARAMETER,
        command=["/bin/sh", "-c"],
        args=[COPY],
        env=variables(quiet_variables()),
        resources=small("50m", "64Mi", "256Mi"),
        volume_mounts=shared_mounts(),
        security_context=restricted(),
    )


def _beside(site: Site, name: str, command: str, depends: list[str] | None = None) -> Any:  # noqa: ANN401
    from hera import workflows as hera

    env = {
        **tools_variables(site),
        **({cluster.REGISTRY_VARIABLE: site.registry} if site.registry else {}),
    }
    return hera.ContainerNode(
        name=name,
        image=site.tools_image,
        command=TOOLS_COMMAND,
        args=["step", command, TASK_PARAMETER],
        dependencies=depends,
        env=variables(env),
        env_from=credentials(site, ("remote",)),
        resources=small("50m", "128Mi", "1Gi"),
        volume_mounts=mounts(**{PRIVATE: cluster.PRIVATE}),
        security_context=restricted(),
    )


def _fetch(site: Site) -> Any:  # noqa: ANN401
    return _beside(site, cluster.FETCH, "pull")


def _push(site: Site) -> Any:  # noqa: ANN401
    return _beside(site, cluster.PUSH, "push", [cluster.FETCH])


def _main(site: Site, pod: Pod, *, is_data: bool) -> Any:  # noqa: ANN401
    from hera import workflows as hera
    from hera.workflows import models as m

    env = {**quiet_variables(), **mlflow_variables(site)}
    whats = ("mlflow",) if site.mlflow else ()
    if is_data:
        env = {**quiet_variables(), **({"AWS_ENDPOINT_URL": site.endpoint} if site.endpoint else {})}
        whats = ("data",)
    return hera.ContainerNode(
        name=cluster.MAIN,
        image=site.tools_image if is_data else IMAGE_PARAMETER,
        command=["/bin/sh", cluster.SCRIPT],
        dependencies=[cluster.FETCH],
        env=variables(env, pod),
        env_from=credentials(site, whats, pod.env_from or ()) or None,
        resources=resources(pod),
        volume_mounts=[m.VolumeMount.model_validate(each) for each in build_mounts(pod)] or None,
        security_context=restricted(),
    )


def _retries(retries: Retries, *, policy: str, expression: str | None = None) -> Any:  # noqa: ANN401
    """``backoff.max`` is `cap`: Argo's `maxDuration` would end all attempts so long after the first one began."""
    from hera.workflows import models as m

    wait = retries.backoff
    return m.RetryStrategy(
        limit=str(retries.limit),
        retry_policy=policy,
        expression=expression,
        backoff=m.Backoff(duration=wait.duration, factor=str(wait.factor), cap=wait.max),
    )
