"""`platform/argocd.md`: what a platform engineer makes and applies so that Argo CD may follow the pipeline, and no further."""

from __future__ import annotations

import shlex

from canon.argocd.site import Site
from canon.output.files import MARK

PROJECTS, POLICY, ROOT = "argocd.projects.yaml", "argocd.policy.yaml", "argocd.root.yaml"
"""Files beside the handbook. A namespace's name holds no dot: these names are nobody else's."""
_HEAD = """\
{mark}{source} and pyproject.toml: change those, not this one.

How Argo CD delivers the pipeline `{pipeline}`. All below is applied by hand, in this order, and again when the declaration gets another environment,
namespace or trigger: no file of this folder lies in an Application's path, so that no commit widens its own cage.

## 1. Namespaces

Every pod passes the Pod Security Standard "restricted"; let the API server refuse others:

```sh
{namespaces}
```

Give no two pipelines one Argo CD whose names are equal: Applications and AppProjects are called after them.

## 2. Secrets

- `canon-{pipeline}-repository`: reading {url}; Argo CD has it. A repository that anybody may read needs none, and one Secret does for all pipelines of a repository.

  ```sh
  kubectl -n {argocd} create secret generic canon-{pipeline}-repository --from-literal=type=git --from-literal=url={quoted} {keys}
  kubectl -n {argocd} label secret canon-{pipeline}-repository argocd.argoproj.io/secret-type=repository
  ```
"""
_KNOWN_HOSTS = """\

  By ssh Argo CD knows the hosts of the ConfigMap `argocd-ssh-known-hosts-cm` alone; add the one of the repository there.
"""
_PULL = """\

- `{name}`: pulling the image of the environment `{environment}`; its node has it. An account that may read the one repository of the image.

  ```sh
  kubectl -n {namespace} create secret docker-registry {name} --docker-server=HOST --docker-username=NAME --docker-password=TOKEN
  ```
"""
_NO_PULL = """\

The nodes pull the image of {environments} by their own account. Where they have none, name a Secret in `serving.pod.image_pull_secrets`, or in
`deploy.ENVIRONMENT.pod`, and make it in the environment's namespace.
"""
_APPLY = """
## 3. The cage

```sh
{apply}kubectl apply -f argo/{pipeline}/platform/{projects}
kubectl apply -f argo/{pipeline}/platform/{policy}
```

{network}- The AppProjects allow the repository {url}, the declared namespaces, and the kinds that are declared there. {separate}
- The policy needs Kubernetes 1.30. It looks at the Applications that Argo CD keeps for the root, and refuses those that are none of: {applications}, each in its own
  AppProject and with its own namespace. Without it a commit could write an Application of the AppProject `default`, which may do anything.
  It knows them by the annotation `argocd.argoproj.io/tracking-id` or the label `app.kubernetes.io/instance`: leave `application.instanceLabelKey` as it is.

## 4. The root

```sh
kubectl apply -f argo/{pipeline}/platform/{root}
```

It syncs `argo/{pipeline}/applications/`, whose files come and go by commits. {waiting}
"""
_NETWORK = """\
- A network policy lets everybody reach a service at its port, and its pods everything but the metadata servers of clouds. It holds where the network plugin enforces policies.
"""
_RELEASES = """\
Releases are on the branch `{branch}`, and so are their Applications: the Application `{name}` syncs those.
"""
_SYNC = """
## Training by Argo CD

Each commit of `{branch}` trains: the Workflow is a hook of the sync. One that failed is not tried again before the next commit, and leaves the Application `{name}`
"Healthy" and "Synced": alerts look at `status.operationState.phase`. Commits during a training coalesce, the newest is trained after it. Terminating the operation stops it.
"""
_TAIL = """
## Argo CD's own rights

Its application controller may do anything in the default installation. What it needs for this pipeline, beside get, list and watch on everything:

{rights}
- in {argocd}: create, patch, update, delete `applications.argoproj.io`

A commit is seen within three minutes; a webhook of the forge to `https://ARGO-CD/api/webhook` makes it seconds.
"""


def format_handbook(source: str, site: Site) -> str:
    """The text of the handbook of a pipeline."""
    namespaces = sorted({*site.training, *site.environments.values()})
    label = "pod-security.kubernetes.io/enforce=restricted"
    text = _HEAD.format(
        mark=MARK,
        source=source,
        pipeline=site.pipeline,
        url=site.git_url,
        argocd=site.namespace,
        quoted=shlex.quote(site.git_url),
        keys=_git_keys(site),
        namespaces="\n".join(f"kubectl create namespace {name}\nkubectl label namespace {name} {label}" for name in namespaces),
    )  # fmt: skip
    text += "" if _is_http(site.git_url) else _KNOWN_HOSTS
    text += _pulls(site)
    text += _APPLY.format(
        pipeline=site.pipeline,
        url=site.git_url,
        projects=PROJECTS,
        policy=POLICY,
        root=ROOT,
        apply="".join(f"kubectl apply -f argo/{site.pipeline}/platform/{namespace}.yaml\n" for namespace in namespaces),
        network=_NETWORK if site.environments else "",
        applications=", ".join(f"`{name}`" for name in site.applications),
        separate="Training and services have AppProjects of their own: no commit puts a Workflow into a service's namespace."
        if site.training and site.environments
        else "Nothing that has no namespace is among them.",
        waiting="An environment that was never released to has none, and waits." if site.environments else "",
    )
    if site.releases_root:
        text += _RELEASES.format(branch=site.releases, name=site.releases_root)
    if site.synced:
        text += _SYNC.format(branch=site.branch, name=site.workflow)
    return text + _TAIL.format(argocd=site.namespace, rights=_rights(site))


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _git_keys(site: Site) -> str:
    if _is_http(site.git_url):
        return "--from-literal=username=NAME --from-literal=password=TOKEN"
    return "--from-file=sshPrivateKey=KEYFILE"


def _pulls(site: Site) -> str:
    text, without = "", []
    for environment, namespace in site.environments.items():
        names = site.pull_secrets.get(environment, ())
        text += "".join(_PULL.format(name=name, environment=environment, namespace=namespace) for name in names)
        without += [] if names else [f"`{environment}`"]
    return text + (_NO_PULL.format(environments=", ".join(without)) if without else "")


def _rights(site: Site) -> str:
    verbs = "create, patch, update, delete"
    lines = [f"- in {namespace}: {verbs} `deployments.apps`, `services`, `poddisruptionbudgets.policy`" for namespace in sorted(site.environments.values())]  # fmt: skip
    kinds = ", ".join(f"`{kind.lower()}s.argoproj.io`" for kind in site.kinds)
    lines += [f"- in {namespace}: {verbs} {kinds}" for namespace in site.training]
    return "\n".join(lines)
