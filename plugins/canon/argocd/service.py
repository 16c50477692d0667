"""What serves a released model in an environment: Deployment, Service, disruption budget, and what Kustomize makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from canon.argocd.objects import build_object, pipeline_labels, release_links
from canon.argocd.site import Site
from canon.manifests.network import build_network_rules
from canon.manifests.pods import (
    RESTRICTED,
    SCRATCH,
    build_env,
    build_mounts,
    build_resources,
    build_tolerations,
    build_volumes,
    pod_security,
    quiet_variables,
)
from canon.manifests.text import build_kustomization
from canon.model.cluster import ENVIRONMENT_LABEL, SERVING, TMP
from canon.model.delivery import Environment, Serving
from canon.model.pod import Pod
from canon.model.release import Release

UID = 65532
"""The user that the serving image runs as."""
PORT = 80
"""The Service's own: `http://<pipeline>.<namespace>`."""
HTTP = "http"
SPREAD = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
START = {"periodSeconds": 5, "failureThreshold": 60, "timeoutSeconds": 3}
"""A service may take five minutes to load its model."""
READY = {"periodSeconds": 5, "failureThreshold": 3, "timeoutSeconds": 3}
LIVE = {"periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 3}
DRAIN = {"preStop": {"sleep": {"seconds": 5}}}
"""Requests come until every node knows that a pod has gone."""
FILES = ("deployment.yaml", "service.yaml", "disruption-budget.yaml")


def merged_pod(serving: Serving, environment: Environment) -> Pod:
    """The pod of the service: each key that the environment says replaces the one of `serving`."""
    own, common = environment.pod or Pod(), serving.pod or Pod()
    return common.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})


def image_name(image: str) -> str:
    """An image's name without tag and digest."""
    name = image.partition("@")[0]
    host, slash, rest = name.rpartition("/")
    return f"{host}{slash}{rest.partition(':')[0]}"


def build_environment(
    site: Site, name: str, serving: Serving, environment: Environment, release: Release
) -> dict[str, dict[str, Any]]:
    """Names of files and the manifests in them. The Deployment has the image's name, the kustomization its digest."""
    labels = {
        **pipeline_labels(site.pipeline),
        ENVIRONMENT_LABEL: name,
    }
    build = partial(build_object, name=site.pipeline, namespace=environment.namespace, labels=labels)
    deployment, service, budget = FILES
    found = {
        deployment: build(
            "apps/v1",
            "Deployment",
            spec={
                "replicas": environment.replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": _pod_spec(image_name(release.image), serving, merged_pod(serving, environment), labels),
                },
            },
            annotations=_annotations(site, release),
        ),
        service: build(
            "v1",
            "Service",
            spec={"selector": labels, "ports": [{"name": HTTP, "port": PORT, "targetPort": HTTP}]},
        ),
    }
    if environment.replicas > 1:
        spec = {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": labels},
        }
        found[budget] = build("policy/v1", "PodDisruptionBudget", spec=spec)
    images = [{"name": image_name(release.image), "digest": release.digest}]
    return {"kustomization.yaml": build_kustomization([*found]) | {"images": images}, **found}


def build_network_policy(site: Site, name: str, serving: Serving) -> dict[str, Any]:
    """What limits the pods of an environment: they are asked at their port alone. Applied by hand, as all that no commit may change."""
    labels = {**pipeline_labels(site.pipeline), ENVIRONMENT_LABEL: name}
    return build_object(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        f"canon-{site.pipeline}",
        build_network_rules(labels, (serving.port,)),
        namespace=site.environments[name],
        labels=labels,
    )


def _annotations(site: Site, release: Release) -> dict[str, str]:
    """On the Deployment alone: on its pods they would start them anew where nothing of theirs has changed."""
    return {
        "canon.dev/release": str(release.number),
        "canon.dev/commit": release.commit,
        "canon.dev/data-hash": release.data_hash,
        "canon.dev/result": release.result,
        **release_links(site.git_url, release),
    }


def _pod_spec(image: str, serving: Serving, pod: Pod, labels: Mapping[str, str]) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # variables that other Services of the namespace would bring
        "securityContext": pod_security(UID),
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": dict(labels)},
            }
            for key in SPREAD
        ],
        "containers": [_container(image, serving, pod)],
        "volumes": [{"name": SCRATCH, "emptyDir": {}}, *build_volumes(pod)],
    }
    if pod.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in pod.image_pull_secrets]
    placed = {
        "nodeSelector": dict(pod.node_selector or {}),
        "tolerations": build_tolerations(pod),
        "affinity": pod.affinity,
        "priorityClassName": pod.priority_class,
    }
    return spec | {key: value for key, value in placed.items() if value}


def _container(image: str, serving: Serving, pod: Pod) -> dict[str, Any]:
    asked = {"httpGet": {"path": serving.health, "port": HTTP}}
    container: dict[str, Any] = {
        "name": SERVING,
        "image": image,
        "env": build_env(quiet_variables(), pod),
        "ports": [{"name": HTTP, "containerPort": serving.port}],
        "startupProbe": {**asked, **START},
        "readinessProbe": {**asked, **READY},
        "livenessProbe": {**asked, **LIVE},
        "lifecycle": DRAIN,
        "volumeMounts": [{"name": SCRATCH, "mountPath": TMP}, *build_mounts(pod)],
        "securityContext": dict(RESTRICTED),
    }
    if pod.env_from:
        container["envFrom"] = [{"secretRef": {"name": name}} for name in pod.env_from]
    resources = build_resources(pod)
    return container | ({"resources": resources} if resources else {})
