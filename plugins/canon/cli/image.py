"""`canon image`: the images of a pipeline, made without a daemon."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from canon.cli.complete import complete_pipeline
from canon.cli.console import Transfer, put, put_json, say
from canon.cli.proof import JsonOption, PlainOption, PlatformOption, inspect, verify
from canon.model.project import Pipeline, Project, find_root, load_project

if TYPE_CHECKING:
    from canon.baking.base import Base, Code
    from canon.image.descriptors import Descriptor
    from canon.image.images import Image
    from canon.image.keys import PrivateKey
    from canon.image.stores import Source, Store

image_app = typer.Typer(help="Make images of code, environment and model, without a daemon.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="The pipeline.", autocompletion=complete_pipeline)]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="The image below in place of the declared one: oci:DIR, oci:DIR@sha256:…, HOST/REPOSITORY@sha256:…",
        show_default=False,
    ),
]
ToOption = Annotated[
    str | None,
    typer.Option(help="Where to: oci:DIR or HOST/REPOSITORY; by default a layout in .dvc/tmp.", show_default=False),
]
PushOption = Annotated[bool, typer.Option("--push", help="Push to the registry of the profile.")]
ProfileOption = Annotated[
    str | None, typer.Option(help="The profile whose registry and remote are used.", show_default=False)
]
DirtyOption = Annotated[bool, typer.Option("--allow-dirty", help="Take changes that no commit has; marks the image.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what the image would be, write nothing.")]


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
def _open(  # the options of both commands
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
    from canon.baking.base import open_code
    from canon.baking.places import image_below, image_target
    from canon.image.opening import open_store
    from canon.workspaces.profiles import check_profile

    project = load_project(find_root(Path.cwd()))
    pipeline = project.pipeline(name)
    chosen = profile or project.settings.default_profile
    check_profile(project, chosen)
    place = image_target(project, name, to, chosen, push=push)
    target = open_store(place, plain_http=plain_http)
    with open_code(project.root, allow_dirty=allow_dirty) as code:
        source, below = image_below(pipeline, origin, platform, plain_http=plain_http)
        transfer = Transfer("image", quiet=quiet)
        transfer.start(None, None)
        try:
            yield Build(project, pipeline, chosen, code, source, below, target, transfer, write=not dry_run)
        finally:
            transfer.done()


@image_app.command()
def base(
    name: NameArgument,
    origin: FromOption = None,
    to: ToOption = None,
    push: PushOption = False,
    profile: ProfileOption = None,
    platform: PlatformOption = "linux/amd64",
    allow_dirty: DirtyOption = False,
    dry_run: DryRunOption = False,
    plain_http: PlainOption = False,
    json_: JsonOption = False,
) -> None:
    """Put the environment and the code of the commit on top of the declared image; print what it is called."""
    with _open(
        name, origin, to, profile, platform,
        push=push, allow_dirty=allow_dirty, dry_run=dry_run, plain_http=plain_http, quiet=json_,
    ) as build:  # fmt: skip
        made = build.base()
    _report(
        build.target, made.image.digest, made.layers, dry_run=dry_run, json_=json_,
        revision=made.commit, tree=made.tree, dirty=made.dirty, written=build.transfer.moved,
    )  # fmt: skip


@image_app.command()
def bake(
    name: NameArgument,
    origin: FromOption = None,
    to: ToOption = None,
    push: PushOption = False,
    profile: ProfileOption = None,
    platform: PlatformOption = "linux/amd64",
    rev: Annotated[
        str | None,
        typer.Option(
            help="Commit or experiment whose result is baked; by default that of the workspace.", show_default=False
        ),
    ] = None,
    sbom: Annotated[bool, typer.Option("--sbom", help="Attach a bill of materials (CycloneDX).")] = False,
    key: Annotated[
        Path | None,
        typer.Option(
            help="Sign image, origin and bill of materials with this private key (PEM); password in COSIGN_PASSWORD.",
            show_default=False,
        ),
    ] = None,
    allow_dirty: DirtyOption = False,
    dry_run: DryRunOption = False,
    plain_http: PlainOption = False,
    json_: JsonOption = False,
) -> None:
    """Put the model of a result on top of the base, which is made where it is not there; print what the image is called."""
    from canon.baking.bake import bake_model
    from canon.baking.trained import load_trained
    from canon.results.revisions import resolve_revision

    with _open(
        name, origin, to, profile, platform,
        push=push, allow_dirty=allow_dirty, dry_run=dry_run, plain_http=plain_http, quiet=json_,
    ) as build:  # fmt: skip
        project, pipeline = build.project, build.pipeline
        private = _private_key(key)
        commit = resolve_revision(project.root, rev) if rev else None
        remote = project.settings.profiles[build.profile].remote
        trained = load_trained(project, pipeline, build.code, commit, remote, say)
        below = build.base()
        baked = bake_model(
            pipeline, build.code, below, trained, build.target, project.root,
            write=not dry_run, progress=build.transfer.advance,
        )  # fmt: skip
        if (sbom or key) and not dry_run:
            from canon.baking.beside import attach_all
            from canon.git import clean_url

            git = project.settings.git
            url = clean_url(git.url) if git else None
            attach_all(build.target, baked.image, baked.descriptor, baked.provenance, url, private)
    known = baked.provenance
    _report(
        build.target, baked.image.digest, baked.layers, dry_run=dry_run, json_=json_,
        base=below.image.digest, revision=known.commit, tree=known.tree, dirty=known.dirty,
        result=known.result, data_hash=known.data_hash, model=known.model.hash, tag=baked.tag, written=build.transfer.moved,
    )  # fmt: skip


@image_app.command()
def dockerfile(
    name: NameArgument,
    origin: FromOption = None,
    platform: PlatformOption = "linux/amd64",
    ignore_file: Annotated[
        bool, typer.Option("--ignore-file", help="Print the .dockerignore that belongs to it instead.")
    ] = False,
    plain_http: PlainOption = False,
) -> None:
    """Print the serving image as a Dockerfile for BuildKit; its context is the checkout."""
    from canon.baking.bake import bake_model
    from canon.baking.code import SOURCE, code_members
    from canon.baking.dockerfile import format_dockerfile, format_ignore
    from canon.baking.trained import load_trained

    with _open(
        name, origin, "oci:none", None, platform,
        push=False, allow_dirty=False, dry_run=True, plain_http=plain_http, quiet=True,
    ) as build:  # fmt: skip
        project, pipeline = build.project, build.pipeline
        remote = project.settings.profiles[build.profile].remote
        trained = load_trained(project, pipeline, build.code, None, remote, say)
        if ignore_file:
            members = code_members(project.root, build.code.listed)
            text = format_ignore((each.path.removeprefix(f"{SOURCE}/") for each in members), trained.path)
        else:
            below = build.base()
            baked = bake_model(pipeline, build.code, below, trained, build.target, project.root, write=False)
            text = format_dockerfile(pipeline, build.code, below, baked.provenance, trained.applied)
    put(text.rstrip("\n"))


@image_app.command()
def tools(
    origin: Annotated[
        str,
        typer.Option(
            "--from", help="An image with Python and git: oci:DIR or HOST/REPOSITORY@sha256:…", show_default=False
        ),
    ],
    to: ToOption = None,
    push: PushOption = False,
    profile: ProfileOption = None,
    platform: PlatformOption = "linux/amd64",
    dry_run: DryRunOption = False,
    plain_http: PlainOption = False,
    json_: JsonOption = False,
) -> None:
    """Put this version of Canon, with its own locked environment, on an image with Python and git: what pods run beside the stages."""
    from canon.baking.places import image_at, image_target
    from canon.baking.tools import make_tools
    from canon.image.opening import open_store
    from canon.workspaces.profiles import check_profile

    project = load_project(find_root(Path.cwd()))
    chosen = profile or project.settings.default_profile
    check_profile(project, chosen)
    target = open_store(image_target(project, "canon", to, chosen, push=push), plain_http=plain_http)
    source, below = image_at(origin, platform, plain_http=plain_http)
    transfer = Transfer("image", quiet=json_)
    transfer.start(None, None)
    try:
        made = make_tools(source, below, target, write=not dry_run, progress=transfer.advance)
    finally:
        transfer.done()
    _report(
        target,
        made.image.digest,
        made.layers,
        dry_run=dry_run,
        json_=json_,
        version=made.version,
        written=transfer.moved,
    )


def _private_key(path: Path | None) -> PrivateKey | None:
    if path is None:
        return None
    from canon.image.keys import load_private_key

    return load_private_key(path, os.environ)


def _report(
    target: Store, digest: str, layers: Iterable[tuple[Descriptor, str]], *, dry_run: bool, json_: bool, **facts: object
) -> None:
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


def register(app: typer.Typer) -> None:
    """Add the commands."""
    image_app.command()(verify)
    image_app.command()(inspect)
    app.add_typer(image_app, name="image")
