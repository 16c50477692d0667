"""The admission policy that holds the root's Applications: who writes one may name any AppProject, and no AppProject forbids that.

A ValidatingAdmissionPolicy of Kubernetes 1.30 and newer, in CEL. An Application is the root's where Argo CD says so on it, by annotation or by label,
whatever the file says (util/argo/resource_tracking.go): `<root>:<group>/<kind>:<namespace>/<name>`.
"""

from __future__ import annotations

from typing import Any

from canon.argocd.objects import build_object, pipeline_labels
from canon.argocd.site import Site

ADMISSION = "admissionregistration.k8s.io/v1"
TRACKING, INSTANCE = "argocd.argoproj.io/tracking-id", "app.kubernetes.io/instance"


def build_policy(site: Site) -> list[dict[str, Any]]:
    """The policy and its binding. An Application that is as it was passes: Argo CD writes its status, and lets one go that is no longer declared."""
    called, labels = f"canon-{site.pipeline}-applications", pipeline_labels(site.pipeline)
    roots = ", ".join(f'"{root}"' for root in (site.root, site.releases_root) if root)
    rows = ",\n".join(f'  "{name}": "{" ".join(each)}"' for name, each in site.applications.items())
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": ["argoproj.io"],
                    "apiVersions": ["*"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["applications"],
                }
            ]
        },
        "variables": [
            {"name": "roots", "expression": f"[{roots}]"},
            {"name": "allowed", "expression": f"{{\n{rows}\n}}"},
            {"name": "holders", "expression": _holders("object")},
            {
                "name": "unchanged",
                "expression": "oldObject != null && object.spec == oldObject.spec && variables.holders ==\n"
                + _holders("oldObject"),
            },
        ],
        "validations": [
            {
                "expression": "variables.unchanged || variables.holders.all(root, object.metadata.name in variables.allowed &&\n"
                "  has(object.spec.destination.namespace) && variables.allowed[object.metadata.name] ==\n"
                '  root + " " + object.spec.project + " " + object.spec.destination.namespace)',
                "messageExpression": '"the Application " + object.metadata.name + " of the project " + object.spec.project + '
                f'", or its namespace, is none that the pipeline {site.pipeline} may have"',
                "message": f"the Application is none that the pipeline {site.pipeline} may have",
                "reason": "Forbidden",
            }
        ],
    }
    policy = build_object(ADMISSION, "ValidatingAdmissionPolicy", called, spec, labels=labels)
    bound = {"policyName": called, "validationActions": ["Deny"]}
    return [policy, build_object(ADMISSION, "ValidatingAdmissionPolicyBinding", called, bound, labels=labels)]


def _holders(holder: str) -> str:
    """The roots whose Application it is, in CEL: one, or none."""
    return (
        "variables.roots.filter(root,\n"
        f"  has({holder}.metadata.annotations) && {_in(holder, 'annotations', TRACKING)} &&\n"
        f'  {_of(holder, "annotations", TRACKING)}.startsWith(root + ":") ||\n'
        f"  has({holder}.metadata.labels) && {_in(holder, 'labels', INSTANCE)} && {_of(holder, 'labels', INSTANCE)} == root)"
    )


def _in(holder: str, kind: str, key: str) -> str:
    return f'"{key}" in {holder}.metadata.{kind}'


def _of(holder: str, kind: str, key: str) -> str:
    return f'{holder}.metadata.{kind}["{key}"]'
