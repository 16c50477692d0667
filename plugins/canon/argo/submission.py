"""Workflows as they are submitted: one that refers to the template in the cluster, or one that holds all that a template would. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from canon.argo.annotations import description_annotation
from canon.argo.site import Site
from canon.model import cluster
from canon.model.errors import CanonError

LARGEST_SET = 96 * 1024
"""Bytes of `set`: it is a variable of `plan`, and Linux takes 128 KiB."""
REFERENCE_MODE = "must use workflowTemplateRef"
"""What the controller says where it is set to `templateReferencing: Strict` or `Secure` (workflow/controller/operator.go)."""


def check_parameters(parameters: Mapping[str, str]) -> None:
    """Raise CanonError for params that `plan` could not be started with."""
    size = len(parameters.get(cluster.SET, ""))
    if size > LARGEST_SET:
        raise CanonError(
            f"the params have {size:,} bytes as a workflow's parameter, which may have {LARGEST_SET:,}; commit them to a params file of the branch"
        )


def build_reference(site: Site, parameters: Mapping[str, str], description: str = "") -> dict[str, Any]:
    """A Workflow of the site's template: arguments and nothing else, which a cluster with `templateReferencing: Strict` takes, too.

    ``description``: the declared one, to which links are added.
    """
    return {
        **_head(site, description_annotation(site, description, parameters.get(cluster.REVISION))),
        "spec": {"workflowTemplateRef": {"name": site.name}, "arguments": _arguments(parameters)},
    }


def build_own(
    site: Site, template: Mapping[str, Any], parameters: Mapping[str, str], description: str = ""
) -> dict[str, Any]:
    """A Workflow with the spec of a WorkflowTemplate's manifest, for which nothing has to be in the cluster; ``description``: as declared."""
    spec = dict(template["spec"])
    declared = {each["name"]: each for each in spec["arguments"]["parameters"]}
    given = [{**each, "value": parameters.get(name, each.get("value", ""))} for name, each in declared.items()]
    unknown = parameters.keys() - declared.keys()
    if unknown:
        raise CanonError(f"the template of {site.name} has no parameter `{min(unknown)}`")
    spec["arguments"] = {"parameters": given}
    described = description_annotation(site, description, parameters.get(cluster.REVISION))
    return {**_head(site, {**(template["metadata"].get("annotations") or {}), **described}), "spec": spec}


def dag_of_template(template: Mapping[str, Any]) -> str | None:
    """The hash of the graph that a WorkflowTemplate was rendered from; None where it is none of Canon's."""
    for each in (template.get("spec") or {}).get("templates") or ():
        if each.get("name") == cluster.PLAN:
            for variable in (each.get("container") or {}).get("env") or ():
                if variable.get("name") == cluster.DAG_VARIABLE:
                    return str(variable.get("value") or "") or None
    return None


def _head(site: Site, annotations: Mapping[str, str]) -> dict[str, Any]:
    labels = {cluster.PIPELINE_LABEL: site.pipeline, cluster.PROFILE_LABEL: site.profile}
    metadata: dict[str, Any] = {"generateName": f"{site.name}-", "namespace": site.namespace, "labels": labels}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata}


def _arguments(parameters: Mapping[str, str]) -> dict[str, Any]:
    return {"parameters": [{"name": name, "value": value} for name, value in parameters.items()]}
