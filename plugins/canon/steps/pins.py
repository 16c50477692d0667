"""Datasets pinned anew: what the clock starts trains on what their sources hold now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from canon.data.progress import Silent
from canon.datasets import pin_datasets
from canon.model.cluster import DATA_PREFIX
from canon.model.project import Pipeline, Project
from canon.processes import kept_environment

REMOTES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")
"""Credentials of the remote, which are not for sources."""


def pin_anew(
    project: Project, pipeline: Pipeline, profile: str, environ: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """Write the pins that a profile's sources have now into the checkout. Raises CanonError for a source that cannot be read."""
    names = [f"{pipeline.name}/{name}" for name, data in pipeline.declaration.data.items() if profile in data.from_]
    if not names:
        return
    with data_credentials(environ):
        pinned = pin_datasets(project, names, profile, jobs=4, write=True, progress=lambda _: Silent())
    for each in pinned:
        say(f"{each.dataset}: {each.pin.sha256[:12]}, {'other content than' if each.changed else 'as'} the commit says")


@contextmanager
def data_credentials(environ: Mapping[str, str]) -> Iterator[None]:
    """Let sources be read with the Secret `data` while this lasts; the remote's credentials are not used for them."""
    own = {name.removeprefix(DATA_PREFIX): value for name, value in environ.items() if name.startswith(DATA_PREFIX)}
    with kept_environment():
        for name in REMOTES:
            os.environ.pop(name, None)
        os.environ.update(own)
        yield
