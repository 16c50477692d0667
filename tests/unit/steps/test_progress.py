"""What Argo's UI is told of files that are moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from canon.steps.progress import PodProgress


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


@pytest.mark.parametrize("place", [None, "none/progress"])
def test_what_cannot_be_told_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str | None) -> None:
    monkeypatch.delenv("ARGO_PROGRESS_FILE", raising=False)
    if place is not None:
        monkeypatch.setenv("ARGO_PROGRESS_FILE", str(tmp_path / place))
    with PodProgress() as progress:
        progress.set_size(2)
        progress.relative_update()
    assert not list(tmp_path.iterdir())
