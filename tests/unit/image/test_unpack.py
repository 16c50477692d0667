"""Hostile layers do not leave the folder that they are unpacked into."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from canon.image.images import load_image
from canon.image.layout import Layout
from canon.image.unpack import unpack_below
from canon.model.errors import CanonError
from tests.images import forge, make_image

TOP = "opt/canon"


def layer(*members: tuple[str, bytes, bytes | str]) -> bytes:
    """A tar of members: path, type, and content or target."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path, kind, content in members:
            info = tarfile.TarInfo(path)
            info.type = kind
            if isinstance(content, str):
                info.linkname = content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def unpacked(folder: Path, *layers: bytes) -> Path:
    layout, into = folder / "layout", folder / "into"
    digest = forge(layout, make_image(layout), layers=lambda _: list(layers))
    into.mkdir()
    source = Layout(layout)
    unpack_below(source, load_image(source, source.name, digest), TOP, into)
    return into


def test_layers_come_over_each_other(tmp_path: Path) -> None:
    into = unpacked(
        tmp_path,
        layer((f"{TOP}/a", tarfile.REGTYPE, b"1"), (f"{TOP}/b/c", tarfile.REGTYPE, b"2"), (f"{TOP}/d/e", tarfile.REGTYPE, b"3"), ("etc/x", tarfile.REGTYPE, b"")),
        layer((f"{TOP}/a", tarfile.REGTYPE, b"one"), (f"{TOP}/b/.wh.c", tarfile.REGTYPE, b""), (f"{TOP}/d/.wh..wh..opq", tarfile.REGTYPE, b""), (f"{TOP}/f", tarfile.SYMTYPE, "a")),
    )  # fmt: skip
    found = {path.relative_to(into).as_posix() for path in into.rglob("*") if not path.is_dir()}
    assert found == {f"{TOP}/a", f"{TOP}/f"}
    assert (into / TOP / "f").read_bytes() == b"one"


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([(f"{TOP}/link", tarfile.SYMTYPE, "/etc/passwd")], "which is not in the image"),
        ([(f"{TOP}/link", tarfile.SYMTYPE, "../../..")], "which is not in the image"),
        ([(f"{TOP}/dir", tarfile.SYMTYPE, "other"), (f"{TOP}/dir/x", tarfile.REGTYPE, b"x")], "lies below a link or a file"),
        ([(f"{TOP}/file", tarfile.REGTYPE, b""), (f"{TOP}/file/x", tarfile.REGTYPE, b"x")], "lies below a link or a file"),
        ([(f"{TOP}/a/b/up", tarfile.SYMTYPE, "../.."), (f"{TOP}/a/b/c/d/e", tarfile.SYMTYPE, "../../up/../../../etc")], "goes up again after a name"),
        ([(f"{TOP}/a/.wh...", tarfile.REGTYPE, b"")], "is a whiteout of nothing"),
        ([(f"{TOP}/a/.wh.", tarfile.REGTYPE, b"")], "is a whiteout of nothing"),
        ([(f"{TOP}/hard", tarfile.LNKTYPE, "etc/passwd")], "is neither file, link nor folder"),
        ([(f"{TOP}/null", tarfile.CHRTYPE, b"")], "is neither file, link nor folder"),
        ([(f"{TOP}/fifo", tarfile.FIFOTYPE, b"")], "is neither file, link nor folder"),
    ],
    ids=["absolute", "leaves", "through a link", "through a file", "by way of a link", "whiteout of ..", "whiteout", "hard link", "device", "pipe"],
)  # fmt: skip
def test_what_would_lead_elsewhere_is_refused(
    tmp_path: Path, members: list[tuple[str, bytes, bytes | str]], says: str
) -> None:
    with pytest.raises(CanonError, match=says):
        unpacked(tmp_path, layer(*members))


@pytest.mark.parametrize("path", ["../outside", f"{TOP}/../../../outside", "/outside", f"/{TOP}/../../outside"])
def test_paths_that_leave_are_none_of_the_part(tmp_path: Path, path: str) -> None:
    unpacked(tmp_path, layer((path, tarfile.REGTYPE, b"evil")))
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize("name", ["a\0b", ".wh.a\0b"])
def test_a_name_that_no_file_has_is_refused(tmp_path: Path, name: str) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("x")
        info.pax_headers = {"path": f"{TOP}/{name}"}
        tar.addfile(info)
    with pytest.raises(CanonError, match="is not unpacked"):
        unpacked(tmp_path, stream.getvalue())


@pytest.mark.parametrize("first", [True, False])
def test_a_whiteout_hides_the_layers_below_and_not_its_own(tmp_path: Path, first: bool) -> None:  # noqa: FBT001
    file = tarfile.REGTYPE
    new = ((f"{TOP}/a", file, b"new"), (f"{TOP}/d/e/new", file, b"new"))
    whiteouts = ((f"{TOP}/.wh.a", file, b""), (f"{TOP}/d/.wh..wh..opq", file, b""))
    into = unpacked(
        tmp_path,
        layer((f"{TOP}/a", file, b"old"), (f"{TOP}/d/e/old", file, b"old"), (f"{TOP}/d/f/old", file, b"old")),
        layer(*(whiteouts + new if first else new + whiteouts)),
    )
    found = {path.relative_to(into / TOP).as_posix() for path in into.rglob("*") if path.is_file()}
    assert found == {"a", "d/e/new"}
    assert (into / TOP / "a").read_bytes() == b"new"


@pytest.mark.parametrize(
    "above",
    [("opt/.wh.canon", tarfile.REGTYPE, b""), (".wh.opt", tarfile.REGTYPE, b""), (".wh..wh..opq", tarfile.REGTYPE, b""), ("opt", tarfile.SYMTYPE, "srv")],
    ids=["the part", "its folder", "everything", "a link for its folder"],
)  # fmt: skip
def test_what_a_layer_hides_above_is_gone(tmp_path: Path, above: tuple[str, bytes, bytes | str]) -> None:
    old, new = (f"{TOP}/d/old", tarfile.REGTYPE, b""), (f"{TOP}/new", tarfile.REGTYPE, b"")
    into = unpacked(tmp_path, layer(old), layer(above, new))
    assert [path.name for path in into.rglob("*") if path.is_file()] == ["new"]


def test_a_whiteout_does_not_reach_through_a_link(tmp_path: Path) -> None:
    into = unpacked(
        tmp_path,
        layer((f"{TOP}/d/a", tarfile.REGTYPE, b""), (f"{TOP}/l", tarfile.SYMTYPE, "d")),
        layer((f"{TOP}/l/.wh.a", tarfile.REGTYPE, b""), (f"{TOP}/l/.wh..wh..opq", tarfile.REGTYPE, b"")),
    )
    assert (into / TOP / "d/a").exists()


def test_a_link_that_a_later_layer_replaces_is_not_written_through(tmp_path: Path) -> None:
    into = unpacked(
        tmp_path,
        layer((f"{TOP}/b", tarfile.REGTYPE, b"b"), (f"{TOP}/a", tarfile.SYMTYPE, "b")),
        layer((f"{TOP}/a", tarfile.REGTYPE, b"a")),
    )
    assert ((into / TOP / "a").read_bytes(), (into / TOP / "b").read_bytes()) == (b"a", b"b")
