"""References to images: in a registry, as Docker writes them, or in a layout on disk, as `oci:DIR@sha256:…`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from canon.image.descriptors import DIGEST
from canon.model.errors import UsageError

LAYOUT = "oci:"
HOST = r"(?:localhost|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REFERENCE = re.compile(
    rf"(?:(?P<host>{HOST})/)?(?P<repository>{COMPONENT}(?:/{COMPONENT})*)(?::(?P<tag>[\w][\w.-]{{0,127}}))?(?:@(?P<digest>\S+))?",
    re.ASCII,
)
"""The grammar of the distribution specification."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an image is: ``host`` and ``repository`` of a registry, or ``folder`` of a layout; ``tag`` or ``digest``, or both."""

    host: str = ""
    repository: str = ""
    tag: str | None = None
    digest: str | None = None
    folder: Path | None = None

    def __str__(self) -> str:
        place = f"{LAYOUT}{self.folder}" if self.folder is not None else f"{self.host}/{self.repository}"
        tag = f":{self.tag}" if self.tag else ""
        return f"{place}{tag}{'@' + self.digest if self.digest else ''}"

    def at(self, digest: str) -> Reference:
        """The same place, by a digest."""
        return replace(self, digest=digest, tag=None)


def parse_reference(text: str) -> Reference:
    """Read a reference. Raises UsageError, with what is wrong in it."""
    if text.startswith(LAYOUT):
        folder, _, digest = text.removeprefix(LAYOUT).partition("@")
        if not folder:
            raise UsageError(f"{text!r} names no folder; write {LAYOUT}DIR or {LAYOUT}DIR@sha256:…")
        return Reference(folder=Path(folder), digest=_digest(digest, text))
    found = REFERENCE.fullmatch(text)
    if found is None:
        raise UsageError(
            f"{text!r} is no reference to an image; write HOST/REPOSITORY:TAG, HOST/REPOSITORY@sha256:… or {LAYOUT}DIR"
        )
    host, repository = found["host"], found["repository"]
    if host is not None and not re.search(
        r"[.:\[]|^localhost$", host
    ):  # without these it is a part of a name on Docker's own hub
        host, repository = None, f"{host}/{repository}"
        if not re.fullmatch(rf"{COMPONENT}(?:/{COMPONENT})*", repository):
            raise UsageError(f"{text!r} is no reference to an image: {repository!r} is no name of a repository")
    if host in {None, "docker.io", "index.docker.io"}:
        host, repository = "docker.io", repository if "/" in repository else f"library/{repository}"
    return Reference(
        host=str(host), repository=repository, tag=found["tag"], digest=_digest(found["digest"] or "", text)
    )


def _digest(digest: str, text: str) -> str | None:
    if digest and not re.fullmatch(DIGEST, digest):
        raise UsageError(f"{text!r} has no digest of the form sha256:<64 hexadecimal digits>")
    return digest or None
