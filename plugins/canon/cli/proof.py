"""`canon image verify` and `inspect`: what is in an image, and the proof of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from canon.cli.console import put, put_json, put_table
from canon.model.errors import CanonError, printable
from canon.model.root import find_root

if TYPE_CHECKING:
    from canon.image.images import Image
    from canon.image.stores import Source

PlatformOption = Annotated[str, typer.Option(help="Which image of one for several platforms.")]
PlainOption = Annotated[
    bool, typer.Option("--plain-http", help="Speak to a registry without TLS; on loopback it is done anyway.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
ImageArgument = Annotated[
    str,
    typer.Argument(metavar="REF", help="oci:DIR, oci:DIR@sha256:…, HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:…"),
]


def _load(text: str, platform: str, *, plain_http: bool) -> tuple[Source, Image]:
    from canon.image.images import load_image
    from canon.image.opening import open_store
    from canon.image.references import parse_reference

    reference = parse_reference(text)
    store = open_store(reference, plain_http=plain_http)
    return store, load_image(store, store.name, reference.digest or reference.tag, platform)


def verify(
    ref: ImageArgument,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from", help="The image that the base was built on, to prove its layers, too.", show_default=False
        ),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Install the environment anew, and compare; needs the package index.")
    ] = False,
    key: Annotated[
        Path | None, typer.Option(help="A public key (PEM) that must have signed it.", show_default=False)
    ] = None,
    platform: PlatformOption = "linux/amd64",
    plain_http: PlainOption = False,
    json_: JsonOption = False,
) -> None:
    """Prove from the image, the pins and Git which code, environment, data and parameters made its model."""
    from canon.baking.verify import verify_image

    root = find_root(Path.cwd())
    source, image = _load(ref, platform, plain_http=plain_http)
    below = _load(origin, platform, plain_http=plain_http) if origin else None
    checks = []
    for check in verify_image(root, source, image, below=below, rebuild=rebuild, key=key):
        checks.append(check)
        if not json_:
            put(printable(f"{check.status:<12}{check.name:<12}{check.detail}"))
    failed = [check.name for check in checks if check.ok is False]
    if json_:
        put_json(
            {
                "reference": f"{source.name}@{image.digest}",
                "digest": image.digest,
                "verified": not failed,
                "checks": [{"name": each.name, "status": each.status, "detail": each.detail} for each in checks],
            }
        )
    if failed:
        raise CanonError(f"{source.name}@{image.digest} is not what it says: {', '.join(failed)}")


def inspect(
    ref: ImageArgument,
    platform: PlatformOption = "linux/amd64",
    plain_http: PlainOption = False,
    json_: JsonOption = False,
) -> None:
    """Say what is in an image: layers with size and origin, commit, data hash, model. `verify` proves it."""
    from canon.baking.inspect import inspect_image

    found = inspect_image(*_load(ref, platform, plain_http=plain_http))
    if json_:
        put_json(found.document())
        return
    facts = {"digest": found.digest, "platform": found.platform, "created": found.created, **found.facts}
    _table(("what", ""), facts.items())
    put("")
    _table(("layer", "bytes", "from"), ((layer.digest, layer.size, layer.origin) for layer in found.layers))
    if found.files:
        put("")
        _table(
            ("model", "bytes", "sha256"), ((path, file["size"], file["sha256"]) for path, file in found.files.items())
        )


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table of what an image says of itself."""
    put_table(columns, ([printable(str(cell)) for cell in row] for row in rows))
