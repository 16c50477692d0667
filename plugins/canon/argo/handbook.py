"""`platform/README.md`: what a platform engineer makes and sets by hand, because no commit may."""

from __future__ import annotations

from collections.abc import Sequence

from canon.argo.site import Site
from canon.model import cluster
from canon.output.files import MARK

_HEAD = """\
{mark}{source} and pyproject.toml: change those, not this one.

What limits the pipeline `{pipeline}` in the cluster. It is applied by hand, so that no commit widens its own cage:

```sh
{apply}
```

[argocd.md](argocd.md) says what Argo CD needs, and in which order all of it is applied.

## Secrets

A pod takes those that are there: what needs no credentials, or has them by workload identity, needs no Secret. Each may hold further variables
of its tool. Written is what is usual; put your own values in place of the capitals.
"""
_REMOTE = """\
- `{name}`: DVC's remote, {url}; plan, fetch, push and deliver have it, the user's command never. An account that may read, list and write
  below that address alone, and delete below `canon/` and `runs/` there.

  ```sh
  kubectl -n {namespace} create secret generic {name} --from-literal=AWS_ACCESS_KEY_ID=ID --from-literal=AWS_SECRET_ACCESS_KEY=KEY
  ```
"""
_DATA = """\
- `{name}`: where datasets come from; the stages `data-…` alone have it{plan}. An account that may read.

  ```sh
  kubectl -n {namespace} create secret generic {name} --from-literal=AWS_ACCESS_KEY_ID=ID --from-literal=AWS_SECRET_ACCESS_KEY=KEY
  ```
"""
_GIT = """\
- `{read}`: reading {url}; plan has it. `{write}`: writing {written} there; deliver has it.

  ```sh
  kubectl -n {namespace} create secret generic {read} {keys}
  kubectl -n {namespace} create secret generic {write} {keys}
  ```
"""
_REGISTRY = """\
- `{name}`: pushing to {registry}; plan and deliver have it, as a file. The nodes pull by `image_pull_secrets` of a stage's `pod`, or by their own account.

  ```sh
  kubectl -n {namespace} create secret docker-registry {name} --docker-server={host} --docker-username=NAME --docker-password=TOKEN
  ```
"""
_MLFLOW = """\
- `{name}`: {url}; deliver has it, and the user's commands, which log runs of their own.

  ```sh
  kubectl -n {namespace} create secret generic {name} --from-literal=MLFLOW_TRACKING_USERNAME=NAME --from-literal=MLFLOW_TRACKING_PASSWORD=PASSWORD
  ```
"""
_WEBHOOK = """\

## Pushes

Argo Server starts a Workflow for a push. Its namespace {namespace} needs the Secret `argo-workflows-webhook-clients`, whose key is the account that
submits, and the forge a webhook for pushes alone, as JSON, to `https://ARGO-SERVER/api/v1/events/{namespace}/{pipeline}` with the same secret.
`TYPE` is `github` (Gitea and Forgejo, too, which sign as GitHub does) or `gitlab`. The Secret is one for all pipelines of the namespace: add a key to one
that is there. Each pipeline has a webhook with a secret of its own, by which Argo Server finds the account. Argo Server must not have
`--auth-mode=server`: there a webhook needs no secret.

```sh
kubectl -n {namespace} create secret generic argo-workflows-webhook-clients --from-literal={account}="$(printf 'type: TYPE\\nsecret: "%s"' WEBHOOK-SECRET)"
```

Who may push to a branch of these patterns decides which code runs with the Secrets above: give unreviewed branches a profile with a remote of their own.
"""
_TAIL = """
## The controller

- `DEFAULT_REQUEUE_TIME=2s` in the environment of its Deployment: each level of a graph waits that long, 10 s by default.
- `executor.securityContext` in its ConfigMap gives Argo's own containers what the Pod Security Standard "restricted" asks; then say `executor = "none"`
  in `[tool.canon]`, and no manifest patches pods. With `initlessPod` enabled say `executor = "supervisor"`.
- `workflowRestrictions: {{templateReferencing: Strict}}`: nothing starts here but the templates that are committed. All that Canon starts fits, but for branches
  with other stages, which `canon submit` starts by a Workflow of their own: they have to be merged first then.
- A ResourceQuota counts Argo's own containers, too: give them resources by `executor.resources`.

```yaml
executor: |
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {{drop: [ALL]}}
    runAsNonRoot: true
    seccompProfile: {{type: RuntimeDefault}}
```

## Who reaches what

- No pod has a token of its own account; the executor's can say how a pod ended, and nothing else.
- Who calls `canon submit` needs, by the token for Argo Server: create and get `workflows`, get `workflowtemplates`, and for the logs get, list and watch `pods`,
  get `pods/log`. Whoever may create Workflows reaches every Secret of the namespace by them, unless `templateReferencing` is set as above.
- Workload identity (an account's cloud role) reaches all containers of a pod, the user's command, too: give `canon-{pipeline}-stage` none, or one
  that may do no more than that command should.
- The network policy lets nobody in, and pods everywhere but to the metadata servers of clouds. It holds where the network plugin enforces policies;
  some of them take the API server for neither an address nor a pod, and need a rule of their own for it.
- Namespaces: label them `pod-security.kubernetes.io/enforce: restricted`; every pod here passes.
"""


def format_handbook(source: str, sites: Sequence[Site], pushed: Sequence[Site], scheduled: Sequence[Site] = ()) -> str:
    """The text of the README of a pipeline's platform folder; ``pushed``, ``scheduled``: the sites where a push, or the clock, starts a Workflow."""
    first = sites[0]
    namespaces = dict.fromkeys(site.namespace for site in sites)
    apply = "\n".join(f"kubectl apply -f argo/{first.pipeline}/platform/{namespace}.yaml" for namespace in namespaces)
    text = _HEAD.format(mark=MARK, source=source, pipeline=first.pipeline, apply=apply)
    for site in sites:
        text += f"\n### Profile `{site.profile}`, namespace {site.namespace}\n\n" + "\n".join(
            _secrets(site, is_scheduled=site in scheduled)
        )
    for namespace in dict.fromkeys(site.namespace for site in pushed):
        text += _WEBHOOK.format(namespace=namespace, pipeline=first.pipeline, account=first.account("events"))
    return text + _TAIL.format(pipeline=first.pipeline)


def _git_keys(site: Site) -> str:
    if site.git_url.startswith(("http://", "https://")):
        return (
            f"--from-literal={cluster.GIT_USERNAME_VARIABLE}=NAME --from-literal={cluster.GIT_PASSWORD_VARIABLE}=TOKEN"
        )
    return f"--from-file={cluster.GIT_KEY_VARIABLE}=KEYFILE --from-file={cluster.GIT_HOSTS_VARIABLE}=KNOWN-HOSTS-FILE"


def _secrets(site: Site, *, is_scheduled: bool) -> list[str]:
    namespace = site.namespace
    plan = ", and plan, which pins anew when the clock starts it" if is_scheduled else ""
    found = [
        _REMOTE.format(name=site.secret("remote"), namespace=namespace, url=site.remote.url),
        _DATA.format(name=site.secret("data"), namespace=namespace, plan=plan),
        _GIT.format(
            read=site.secret("git-read"),
            write=site.secret("git-write"),
            namespace=namespace,
            url=site.git_url,
            keys=_git_keys(site),
            written=f"`refs/exps/`, the branch `{site.releases_branch}` and tags, since it releases to {', '.join(site.releases)},"
            if site.releases
            else "`refs/exps/`",
        ),
    ]
    if site.registry:
        host = site.registry.partition("/")[0]
        name = site.secret("registry")
        found.append(_REGISTRY.format(name=name, namespace=namespace, registry=site.registry, host=host))
    if site.mlflow:
        found.append(_MLFLOW.format(name=site.secret("mlflow"), namespace=namespace, url=site.mlflow))
    return found
