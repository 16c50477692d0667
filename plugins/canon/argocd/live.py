"""Looks at an environment in the cluster: its Application and its pods; what cannot be read is said, and the rest is read all the same."""

from __future__ import annotations

from canon.argocd.live_objects import Application, Pod, application_from_object, pod_from_object
from canon.argocd.live_server import Cluster, LiveError, LiveForbiddenError, LiveMissingError
from canon.argocd.status import DRIFT, UNKNOWN, Declared, Live, Words


def look(cluster: Cluster, declared: Declared, argocd: str) -> Live:
    """An environment as the cluster has it. ``argocd``: the namespace of Argo CD's Applications. Raises nothing for what cannot be read."""
    unread: list[Words] = []
    application: Application | None = None
    pods: tuple[Pod, ...] = ()
    missing, read_pods = "", True
    try:
        application = application_from_object(cluster.application(argocd, declared.application))
    except LiveMissingError:
        missing = f"Argo CD has no Application {declared.application} in namespace {argocd}: did it sync the root Application?"
    except LiveError as error:
        unread.append(_unread(error, declared))
    namespace = declared.watches.namespace
    try:
        found = cluster.pods(namespace, declared.pipeline, declared.environment)
        repository = declared.release.image.partition("@")[0] if declared.release else ""
        pods = tuple(pod_from_object(each, repository) for each in found)
        if not pods and declared.release is not None and cluster.has_namespace(namespace) is False:
            unread.append(Words(f"there is no namespace {namespace}", DRIFT))
    except LiveError as error:
        read_pods = False
        unread.append(_unread(error, declared))
    return Live(application, pods, tuple(dict.fromkeys(unread)), read_pods, missing)


def _unread(error: LiveError, declared: Declared) -> Words:
    """What could not be read. Rights may well be given together with the first release: until then they are no fault."""
    waits = declared.release is None and not declared.problem and isinstance(error, LiveForbiddenError)
    return Words(str(error), None if waits else UNKNOWN)
