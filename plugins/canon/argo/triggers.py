"""What starts a Workflow in the cluster: a CronWorkflow by the clock, a WorkflowEventBinding by a push, a Workflow by Argo CD at each commit.

The binding is for Argo Server's own event endpoint, which checks the webhook's secret (Argo's docs/events.md and docs/webhooks.md). Its selector
is in the expression language expr-lang, in which a key that is missing is nil; a header is a list of texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from canon.argo.annotations import description_annotation, description_expression
from canon.argo.dag import SCHEDULED
from canon.argo.site import Site
from canon.model import cluster
from canon.model.branches import regex_from_branch
from canon.model.delivery import Schedule
from canon.model.errors import CanonError

PUSHES = (
    ("x-github-event", "push"),
    ("x-gitea-event", "push"),
    ("x-forgejo-event", "push"),
    ("x-gitlab-event", "Push Hook"),
)
"""The header by which a forge says that somebody pushed to a branch: no pull request, tag or comment does."""
ADDRESSES = (
    "payload.repository?.clone_url",
    "payload.repository?.ssh_url",
    "payload.project?.git_http_url",
    "payload.project?.git_ssh_url",
)
"""Where the payload of a forge has the address of the repository that was pushed to: a fork has another one."""
PUSHED = "payload.after"
"""The commit that a branch has now; the selector looks that it is one."""
AFTER_THE_TEMPLATE = {"argocd.argoproj.io/sync-wave": "1"}
"""The controller looks at a schedule when it comes, and where it finds no template for it, not again within 20 minutes."""
SYNCED = f"{{{{workflow.annotations.{cluster.REVISION_ANNOTATION}}}}}"
"""The commit that Argo CD synced, which its Application writes there."""
_HOST = r"(?:[^@/]+@)?(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)"
_PATH = r"/?(?P<path>[A-Za-z0-9._~+-][A-Za-z0-9._~+/-]*?)(?:[.]git)?/?"
_BY_SCHEME = re.compile(rf"(?:https?|ssh)://{_HOST}(?::[0-9]+)?/{_PATH}")
_AS_SCP = re.compile(f"{_HOST}:{_PATH}")


def build_schedule(site: Site, schedule: Schedule, description: str = "") -> dict[str, Any]:
    """The manifest of a CronWorkflow. Two runs at once would only wait for each other's mutex.

    It enters by a template of its own, which pins the datasets anew: with an argument everybody who may start a workflow could.
    """
    from hera import workflows as hera
    from hera.workflows import models as m

    manifest: dict[str, Any] = hera.CronWorkflow(
        name=site.name,
        namespace=site.namespace,
        labels={cluster.PIPELINE_LABEL: site.pipeline, cluster.PROFILE_LABEL: site.profile},
        annotations=AFTER_THE_TEMPLATE,
        schedules=[" ".join(schedule.cron.split())],
        timezone=schedule.timezone,
        concurrency_policy="Forbid",
        entrypoint=SCHEDULED,
        workflow_template_ref=m.WorkflowTemplateRef(name=site.name),
        arguments=[hera.Parameter(name=cluster.REVISION, value="")],
    ).to_dict()
    if described := description_annotation(site, description):  # Hera would give it to the CronWorkflow
        manifest["spec"]["workflowMetadata"] = {"annotations": described}
    return manifest


def build_sync(site: Site, description: str = "") -> dict[str, Any]:
    """The manifest of the Workflow that Argo CD makes anew after each sync (its docs/user-guide/sync-waves.md): it trains the commit that was synced.

    Within a wave custom kinds are applied by name, so that one of its own keeps it behind its template. The one before is deleted first: the name
    is fixed, because Kustomize takes no `generateName`, and no other Workflow has it: what Argo adds to a name begins with other letters than `sync`
    (five of those without vowels, or digits).
    """
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "name": f"{site.name}-sync",
            "namespace": site.namespace,
            "labels": {cluster.PIPELINE_LABEL: site.pipeline, cluster.PROFILE_LABEL: site.profile},
            "annotations": {
                "argocd.argoproj.io/hook": "Sync",
                "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
                **AFTER_THE_TEMPLATE,
                **description_annotation(site, description),
            },
        },
        "spec": {
            "workflowTemplateRef": {"name": site.name},
            "arguments": {"parameters": [{"name": cluster.REVISION, "value": SYNCED}]},
        },
    }


def build_push(site: Site, patterns: Sequence[str], description: str = "") -> dict[str, Any]:
    """The manifest of a WorkflowEventBinding for pushes to branches of these patterns. Raises CanonError for a URL of no known form."""
    from hera.workflows import models as m

    described = description_expression(site, description, PUSHED)
    binding = m.WorkflowEventBinding(
        api_version="argoproj.io/v1alpha1",
        kind="WorkflowEventBinding",
        metadata=m.ObjectMeta(
            name=site.name,
            namespace=site.namespace,
            labels={cluster.PIPELINE_LABEL: site.pipeline, cluster.PROFILE_LABEL: site.profile},
        ),
        spec=m.WorkflowEventBindingSpec(
            event=m.Event(selector=format_selector(site.pipeline, site.git_url, patterns)),
            submit=m.Submit(
                metadata=m.ObjectMeta(annotations=described) if described else None,
                workflow_template_ref=m.WorkflowTemplateRef(name=site.name),
                arguments=m.Arguments(
                    parameters=[m.Parameter(name=cluster.REVISION, value_from=m.ValueFrom(event=PUSHED))]
                ),
            ),
        ),
    )
    manifest: dict[str, Any] = binding.model_dump(by_alias=True, exclude_none=True)
    return manifest


def format_selector(pipeline: str, url: str, patterns: Sequence[str]) -> str:
    """The expression that is true for a push to one of the branches of the repository, and false for everything else.

    The discriminator is the last part of the address that the webhook calls. Argo Server asks all bindings of the namespace as the account of one
    webhook, and those of another pipeline would fail: that account may not read their templates.
    Raises CanonError for a URL of no known form.
    """
    events = " || ".join(f'metadata["{header}"] == ["{event}"]' for header, event in PUSHES)
    repository = f'"^{regex_from_url(url)}$"'
    addresses = " || ".join(f'({address} ?? "") matches {repository}' for address in ADDRESSES)
    refs = "|".join(regex_from_branch(pattern) for pattern in patterns)
    return "\n&& ".join(
        (
            f'discriminator == "{pipeline}"',
            f"({events})",
            f"({addresses})",
            f'(payload.ref ?? "") matches "^refs/heads/({refs})$"',
            # A branch that was deleted has a commit of zeros.
            '(payload.after ?? "") matches "^[0-9a-f]{40}$"',
            '(payload.after ?? "") matches "[1-9a-f]"',
        )
    )


def regex_from_url(url: str) -> str:
    """A regular expression for a repository's addresses, by http, https and ssh, with `.git` or without. Raises CanonError."""
    found = _BY_SCHEME.fullmatch(url) or _AS_SCP.fullmatch(url)
    if found is None:
        raise CanonError(
            f"pyproject.toml: tool.canon.git.url: {url!r} is no address that a forge names in its webhooks, which `triggers.push` needs; "
            "write https://HOST/PATH.git, ssh://git@HOST/PATH.git or git@HOST:PATH.git"
        )
    host, path = (re.sub(r"[.+]", r"[\g<0>]", found[key]) for key in ("host", "path"))
    return f"(https?://|ssh://([^@/]+@)?|[^@/]+@){host}(:[0-9]+)?[:/]{path}([.]git)?"
