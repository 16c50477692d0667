"""Layers that were made to use up whoever reads them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from canon.image.check import MAX_HEADER, check_image, open_layer, peek
from canon.image.images import Image, load_image
from canon.image.layout import Layout
from canon.model.errors import CanonError
from tests.images import forge, make_image


def image_of(layer: bytes, folder: Path) -> tuple[Layout, Image]:
    source = Layout(folder)
    return source, load_image(source, source.name, forge(folder, make_image(folder), layers=lambda _: [layer]))


def with_comment(size: int) -> bytes:
    """A tar whose file has an extended header of about a size."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("first"))
        info = tarfile.TarInfo("file")
        info.pax_headers = {"comment": "x" * size}
        tar.addfile(info)
    return stream.getvalue()


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    source, image = image_of(with_comment(MAX_HEADER), tmp_path)
    with pytest.raises(CanonError, match="an extended header has"), open_layer(source, image, 0) as layer:
        list(layer)
    with pytest.raises(CanonError, match="an extended header has"):
        peek(source, image, 0, "file", 10)
    assert check_image(source, image) == []  # its bytes are what they are said to be


def test_a_header_of_attributes_is_read(tmp_path: Path) -> None:
    source, image = image_of(with_comment(MAX_HEADER // 2), tmp_path)
    with open_layer(source, image, 0) as layer:
        assert [member.name for member in layer] == ["first", "file"]
