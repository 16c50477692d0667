"""The model's files on their way into a layer: what they must be, and what a link brings in from elsewhere."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from canon.baking.model import CheckedReader, describe_model, model_members
from canon.dvc.objects import StoredFile
from canon.model.errors import CanonError


def read(path: Path, sha256: str, size: int) -> bytes:
    content = b""
    with CheckedReader(path, sha256)() as file:
        while chunk := file.read(size):
            content += chunk
    return content


@pytest.mark.parametrize("length", [0, 1, 65_536, 65_537, 3_000_000])
def test_a_file_is_read_whole_or_refused_at_its_end(tmp_path: Path, length: int) -> None:
    content = bytes(index % 251 for index in range(length))
    file = tmp_path / "file"
    file.write_bytes(content)
    assert read(file, hashlib.sha256(content).hexdigest(), 1 << 20) == content
    with pytest.raises(CanonError, match=r"is not what the result recorded: its sha256 is"):
        read(file, "0" * 64, 1 << 20)


def test_a_file_is_hashed_again_when_it_was_changed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    reader = CheckedReader(file, hashlib.sha256(b"one").hexdigest())
    for _ in range(2):
        with reader() as opened:
            assert opened.read(10) + opened.read(10) == b"one"
    file.write_bytes(b"two")
    with reader() as opened, pytest.raises(CanonError, match="it was changed since"):
        assert opened.read(10) + opened.read(10)


def test_files_of_another_result_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    with pytest.raises(CanonError, match="does not name the files that model has"):
        describe_model("net", "model", [StoredFile("a", "0" * 32, file)], {"b": "0" * 64})
    with pytest.raises(CanonError, match="has no file; there is nothing to serve"):
        describe_model("net", "model", [], {})


def test_what_a_link_brings_in_from_elsewhere_is_refused(tmp_path: Path) -> None:
    root, cache = tmp_path / "root", tmp_path / "cache"
    (root / "model").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"bait")
    (root / "model/link").symlink_to(tmp_path / "secret")
    (root / "model/own").write_bytes(b"own")
    (root / "model/inside").symlink_to("own")
    recorded = dict.fromkeys(("link", "inside"), "0" * 64)
    stored = [StoredFile(name, "0" * 32, root / "model" / name) for name in recorded]
    model = describe_model("net", "model", stored, recorded)
    with pytest.raises(CanonError, match=r"is a link to .*secret, outside of the repository"):
        model_members(model, stored, root, cache)
    assert len(model_members(model, stored[1:], root, cache)) == 1
