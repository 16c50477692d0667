"""What limits a pipeline in a namespace: accounts, roles, a network policy. A platform engineer applies it; no commit widens its own cage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from canon.argo.site import Site
from canon.manifests.network import build_network_rules
from canon.model import cluster

RBAC = "rbac.authorization.k8s.io"
TOKEN = "kubernetes.io/service-account-token"  # noqa: S105  a type of Secrets


def build_platform(site: Site, events: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The manifests of a pipeline's namespace; ``events``: the templates that a push may start, by an account of its own."""
    manifests = [
        _object(site, "v1", "ServiceAccount", site.account(what))
        for what in cluster.ACCOUNTS
        if events or what != "events"
    ]
    # The executor says how a pod ended; nothing else in a pod talks to the API server.
    manifests += _granted(
        site, "executor", [{"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}]
    )  # fmt: skip
    if events:
        manifests += _granted(
            site,
            "events",
            [
                # Argo Server reads all of a namespace's bindings as the account that the webhook's secret stands for.
                {"apiGroups": ["argoproj.io"], "resources": ["workfloweventbindings"], "verbs": ["list"]},
                {
                    "apiGroups": ["argoproj.io"],
                    "resources": ["workflowtemplates"],
                    "resourceNames": [*events],
                    "verbs": ["get"],
                },
                {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["create"]},
            ],
        )
    return [*manifests, _network_policy(site)]


def _object(site: Site, version: str, kind: str, name: str) -> dict[str, Any]:
    labels = {cluster.PIPELINE_LABEL: site.pipeline}
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": site.namespace, "labels": labels},
    }


def _granted(site: Site, what: str, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A role, its binding to one account, and the token that Argo looks for by the account's name."""
    name = site.account(what)
    role = _object(site, f"{RBAC}/v1", "Role", name) | {"rules": rules}
    binding = _object(site, f"{RBAC}/v1", "RoleBinding", name) | {
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": site.namespace}],
    }
    token = _object(site, "v1", "Secret", f"{name}.service-account-token") | {"type": TOKEN}
    token["metadata"]["annotations"] = {"kubernetes.io/service-account.name": name}
    return [role, binding, token]


def _network_policy(site: Site) -> dict[str, Any]:
    rules = build_network_rules({cluster.PIPELINE_LABEL: site.pipeline})
    return _object(site, "networking.k8s.io/v1", "NetworkPolicy", f"canon-{site.pipeline}") | {"spec": rules}
