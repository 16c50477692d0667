"""Which images can be released: those that a registry has."""

from __future__ import annotations

from canon.image.opening import open_store
from canon.image.references import Reference, parse_reference
from canon.model.errors import CanonError, ImageMissingError, UsageError


def released_reference(image: str) -> Reference:
    """The reference of an image to release. Raises UsageError for a layout."""
    reference = parse_reference(image)
    if reference.folder is not None:
        raise UsageError(f"{image} is a layout on disk, which no cluster can pull; push the image to a registry")
    return reference


def check_in_registry(image: str, *, plain_http: bool = False) -> None:
    """Raise CanonError unless the registry has the manifest of an image still."""
    reference = released_reference(image)
    store = open_store(reference, plain_http=plain_http)
    try:
        store.find(reference.digest)
    except ImageMissingError as error:
        raise CanonError(f"{image} is not in its registry any more: nothing could run it ({error})") from None
