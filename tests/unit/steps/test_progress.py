"""What Argo's UI is told of files that are moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from canon.remotes.opening import Remote
from canon.steps.progress import PodProgress
from canon.steps.store import open_store


def test_progress_is_a_part_of_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "progress"
    monkeypatch.setenv("ARGO_PROGRESS_FILE", str(file))
    with PodProgress() as progress:
        progress.set_size(1000)
        said = []
        for done in (10, 1, 989):
            progress.relative_update(done)
            said.append(file.read_text())
    assert said == ["10/1000\n", "10/1000\n", "1000/1000\n"]


def test_a_part_that_is_moved_at_once_is_not_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC moves a folder's files, then its list, then the rest, and tells the size of each; `2/1` is nothing to Argo."""
    monkeypatch.setenv("ARGO_PROGRESS_FILE", str(tmp_path / "progress"))
    said: list[str] = []
    told = PodProgress.call

    def look(progress: PodProgress) -> None:
        told(progress)
        said.append((tmp_path / "progress").read_text().strip())

    monkeypatch.setattr(PodProgress, "call", look)
    (tmp_path / "work/out").mkdir(parents=True)
    for name in ("out/a", "out/b", "file"):
        (tmp_path / "work" / name).write_text(name)
    (tmp_path / "private").mkdir()
    with open_store(tmp_path / "private", Remote(str(tmp_path / "remote"))) as store:
        store.send([store.save(tmp_path / "work", path).md5 for path in ("out", "file")])
    assert list(dict.fromkeys(said)) == ["0/4", "1/4", "2/4", "3/4", "4/4"]


@pytest.mark.parametrize("place", [None, "none/progress"])
def test_what_cannot_be_told_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str | None) -> None:
    monkeypatch.delenv("ARGO_PROGRESS_FILE", raising=False)
    if place is not None:
        monkeypatch.setenv("ARGO_PROGRESS_FILE", str(tmp_path / place))
    with PodProgress() as progress:
        progress.set_size(2)
        progress.relative_update()
    assert not list(tmp_path.iterdir())
