"""Layers over random trees, read back by `tarfile` and by the system's tar."""

from __future__ import annotations

import io
import subprocess
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canon.image.layers import Member, describe, members_in_order, tar_chunks
from canon.image.trees import check_cases, link, members_of_folder
from canon.model.errors import CanonError
from tests.images import files_of

TOP = "opt/canon/src"
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=70).filter(
    lambda name: name not in {".", ".."} and not name.startswith(".wh.")
)
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=4).map("/".join),
    st.tuples(st.binary(max_size=1500), st.booleans()),
    max_size=12,
)


def member(path: str, content: bytes, *, executable: bool = False) -> Member:
    return Member(f"{TOP}/{path}", len(content), executable, read=partial(io.BytesIO, content))


def is_tree(paths: list[str]) -> bool:
    return not any(other.startswith(f"{path}/") for path in paths for other in paths)


@given(TREES.filter(lambda tree: is_tree(list(tree))), st.randoms())
def test_a_tree_is_read_back_as_it_was_and_its_order_does_not_matter(tree, random) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    members = [member(path, content, executable=executable) for path, (content, executable) in tree.items()]
    layer = b"".join(tar_chunks(members_in_order(members, TOP), TOP))
    found = {path: what for path, what in files_of(layer).items() if what[0] != "/"}
    assert found == {
        f"{TOP}/{path}": ("755" if executable else "644", content) for path, (content, executable) in tree.items()
    }
    random.shuffle(members)
    assert b"".join(tar_chunks(members_in_order(members, TOP), TOP)) == layer
    assert describe([layer]).size == len(layer)


def test_the_systems_tar_unpacks_a_folder_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "a/empty").mkdir(parents=True)
    for path, text in {"a.txt": "1", "a/b": "2", "größe": "3", "x" * 255: "4", f"{'d' * 90}/{'e' * 90}/f": "5"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "a/link").symlink_to("../a.txt")
    (folder / "a.txt").chmod(0o700)
    layer = tmp_path / "layer.tar"
    layer.write_bytes(b"".join(tar_chunks(members_in_order(members_of_folder(folder, TOP), TOP), TOP)))
    subprocess.run(["tar", "-xf", str(layer), "-C", str(tmp_path)], check=True, capture_output=True)
    left, right = (
        {path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*") if path.is_file()}
        for top in (folder, tmp_path / TOP)
    )
    assert left == right
    assert (tmp_path / TOP / "a/link").readlink() == Path("../a.txt")


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([member("a", b""), member("a", b"")], "stands twice"),
        ([member("a", b""), member("a/b", b"")], "is a file and a folder at once"),
        ([member("../a", b"")], "is no path below"),
        ([Member("etc/passwd", read=io.BytesIO)], "is no path below"),
        ([member("x/.wh..wh..opq", b"")], "deletes files in an image"),
        ([member("é" * 128, b"")], "over 255 bytes"),
        ([member("\udcff", b"")], "is not UTF-8"),
    ],
)
def test_what_no_layer_can_hold_is_refused(members: list[Member], says: str) -> None:
    with pytest.raises(CanonError, match=says):
        members_in_order(members, TOP)


@pytest.mark.parametrize("change", [b"", b"longer than before"])
def test_a_file_that_changes_while_it_is_read_is_found(change: bytes) -> None:
    changed = Member(f"{TOP}/a", 3, read=partial(io.BytesIO, change))
    with pytest.raises(CanonError, match="opt/canon/src/a changed while it was read"):
        b"".join(tar_chunks([changed], TOP))


@pytest.mark.parametrize(("path", "target", "inside"), [
    ("a", "b", True), ("a/b", "../c", True), ("a", ".", True), ("a/b", "..", True),
    ("a", "..", False), ("a", "/etc/passwd", False), ("a/b", "../../x", False), ("a", "b/../../../etc", False),
])  # fmt: skip
def test_a_link_stays_in_its_tree(path: str, target: str, inside: bool) -> None:  # noqa: FBT001  a parameter
    if inside:
        assert link(f"{TOP}/{path}", target, TOP).target == target
        return
    with pytest.raises(CanonError, match="which is not in the image"):
        link(f"{TOP}/{path}", target, TOP)


def test_devices_and_sockets_are_refused_and_cases_are_kept_apart(tmp_path: Path) -> None:
    subprocess.run(["mkfifo", str(tmp_path / "pipe")], check=True)
    with pytest.raises(CanonError, match="neither a file nor a link"):
        list(members_of_folder(tmp_path, TOP))
    with pytest.raises(CanonError, match=r"Data and .*/data"):
        check_cases([member("Data/x", b""), member("data/y", b"")])
