"""Which Workflows release to which environments."""

from __future__ import annotations

from canon.model.declaration import Declaration
from canon.model.settings import Settings


def releasing_profile(declaration: Declaration, settings: Settings, environment: str) -> str | None:
    """The profile whose Workflows release to an environment: the declared one, that of `triggers.sync`, or the only one that makes images.

    None for an environment that releases are promoted to, and where several profiles make images and nothing says which.
    """
    declared = declaration.deploy[environment]
    if declared.from_ is not None or declaration.serving is None:
        return None
    baking = [name for name, profile in settings.profiles.items() if profile.namespace and profile.registry]
    chosen = declared.profile or declaration.triggers.sync or (baking[0] if len(baking) == 1 else None)
    return chosen if chosen in baking else None


def released_environments(declaration: Declaration, settings: Settings, profile: str) -> tuple[str, ...]:
    """The environments that a profile's Workflows release to."""
    return tuple(name for name in declaration.deploy if releasing_profile(declaration, settings, name) == profile)
