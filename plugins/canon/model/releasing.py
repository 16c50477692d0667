"""Which Workflows release to which environments."""

from __future__ import annotations

from collections.abc import Iterator

from canon.model.declaration import Declaration
from canon.model.errors import Problem
from canon.model.project import Pipeline
from canon.model.root import SETTINGS_FILE
from canon.model.settings import Settings


def baking_profiles(settings: Settings) -> list[str]:
    """The profiles whose Workflows make images."""
    return [name for name, profile in settings.profiles.items() if profile.namespace and profile.registry]


def releasing_profile(declaration: Declaration, settings: Settings, environment: str) -> str | None:
    """The profile whose Workflows release to an environment: the declared one, that of `triggers.sync`, or the only one that makes images.

    None for an environment that releases are promoted to, and where several profiles make images and nothing says which.
    """
    declared = declaration.deploy[environment]
    if declared.from_ is not None or declaration.serving is None:
        return None
    baking = baking_profiles(settings)
    chosen = declared.profile or declaration.triggers.sync or (baking[0] if len(baking) == 1 else None)
    return chosen if chosen in baking else None


def released_environments(declaration: Declaration, settings: Settings, profile: str) -> tuple[str, ...]:
    """The environments that a profile's Workflows release to."""
    return tuple(name for name in declaration.deploy if releasing_profile(declaration, settings, name) == profile)


def releasing_problems(pipeline: Pipeline, settings: Settings) -> Iterator[Problem]:
    """Yield environments of a profile that makes no image, and those that no Workflow releases to, since several could."""
    declaration, baking = pipeline.declaration, baking_profiles(settings)
    for name, environment in declaration.deploy.items():
        if environment.profile and environment.profile not in baking:
            yield Problem(
                file=pipeline.file,
                path=f"deploy.{name}.profile",
                message=f"the Workflows of `{environment.profile}` make no image that could be released here",
                remedy=f"name one of: {', '.join(baking)}"
                if baking
                else f"give it a namespace and a registry in {SETTINGS_FILE}",
            )
        elif environment.from_ is None and len(baking) > 1 and not releasing_profile(declaration, settings, name):
            yield Problem(
                file=pipeline.file,
                path=f"deploy.{name}",
                message=f"no Workflow releases here: those of {', '.join(baking)} make images, and nothing says which is meant",
                remedy="add `profile: NAME`; without it `canon release` alone releases here",
                severity="warning",
            )
