"""From a container of a manifest, all names in their place, to what an engine starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.errors import HangsError, HarnessError
from tests.harness.images import Image
from tests.harness.launch import Launch, Mount
from tests.harness.volumes import EXECUTOR, Content, Objects, as_bytes

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What a runtime sets where the image has none."""
VARIABLE = re.compile(r"\$(\$|\(([A-Za-z_][A-Za-z0-9_.-]*)\))")


@dataclass(frozen=True)
class PodContext:
    """What the containers of a pod share."""

    name: str
    workflow: str
    objects: Objects
    security: Mapping[str, Any]


def build_launch(
    container: Mapping[str, Any], image: Image, mounts: tuple[Mount, ...], context: PodContext, log: Path
) -> Launch:
    """What to start. Raises HangsError where a kubelet would not get that far."""
    name = container["name"]
    if not container.get("command"):
        raise HangsError(
            f"{name}: failed to look-up entrypoint/cmd for image {container['image']!r}: say the command; the node would stay Pending for ever"
        )
    own = container.get("securityContext") or {}
    uid = own.get("runAsUser", context.security.get("runAsUser", _user(image)))
    if uid == 0:
        if own.get("runAsNonRoot", context.security.get("runAsNonRoot")):
            raise HangsError(
                f"{name}: CreateContainerConfigError: container has runAsNonRoot and image will run as root"
            )
        raise HarnessError(f"{name}: the harness runs nothing as root: set runAsUser in the securityContext")
    declared = _declared(container, context)
    group = context.security.get("fsGroup")
    return Launch(
        image=image,
        # A kubelet does not know what variables the image has.
        argv=tuple(expand(each, declared) for each in (*container["command"], *(container.get("args") or ()))),
        env={"PATH": PATH, "HOME": "/", "HOSTNAME": context.name, **image.env, **declared},
        folder=container.get("workingDir") or image.config.get("WorkingDir") or "/",
        uid=uid,
        gid=own.get("runAsGroup", context.security.get("runAsGroup", 0)),
        groups=(*((group,) if group is not None else ()), *context.security.get("supplementalGroups", ())),
        mounts=(*(Mount(source, path, read_only=True) for path, source in image.binds.items()), *mounts),
        read_only=bool(own.get("readOnlyRootFilesystem")),
        may_gain=own.get("allowPrivilegeEscalation", True),
        hostname=context.name[:63].rstrip("-"),
        log=log,
    )


def _user(image: Image) -> int:
    """The uid that the image names; 0 where it names none."""
    user = str(image.config.get("User") or "0").partition(":")[0]
    if not user.isdigit():
        raise HarnessError(f"the image names its user {user!r}: set runAsUser in the securityContext")
    return int(user)


def _declared(container: Mapping[str, Any], context: PodContext) -> dict[str, str]:
    """The manifest's variables, envFrom, then env over those; then the executor's."""
    objects = context.objects
    found: dict[str, str] = {}
    for each in container.get("envFrom") or ():
        for kind, content in (("secretRef", objects.secrets), ("configMapRef", objects.config_maps)):
            if kind in each:
                values = _object(content, each[kind], container["name"])
                found.update(
                    {f"{each.get('prefix', '')}{key}": as_bytes(value).decode() for key, value in values.items()}
                )
    for each in container.get("env") or ():
        value = _value(each, objects, context, container["name"])
        if value is not None:
            found[each["name"]] = expand(value, found)
    executor = {
        "ARGO_CONTAINER_NAME": container["name"],
        "ARGO_POD_NAME": context.name,
        "ARGO_WORKFLOW_NAME": context.workflow,
        "ARGO_PROGRESS_FILE": f"{EXECUTOR}/progress",
    }
    return {**found, **executor}


def _value(variable: Mapping[str, Any], objects: Objects, context: PodContext, name: str) -> str | None:
    source = variable.get("valueFrom")
    if source is None:
        return str(variable.get("value", ""))
    if "fieldRef" in source:
        fields = {"metadata.name": context.name, "metadata.namespace": objects.namespace}
        path = source["fieldRef"]["fieldPath"]
        if path not in fields:
            raise HarnessError(f"{name}: fieldPath {path!r}: the harness knows {', '.join(fields)}")
        return fields[path]
    kind, content = (
        ("secretKeyRef", objects.secrets) if "secretKeyRef" in source else ("configMapKeyRef", objects.config_maps)
    )
    wanted = source[kind]
    values = _object(content, wanted, name)
    if wanted["key"] not in values:
        if wanted.get("optional"):
            return None
        raise HangsError(f"{name}: CreateContainerConfigError: couldn't find key {wanted['key']} in {wanted['name']}")
    return as_bytes(values[wanted["key"]]).decode()


def _object(content: Content, wanted: Mapping[str, Any], name: str) -> Mapping[str, str | bytes]:
    found = content.get(wanted["name"])
    if found is None and not wanted.get("optional"):
        raise HangsError(f'{name}: CreateContainerConfigError: secret or configmap "{wanted["name"]}" not found')
    return found or {}


def expand(text: str, env: Mapping[str, str]) -> str:
    """A text of command, args or env with the variables that stand before it: ``$(NAME)``; ``$$`` is a dollar, an unknown name stays."""

    def replaced(found: re.Match[str]) -> str:
        return "$" if found[1] == "$" else env.get(found[2], found[0])

    return VARIABLE.sub(replaced, text)
