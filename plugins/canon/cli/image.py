"""`canon image`: the images of a pipeline, made without a daemon."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from canon.cli.building import moving, opened, report, target_of
from canon.cli.complete import complete_pipeline
from canon.cli.console import put, say
from canon.cli.proof import JsonOption, PlainOption, PlatformOption, inspect, verify
from canon.model.project import Project

if TYPE_CHECKING:
    from canon.baking.provenance import Provenance
    from canon.image.descriptors import Descriptor
    from canon.image.images import Image
    from canon.image.keys import PrivateKey
    from canon.image.stores import Store

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
    with opened(
        name, origin, to, profile, platform,
        push=push, allow_dirty=allow_dirty, dry_run=dry_run, plain_http=plain_http, quiet=json_,
    ) as build:  # fmt: skip
        made = build.base()
    report(
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

    with opened(
        name, origin, to, profile, platform,
        push=push, allow_dirty=allow_dirty, dry_run=dry_run, plain_http=plain_http, quiet=json_,
    ) as build:  # fmt: skip
        project, pipeline = build.project, build.pipeline
        private = _private_key(key)
        commit = resolve_revision(project.root, rev) if rev else None
        remote = project.settings.profiles[build.profile].remote
        trained = load_trained(project, pipeline, build.code, commit, remote, say)
        below = build.base()
        attach = partial(_attach, project, build.target, private) if sbom or key else None
        baked = bake_model(
            pipeline, build.code, below, trained, build.target, project.root,
            write=not dry_run, progress=build.transfer.advance, attach=attach,
        )  # fmt: skip
    known = baked.provenance
    report(
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

    with opened(
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
    from canon.baking.places import image_at
    from canon.baking.tools import make_tools

    _, _, target = target_of("canon", to, profile, push=push, plain_http=plain_http)
    source, below = image_at(origin, platform, plain_http=plain_http)
    with moving(quiet=json_) as transfer:
        made = make_tools(source, below, target, write=not dry_run, progress=transfer.advance)
    report(
        target,
        made.image.digest,
        made.layers,
        dry_run=dry_run,
        json_=json_,
        version=made.version,
        written=transfer.moved,
    )


def _attach(
    project: Project, store: Store, key: PrivateKey | None, image: Image, descriptor: Descriptor, known: Provenance
) -> None:
    from canon.baking.beside import attach_all
    from canon.git import clean_url

    git = project.settings.git
    attach_all(store, image, descriptor, known, clean_url(git.url) if git else None, key)


def _private_key(path: Path | None) -> PrivateKey | None:
    if path is None:
        return None
    from canon.image.keys import load_private_key

    return load_private_key(path, os.environ)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    image_app.command()(verify)
    image_app.command()(inspect)
    app.add_typer(image_app, name="image")
