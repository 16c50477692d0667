"""How large a Workflow may be: Argo compresses the status of one, never its spec."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from canon.model.errors import Problem
from canon.output.files import RenderedFile

LARGEST = 1 << 20
"""Bytes of a spec that Argo takes."""
LARGE = 1 << 18
"""Bytes of a manifest that a client-side apply takes."""


def size_problems(files: Iterable[RenderedFile]) -> Iterator[Problem]:
    """Yield a warning for each Workflow that is too large for a client-side apply; a rendered text is about as large as its JSON."""
    for file in files:
        if file.path.startswith("argo/") and "/workflow/" in file.path and len(file.text) > LARGE:
            yield Problem(
                file=file.path,
                message=f"has {len(file.text) >> 10} KiB: `kubectl apply` alone takes 256 KiB, Argo 1 MiB",
                remedy="apply it with --server-side, or let fewer stages do more each",
                severity="warning",
            )
