"""What the commands that make images share: project, target and code, progress, and what is printed at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from canon.cli.console import Transfer, put, put_json, say
from canon.model.project import Pipeline, Project, load_project
from canon.model.root import find_root

if TYPE_CHECKING:
    from canon.baking.base import Base, Code
    from canon.image.descriptors import Descriptor
    from canon.image.images import Image
    from canon.image.stores import Source, Store


@dataclass(frozen=True)
class Build:
    """What an image is made of, and where."""

    project: Project
    pipeline: Pipeline
    profile: str
    code: Code
    source: Source
    below: Image
    target: Store
    transfer: Transfer
    write: bool

    def base(self) -> Base:
        """Make the base, where it is not there."""
        from canon.baking.base import make_base

        return make_base(
            self.project, self.pipeline, self.code, self.source, self.below, self.target,
            write=self.write, progress=self.transfer.advance,
        )  # fmt: skip


@contextmanager
def opened(  # the options of both commands
    name: str,
    origin: str | None,
    to: str | None,
    profile: str | None,
    platform: str,
    *,
    push: bool,
    allow_dirty: bool,
    dry_run: bool,
    plain_http: bool,
    quiet: bool,
) -> Iterator[Build]:
    """Open all that an image of a pipeline is made of. Raises CanonError, UsageError."""
    from canon.baking.base import open_code
    from canon.baking.places import image_below

    project, chosen, target = target_of(name, to, profile, push=push, plain_http=plain_http)
    pipeline = project.pipeline(name)
    with open_code(project.root, allow_dirty=allow_dirty) as code:
        source, below = image_below(pipeline, origin, platform, plain_http=plain_http)
        with moving(quiet=quiet) as transfer:
            yield Build(project, pipeline, chosen, code, source, below, target, transfer, write=not dry_run)


def target_of(
    repository: str, to: str | None, profile: str | None, *, push: bool, plain_http: bool
) -> tuple[Project, str, Store]:
    """The project, the profile, and where an image goes."""
    from canon.baking.places import image_target
    from canon.image.opening import open_store
    from canon.workspaces.profiles import check_profile

    project = load_project(find_root(Path.cwd()))
    chosen = profile or project.settings.default_profile
    check_profile(project, chosen)
    place = image_target(project, repository, to, chosen, push=push)
    return project, chosen, open_store(place, plain_http=plain_http)


@contextmanager
def moving(*, quiet: bool) -> Iterator[Transfer]:
    """Progress while an image is made."""
    transfer = Transfer("image", quiet=quiet)
    transfer.start(None, None)
    try:
        yield transfer
    finally:
        transfer.done()


def report(
    target: Store, digest: str, layers: Iterable[tuple[Descriptor, str]], *, dry_run: bool, json_: bool, **facts: object
) -> None:
    """Print what an image is called, and what it has."""
    reference = f"{target.name}@{digest}"
    if json_:
        listed = [{"digest": blob.digest, "size": blob.size, "origin": says} for blob, says in layers]
        put_json({"reference": reference, "digest": digest, **facts, "layers": listed})
        return
    for blob, says in layers:
        say(f"{blob.digest[:19]}…  {blob.size:>13,} bytes  {says}")
    if dry_run:
        say("nothing was written")
    put(reference)
