from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from canon.data.get import fetch_source
from canon.data.pin import pin_source
from canon.model.errors import CanonError, SourceChangedError
from tests.unit.data.local import Acting, sha256, tree, write, write_folder


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_pinned_data_is_brought_and_then_left_alone(root: Path, kind: str) -> None:
    source_path = root / "samples" / "raw"
    write(source_path) if kind == "file" else write_folder(source_path, 12)
    pin, source = pin_source("samples/raw", root=root)
    target = root / "data" / "raw"
    os.umask(old := os.umask(0o077))
    try:
        os.umask(0o077)
        assert fetch_source(source, pin, target, root=root) is True
    finally:
        os.umask(old)
    assert tree(target) == tree(source_path)
    files = [target] if kind == "file" else [path for path in target.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}
    if kind == "folder":
        assert {path.stat().st_mode & 0o777 for path in (target, *target.rglob("*")) if path.is_dir()} == {0o755}
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}
    shutil.rmtree(root / "samples")  # nothing is asked of the source any more
    assert fetch_source(source, pin, target, root=root) is False
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files} == before
    assert [path.name for path in (root / "data").iterdir()] == ["raw"]


@pytest.mark.parametrize("old", ["file", "folder", "link", "link to folder", "empty folder", "nothing"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_was_at_the_place_is_replaced_whole(root: Path, kind: str, old: str) -> None:
    source_path, target, elsewhere = root / "samples", root / "data" / "raw", root / "elsewhere"
    write(source_path) if kind == "file" else write_folder(source_path, 12)
    target.parent.mkdir()
    if old == "file":
        write(target, b"old")
    elif old == "folder":
        write(target / "old.csv", b"old")
    elif old == "empty folder":
        target.mkdir()
    elif old == "link":
        target.symlink_to(write(elsewhere, b"old"))
    elif old == "link to folder":
        write(elsewhere / "old.csv", b"old")
        target.symlink_to(elsewhere)
    pin, source = pin_source("samples", root=root)
    kept = tree(root).get("elsewhere"), tree(root).get("elsewhere/old.csv")
    assert fetch_source(source, pin, target, root=root)
    assert not target.is_symlink()
    assert tree(target) == tree(source_path)
    assert (kind == "folder") or target.read_bytes() == b"one\n"
    assert (tree(root).get("elsewhere"), tree(root).get("elsewhere/old.csv")) == kept
    assert [path.name for path in (target.parent).iterdir()] == ["raw"]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write(folder / "part-1" / "001.csv", b"X\n"),  # the size stays
        lambda folder: (folder / "part-1" / "001.csv").unlink(),
        lambda folder: write(folder / "more.csv"),
        lambda folder: (folder / "part-1" / "001.csv").rename(folder / "001.csv"),
        lambda folder: folder.rename(folder.parent / "before") and write(folder),
    ],
)
def test_a_changed_source_is_refused_and_the_old_data_stays(root: Path, change: Callable[[Path], object]) -> None:
    write_folder(root / "samples", 12)
    pin, source = pin_source("samples", root=root)
    write(root / "data" / "raw" / "old.csv", b"old")
    change(root / "samples")
    before = tree(root)
    with pytest.raises(SourceChangedError) as caught:
        fetch_source(source, pin, root / "data" / "raw", root=root)
    assert tree(root) == before
    for part in ("samples", pin.sha256[:12], "canon data pin"):
        assert part in str(caught.value)


def test_a_changed_file_is_named_with_both_hashes(root: Path) -> None:
    write(root / "raw.csv", b"one\n")
    pin, source = pin_source("raw.csv", root=root)
    write(root / "raw.csv", b"two\n")
    with pytest.raises(SourceChangedError) as caught:
        fetch_source(source, pin, root / "new" / "deep" / "data.csv", root=root)
    for part in ("raw.csv", sha256(b"one\n")[:12], sha256(b"two\n")[:12], "canon data pin"):
        assert part in str(caught.value)
    assert not (root / "new").exists()  # folders made for it are gone, too


@pytest.mark.parametrize("field", ["sha256", "md5", "size"])
def test_every_part_of_a_pin_counts(root: Path, field: str) -> None:
    write(root / "raw.csv")
    pin, source = pin_source("raw.csv", root=root)
    wrong = pin.model_copy(update={field: {"sha256": "0" * 64, "md5": "0" * 32, "size": 5}[field]})
    with pytest.raises(SourceChangedError):
        fetch_source(source, wrong, root / "data.csv", root=root)
    write(root / "data.csv")
    with pytest.raises(SourceChangedError):  # and what is there already is not taken for it
        fetch_source(source, wrong, root / "data.csv", root=root)


@pytest.mark.parametrize("place", ["../data.csv", "linked/data.csv", ".", "a/..", "a/../..", "linked"])
def test_data_is_only_brought_into_the_repository(root: Path, tmp_path: Path, place: str) -> None:
    write(root / "raw.csv")
    (root / "a").mkdir()
    write(tmp_path / "outside" / "keep.csv")
    (root / "linked").symlink_to(tmp_path / "outside")
    pin, source = pin_source("raw.csv", root=root)
    before = tree(tmp_path)
    with pytest.raises(CanonError, match=r"no place below|leaves the repository"):
        fetch_source(source, pin, root / place, root=root)
    assert tree(tmp_path) == before


def test_dvcs_links_into_a_cache_elsewhere_count_as_their_content(root: Path, tmp_path: Path) -> None:
    write(root / "raw.csv")
    pin, source = pin_source("raw.csv", root=root)
    (root / "data.csv").symlink_to(write(tmp_path / "cache" / "ab" / "cd"))
    assert fetch_source(source, pin, root / "data.csv", root=root) is False
    write(root / "samples" / "a.csv")
    pin, source = pin_source("samples", root=root)
    (root / "data").mkdir()
    (root / "data" / "a.csv").symlink_to(tmp_path / "cache" / "ab" / "cd")
    assert fetch_source(source, pin, root / "data", root=root) is False


def test_a_source_and_its_place_do_not_lie_in_one_another(root: Path) -> None:
    write(root / "data" / "samples" / "a.csv")
    pin, source = pin_source("data/samples", root=root)
    before = tree(root)
    for place in ("data", "data/samples/copy"):
        with pytest.raises(CanonError, match="lie in one another"):
            fetch_source(source, pin, root / place, root=root)
    assert tree(root) == before
    assert fetch_source(source, pin, root / "data" / "samples", root=root) is False  # the same place is fine


FETCH = """
import resource, sys
from pathlib import Path
from canon.data.get import fetch_source
from canon.data.pin import pin_source
from canon.model.errors import CanonError
root = Path(sys.argv[1])
pin, source = pin_source(sys.argv[2], root=root)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    fetch_source(source, pin, root / "data", root=root)
except CanonError as error:
    sys.exit(f"CanonError: {error}")
"""


@pytest.mark.parametrize("jobs", ["file", "folder"])
def test_no_room_for_the_data_leaves_the_old(root: Path, jobs: str) -> None:
    if jobs == "file":
        write(root / "samples", b"1" * 2_000_000)
        write(root / "data", b"old")
    else:
        write_folder(root / "samples", 12)
        write(root / "samples" / "large", b"1" * 2_000_000)
        write(root / "data" / "old.csv", b"old")
    before = tree(root)
    done = subprocess.run(
        [sys.executable, "-c", FETCH, str(root), "samples"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"CanonError: cannot write {root}/data: File too large; what was there is unchanged")
    assert tree(root) == before


def test_sigterm_is_as_it_was_after_a_fetch(root: Path) -> None:
    write(root / "raw.csv")
    pin, source = pin_source("raw.csv", root=root)
    seen: list[object] = []
    progress = Acting(lambda: seen.append(signal.getsignal(signal.SIGTERM)))
    fetch_source(source, pin, root / "data.csv", root=root, progress=progress)
    assert seen != [signal.SIG_DFL]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
