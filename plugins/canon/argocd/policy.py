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
    name, labels = f"canon-{site.pipeline}-applications", pipeline_labels(site.pipeline)
    roots = ", ".join(f'"{root}"' for root in (site.root, site.releases_root) if root)
    rows = ",\n".join(
        f'  "{application}": "{project} {namespace}"' for application, (project, namespace) in site.applications.items()
    )
    place = 'object.spec.project + " " + object.spec.destination.?namespace.orValue("")'
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
            {"name": "tracked", "expression": _tracked("object")},
            {
                "name": "unchanged",
                "expression": f"oldObject != null && object.spec == oldObject.spec &&\n{_tracked('oldObject')}",
            },
        ],
        "validations": [
            {
                "expression": "!variables.tracked || variables.unchanged || (object.metadata.name in variables.allowed &&\n"
                f"  variables.allowed[object.metadata.name] == {place})",
                "messageExpression": f'"the Application " + object.metadata.name + " in project and namespace " + {place} + '
                f'" is none that the pipeline {site.pipeline} may have"',
                "message": f"the Application is none that the pipeline {site.pipeline} may have",
                "reason": "Forbidden",
            }
        ],
    }
    policy = build_object(ADMISSION, "ValidatingAdmissionPolicy", name, spec, labels=labels)
    bound = {"policyName": name, "validationActions": ["Deny"]}
    return [policy, build_object(ADMISSION, "ValidatingAdmissionPolicyBinding", name, bound, labels=labels)]


def _tracked(holder: str) -> str:
    return (
        "variables.roots.exists(root,\n"
        f'  {holder}.metadata.?annotations[?"{TRACKING}"].orValue("").startsWith(root + ":") ||\n'
        f'  {holder}.metadata.?labels[?"{INSTANCE}"].orValue("") == root)'
    )
