"""One list, or one question each: the answers are the same, and what is not asked for costs nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from canon.planning import listing
from canon.planning.listing import Data, Entries
from canon.remotes.folder import FolderObjects
from canon.remotes.objects import Listed


class Counted(FolderObjects):
    """A folder that counts what it is asked."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: list[str] = []

    def listed(self, prefix: str) -> tuple[Listed, ...]:
        self.asked.append("listed")
        return super().listed(prefix)

    def below(self, prefix: str, most: int) -> tuple[Listed, ...] | None:
        self.asked.append("below")
        return super().below(prefix, most)

    def size(self, path: str) -> int | None:
        self.asked.append("size")
        return super().size(path)


@pytest.fixture
def remote(tmp_path: Path) -> Counted:
    for number in range(40):
        key = hashlib.sha256(b"%d" % number).hexdigest()
        (tmp_path / "runs" / key[:2] / key).mkdir(parents=True)
        (tmp_path / "runs" / key[:2] / key / ("0" * 64)).write_text("x")
        md5 = hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()
        path = tmp_path / "files/md5" / md5[:2] / md5[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return Counted(tmp_path)


@pytest.mark.parametrize(
    ("count", "page", "asked"), [(1, 1000, {"listed"}), (40, 1000, {"below"}), (40, 3, {"below", "listed"})]
)
def test_entries(remote: Counted, monkeypatch: pytest.MonkeyPatch, count: int, page: int, asked: set[str]) -> None:
    monkeypatch.setattr(listing, "PAGE", page)
    entries = Entries(remote, count)
    for number in range(40):
        assert [each.name for each in entries.listed(hashlib.sha256(b"%d" % number).hexdigest())] == ["0" * 64]
    assert entries.listed("f" * 64) == ()
    assert set(remote.asked) == asked


@pytest.mark.parametrize(
    ("count", "page", "asked"), [(1, 1000, {"size"}), (40, 1000, {"below"}), (40, 1, {"below", "size"})]
)
def test_data(remote: Counted, monkeypatch: pytest.MonkeyPatch, count: int, page: int, asked: set[str]) -> None:
    monkeypatch.setattr(listing, "PAGE", page)
    (remote._folder / "files/md5/00").mkdir(exist_ok=True)
    (remote._folder / "files/md5/00/0").write_text("x")
    data = Data(remote, count)
    for number in range(40):
        assert data.has(hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest())
    assert not data.has("f" * 32)
    assert set(remote.asked) == asked
