"""The store that a reference names."""

from __future__ import annotations

from canon.image.layout import Layout
from canon.image.references import Reference
from canon.image.stores import Store


def open_store(reference: Reference, *, plain_http: bool = False) -> Store:
    """A layout on disk, or a repository of a registry; ``plain_http``: without TLS, which on loopback is done anyway. Nothing is read yet."""
    if reference.folder is not None:
        return Layout(reference.folder)
    from canon.image.registry import Repository  # requests take 0.1 s to import

    return Repository(reference.host, reference.repository, plain_http=plain_http)
