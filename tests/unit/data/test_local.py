from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from canon.data.get import fetch_source
from canon.data.pin import pin_source
from canon.data.progress import Silent
from canon.model.errors import CanonError, SourceChangedError
from canon.model.pins import Pin, Source, folder_md5, folder_sha256


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def tree(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder: bytes of a file, target of a link, None for a folder."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        found[name] = str(path.readlink()) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
    return found


class Acting(Silent):
    """Does something once, while a source is being read."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act: Callable[[], object] | None = act

    def advance(self, count: int) -> None:
        del count
        if self.act is not None:
            act, self.act = self.act, None
            act()


class Counting(Silent):
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.files: int | None = None
        self.read = 0
        self.ended = 0

    def start(self, total: int | None, files: int | None) -> None:
        self.total, self.files = total, files

    def advance(self, count: int) -> None:
        self.read += count

    def done(self) -> None:
        self.ended += 1


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


def write(path: Path, content: bytes = b"one\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_folder(folder: Path, count: int = 300) -> dict[str, bytes]:
    files = {f"part-{number % 7}/{number:03}.csv": f"{number}\n".encode() * (number % 5) for number in range(count)}
    for name, content in files.items():
        write(folder / name, content)
    return files


def test_the_pin_of_a_file_is_its_hashes(root: Path) -> None:
    content = os.urandom(9_000_001)  # more than two blocks
    write(root / "samples" / "raw.csv", content)
    progress = Counting()
    pin, source = pin_source("samples/raw.csv", root=root, progress=progress)
    assert pin == Pin(sha256=sha256(content), md5=md5(content), size=len(content))
    assert source == Source(uri="samples/raw.csv")
    assert (progress.total, progress.files, progress.read, progress.ended) == (len(content), 1, len(content), 1)


@pytest.mark.parametrize("jobs", [1, 4])
def test_the_pin_of_a_folder_is_made_of_its_files(root: Path, jobs: int) -> None:
    files = write_folder(root / "samples")
    progress = Counting()
    pin, _ = pin_source("samples", root=root, jobs=jobs, progress=progress)
    assert pin.sha256 == folder_sha256((name, len(content), sha256(content)) for name, content in files.items())
    assert pin.md5 == folder_md5((name, md5(content)) for name, content in files.items())
    assert (pin.size, pin.nfiles) == (sum(map(len, files.values())), 300)
    assert (progress.total, progress.files, progress.read, progress.ended) == (pin.size, 300, pin.size, 1)


def test_equal_bytes_have_equal_pins_wherever_they_lie(root: Path, tmp_path: Path) -> None:
    write(root / "a b.csv")
    write(tmp_path / "outside" / "b c.csv")
    uris = ["a b.csv", "./a b.csv", f"{tmp_path}/outside/b c.csv", f"file://{tmp_path}/outside/b%20c.csv"]
    assert len({pin_source(uri, root=root)[0].sha256 for uri in uris}) == 1


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


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("missing.csv", "no source missing.csv"),
        ("raw.csv/deeper", "no source raw.csv/deeper"),
        ("../outside/raw.csv", "leaves the repository"),
        ("../repository/raw.csv", "leaves the repository"),
        ("a/../../outside/raw.csv", "leaves the repository"),
        ("link.csv", "leaves the repository"),
        ("linked/raw.csv", "leaves the repository"),
        ("empty", "no files in empty"),
        ("hollow", "no files in hollow"),
        ("fifo", "neither a file nor a folder"),
        ("/dev/zero", "neither a file nor a folder"),
        ("with-fifo", "is no file"),
        ("with-link", "leaves the source"),
        ("with-folder-link", "link to a folder"),
        ("with-dangling", "no source with-dangling"),
        ("case", "one name on some machines"),
        ("unicode", "one name on some machines"),
        ("backslash", "would not stay"),
        ("file://host/raw.csv", "absolute path"),
        ("file://raw.csv", "absolute path"),
        ("ftp://host/raw.csv", "not ftp://"),
        ("", "no source"),
        ("a\nb", "control characters"),
        ("a\0b", "control characters"),
    ],
)
def test_a_source_that_cannot_be_pinned_is_refused(root: Path, tmp_path: Path, uri: str, said: str) -> None:
    write(root / "raw.csv")
    write(tmp_path / "outside" / "raw.csv")
    (root / "a").mkdir()
    (root / "empty").mkdir()
    (root / "hollow" / "deep").mkdir(parents=True)
    os.mkfifo(root / "fifo")
    (root / "with-fifo").mkdir()
    os.mkfifo(root / "with-fifo" / "fifo")
    (root / "link.csv").symlink_to(tmp_path / "outside" / "raw.csv")
    (root / "linked").symlink_to(tmp_path / "outside")
    for name, place in (
        ("with-link", tmp_path / "outside" / "raw.csv"), ("with-folder-link", root / "a"), ("with-dangling", root / "with-dangling" / "x"),
    ):  # fmt: skip
        (root / name).mkdir()
        (root / name / "link").symlink_to(place)
    write(root / "case" / "A" / "1.csv")
    write(root / "case" / "a" / "2.csv")
    write(root / "unicode" / "\u00fc.csv")
    write(root / "unicode" / "u\u0308.csv")
    write(root / "backslash" / "a\\b.csv")
    with pytest.raises(CanonError) as caught:
        pin_source(uri, root=root)
    assert said in str(caught.value)


def test_links_within_a_source_count_as_what_they_point_to(root: Path) -> None:
    write(root / "samples" / "a.csv")
    (root / "samples" / "b.csv").symlink_to("a.csv")
    pin, source = pin_source("samples", root=root)
    fetch_source(source, pin, root / "data", root=root)
    assert tree(root / "data") == {"a.csv": b"one\n", "b.csv": b"one\n"}


def test_a_folder_that_cannot_be_read_is_no_part_of_a_pin_in_silence() -> None:
    # Without root's rights; pytest's own folders are closed to others.
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        top.chmod(0o755)
        write(top / "samples" / "a.csv")
        write(top / "samples" / "closed" / "b.csv")
        write(top / "samples" / "open" / "closed.csv")
        (top / "samples" / "open" / "closed.csv").chmod(0)
        (top / "samples" / "closed").chmod(0)
        effective = os.geteuid()
        if effective == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(CanonError, match=r"no right to read .*samples/closed"):
                pin_source("samples", root=top)
            with pytest.raises(CanonError, match=r"no right to read .*closed.csv"):
                pin_source("samples/open", root=top)
            pin, source = pin_source("samples/a.csv", root=top)
            if effective != 0:
                top.chmod(0o555)
            with pytest.raises(CanonError, match=r"cannot write .*data.csv: Permission denied") as caught:
                fetch_source(source, pin, top / "data.csv", root=top)
            assert "unchanged" in str(caught.value)
        finally:
            os.seteuid(effective)
            top.chmod(0o755)
            (top / "samples" / "closed").chmod(0o755)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write(folder / "000.csv", b"2" * 8_000_001),
        lambda folder: write(folder / "000.csv", b"2" * 8_000_000),
        lambda folder: write(folder / "000.csv", b"2"),
        lambda folder: write(folder / "more.csv"),
        lambda folder: (folder / "000.csv").unlink(),
        lambda folder: write(folder / "next", b"1" * 8_000_000).replace(folder / "000.csv"),
    ],
)
def test_a_source_that_changes_while_it_is_pinned_is_refused(root: Path, change: Callable[[Path], object]) -> None:
    write(root / "samples" / "000.csv", b"1" * 8_000_000)  # two blocks
    write(root / "samples" / "001.csv")
    with pytest.raises(CanonError, match=r"changed while it was read|changes while it is|no source"):
        pin_source("samples", root=root, progress=Acting(lambda: change(root / "samples")), jobs=1)


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


def test_credentials_are_refused_before_anything_is_said_of_the_uri(root: Path) -> None:
    for uri in ("https://user:hunter2@host/x.csv", "s3://key:hunter2@bucket/x", "ftp://u:hunter2@host/x"):
        with pytest.raises(CanonError, match="carries credentials") as caught:
            pin_source(uri, root=root)
        assert "hunter2" not in str(caught.value)


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
