"""What the API server and the controller refuse of a pod when it is made: its node ends in Error, and nothing starts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from tests.harness.errors import HarnessError, NodeError

LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
QUANTITY = re.compile(r"(?P<number>[0-9]+(\.[0-9]*)?|\.[0-9]+)(?P<unit>[numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]+)?")
UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, **{unit: 1000.0 ** (n + 1) for n, unit in enumerate("kMGTPE")}, **{f"{unit}i": 1024.0 ** (n + 1) for n, unit in enumerate("KMGTPE")}}  # fmt: skip
MOST_BYTES = 128 * 1024
TOKEN = "exec-sa-token"
SECCOMP = ("RuntimeDefault", "Localhost")


@dataclass(frozen=True)
class Rules:
    """How namespace and controller are set up.

    ``restricted``: the namespace enforces the Pod Security Standard of this name. ``executor``: the controller's own containers, ``init`` and ``wait`` by default,
    ``supervisor`` where it is set to pods without init containers. ``secured``: the controller's settings give them a security context.
    """

    restricted: bool = True
    executor: Literal["init", "supervisor"] = "init"
    secured: bool = False


def check_pod(rules: Rules, name: str, template: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    """Raise NodeError with the message of the real one; HarnessError for a patch that the harness does not implement.

    ``template``, ``spec``: manifests with all names in their place.
    """
    _check_size(template)
    _check_account(template, spec)
    _check_labels(template, spec)
    executors = _executors(rules, template, spec)
    own = list(_containers(template))
    for each in own:
        _check_resources(each)
    if rules.restricted:
        security = template.get("securityContext") or spec.get("securityContext") or {}
        _check_restricted(name, security, [*own, *executors])


def _containers(template: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from template.get("initContainers") or ()
    if "container" in template:
        yield {**template["container"], "name": "main"}
    else:
        yield from template["containerSet"]["containers"]


def _check_size(template: Mapping[str, Any]) -> None:
    """A template with its inputs goes to the pod in a variable; a larger one would need a right that the controller's official role lacks."""
    if len(json.dumps(template)) > MOST_BYTES:
        raise NodeError(
            'configmaps is forbidden: User "system:serviceaccount:argo:argo" cannot create resource "configmaps"'
        )


def _check_account(template: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    mounted = template.get("automountServiceAccountToken", spec.get("automountServiceAccountToken"))
    executor = template.get("executor") or spec.get("executor") or {}
    if mounted is False and not executor.get("serviceAccountName"):
        raise NodeError("executor.serviceAccountName must not be empty if automountServiceAccountToken is false")


def _check_labels(template: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    for metadata in (spec.get("podMetadata"), template.get("metadata")):
        for key, value in ((metadata or {}).get("labels") or {}).items():
            if not LABEL.fullmatch(str(value)):
                raise NodeError(
                    f'metadata.labels: Invalid value: "{value}": {key}: a valid label has at most 63 characters, letters and digits at its ends'
                )


def _quantity(where: str, value: Any) -> float:
    found = QUANTITY.fullmatch(str(value))
    if found is None:
        raise NodeError(
            f"{where}: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$': {value!r}"
        )
    unit = found["unit"] or ""
    return float(found["number"]) * (UNITS[unit] if unit in UNITS else float(f"1{unit}"))


def _check_resources(container: Mapping[str, Any]) -> None:
    resources = container.get("resources") or {}
    limits = {
        name: _quantity(f"{container['name']} limits.{name}", value)
        for name, value in (resources.get("limits") or {}).items()
    }
    for name, value in (resources.get("requests") or {}).items():
        asked = _quantity(f"{container['name']} requests.{name}", value)
        if asked > limits.get(name, asked):
            raise NodeError(
                f'{container["name"]}.resources.requests: Invalid value: "{value}": must be less than or equal to {name} limit of {resources["limits"][name]}'
            )
        if "/" in name and limits.get(name) != asked:
            raise NodeError(
                f"{container['name']}.resources.limits: Required value: Limit must be set for non overcommitable resources ({name})"
            )


def _executors(rules: Rules, template: Mapping[str, Any], spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The executor's containers after the patches."""
    there = (
        {"initContainers": ["init"], "containers": ["wait"]}
        if rules.executor == "init"
        else {"initContainers": [], "containers": ["supervisor"]}
    )
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}} if rules.secured else {}
    found: dict[str, dict[str, Any]] = {
        name: {"name": name, "securityContext": context} for names in there.values() for name in names
    }
    missing = []
    for patch in (spec.get("podSpecPatch"), template.get("podSpecPatch")):
        for key, items in load_patch(patch).items():
            for each in items if key in {"initContainers", "containers"} else ():
                if each.get("name") in there.get(key, ()):
                    found[each["name"]].update(each)
                else:
                    missing.append(f"spec.{key}[{items.index(each)}].image: Required value")
    if missing:
        raise NodeError(f"Pod is invalid: {', '.join(missing)}")
    return list(found.values())


def load_patch(patch: str | None) -> Mapping[str, list[Mapping[str, Any]]]:
    """What a podSpecPatch says. Raises NodeError where it is no YAML, HarnessError for more than the executor's containers and its token."""
    if not patch:
        return {}
    try:
        found = yaml.safe_load(patch)
    except yaml.YAMLError as error:
        raise NodeError(f"Error applying PodSpecPatch: {error}") from None
    if not isinstance(found, dict):
        raise NodeError(f"Error applying PodSpecPatch: invalid JSON: {patch[:80]}")
    for key, items in found.items():
        volumes = key == "volumes" and all(each.get("name") == TOKEN for each in items)
        if key not in {"initContainers", "containers", "imagePullSecrets"} and not volumes:
            raise HarnessError(f"podSpecPatch: {key} is not implemented by the harness")
    return found


def _check_restricted(name: str, security: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]) -> None:
    """Pod Security Standard "restricted": https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted."""
    contexts = {each["name"]: each.get("securityContext") or {} for each in containers}
    wrong = []

    def check(what: str, must: str, names: list[str]) -> None:
        if names:
            quoted = ", ".join(f'"{each}"' for each in names)
            wrong.append(f"{what} (container{'s' * (len(names) > 1)} {quoted} must set {must})")

    check(
        "allowPrivilegeEscalation != false",
        "securityContext.allowPrivilegeEscalation=false",
        [each for each, context in contexts.items() if context.get("allowPrivilegeEscalation") is not False],
    )
    check(
        "unrestricted capabilities",
        'securityContext.capabilities.drop=["ALL"]',
        [
            each
            for each, context in contexts.items()
            if "ALL" not in (context.get("capabilities") or {}).get("drop", ())
        ],
    )
    check(
        "runAsNonRoot != true",
        "securityContext.runAsNonRoot=true",
        [
            each
            for each, context in contexts.items()
            if context.get("runAsNonRoot", security.get("runAsNonRoot")) is not True
        ],
    )
    check(
        "seccompProfile",
        'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"',
        [
            each
            for each, context in contexts.items()
            if (context.get("seccompProfile") or security.get("seccompProfile") or {}).get("type") not in SECCOMP
        ],
    )
    if wrong:
        raise NodeError(f'pods "{name}" is forbidden: violates PodSecurity "restricted:latest": {", ".join(wrong)}')
