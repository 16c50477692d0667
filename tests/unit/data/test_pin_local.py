"""Local sources that are pinned: what their pins are made of, and what no pin is made of."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from canon.data.get import fetch_source
from canon.data.pin import pin_source
from canon.model.errors import CanonError
from canon.model.pins import Pin, Source, folder_md5, folder_sha256
from tests.unit.data.local import Acting, Counting, md5, sha256, tree, write, write_folder


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


def test_credentials_are_refused_before_anything_is_said_of_the_uri(root: Path) -> None:
    for uri in ("https://user:hunter2@host/x.csv", "s3://key:hunter2@bucket/x", "ftp://u:hunter2@host/x"):
        with pytest.raises(CanonError, match="carries credentials") as caught:
            pin_source(uri, root=root)
        assert "hunter2" not in str(caught.value)
