"""An image to be pushed, by Canon's own appending."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

from canon.image.append import append_layer, append_layers, whole
from canon.image.images import Edits, Image, load_image
from canon.image.layers import Member
from canon.image.layout import Layout
from canon.image.stores import Store
from tests.images import make_image


def members(**files: bytes) -> list[Member]:
    return [Member(f"opt/x/{name}", len(content), read=partial(io.BytesIO, content)) for name, content in files.items()]


def base_of(tmp_path: Path) -> tuple[Layout, Image]:
    digest = make_image(tmp_path / "below")
    source = Layout(tmp_path / "below")
    return source, load_image(source, source.name, digest)


def pushed(store: Store, tmp_path: Path, tag: str | None = "one", **files: bytes) -> str:
    """An image of a base and one layer in a store; return its digest."""
    source, base = base_of(tmp_path)
    with whole(store):
        layer = append_layer(store, members(**(files or {"a": b"1" * 3000})), "opt/x", "test")
        return append_layers(store, source, base, [layer], Edits(time=0), tag).descriptor.digest
