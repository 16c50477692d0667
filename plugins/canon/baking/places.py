"""Where images come from and go to: by option, else by declaration and profile."""

from __future__ import annotations

from pathlib import Path

from canon.image.images import Image, load_image
from canon.image.opening import open_store
from canon.image.references import Reference, parse_reference
from canon.image.stores import Source
from canon.model.errors import CanonError, UsageError
from canon.model.project import Pipeline, Project

LOCAL = ".dvc/tmp/canon/images"
"""The layout that images are put into where nothing else is said; DVC keeps Git away from it."""


def image_below(
    pipeline: Pipeline, origin: str | None, platform: str, *, plain_http: bool = False
) -> tuple[Source, Image]:
    """The image to build on, and where it lies: the declared one, or ``origin`` in its place.

    Raises UsageError for one without a digest in a registry, CanonError where none is declared or it is not there.
    """
    declared = pipeline.declaration.environment.image if pipeline.declaration.environment else None
    text = origin or declared
    if text is None:
        raise CanonError(f"{pipeline.file} declares no `environment.image`; add it, by digest, or say --from oci:DIR")
    return image_at(text, platform, plain_http=plain_http)


def image_at(text: str, platform: str, *, plain_http: bool = False) -> tuple[Source, Image]:
    """An image to build on, by its digest. Raises UsageError for one that only a tag names, CanonError where it is not there."""
    reference = parse_reference(text)
    if reference.folder is None and reference.digest is None:
        raise UsageError(f"{text} has no digest, and what a tag points to changes; write {text}@sha256:…")
    store = open_store(reference, plain_http=plain_http)
    return store, load_image(store, store.name, reference.digest, platform)


def image_target(project: Project, name: str, to: str | None, profile: str, *, push: bool) -> Reference:
    """Where an image is put: ``to``, with ``push`` the profile's registry, else a layout of this checkout. Raises UsageError, CanonError."""
    if push and to:
        raise UsageError("--push takes the registry of the profile; --to names another place: say one of them")
    if push:
        declared = project.settings.profiles[profile].registry
        if declared is None:
            raise CanonError(
                f'the profile `{profile}` has no registry; add `registry = "HOST/NAMESPACE"` to [tool.canon.profiles.{profile}],'
                " or say --to HOST/REPOSITORY"
            )
        return parse_reference(f"{declared.rstrip('/')}/{name}")
    if to:
        reference = parse_reference(to)
        if reference.digest is not None:
            raise UsageError("--to names a place; the digest is what comes out")
        return reference
    if not (project.root / ".dvc").is_dir():
        raise UsageError("say where to: --to oci:DIR, --to HOST/REPOSITORY, or --push for the registry of the profile")
    return Reference(folder=_shown(project.root / LOCAL))


def _shown(folder: Path) -> Path:
    """Relative where that is shorter to read and to paste."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
