"""What was released when, from Git alone: also where somebody has edited, removed, merged, or cloned a part only."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from canon.model.errors import UsageError
from canon.releases.history import load_history, released_at, time_from_text
from tests.conftest import git
from tests.e2e.released import clone, copy_repository, facts, release, remote, rows

PATH = "argo/p/releases/staging.yaml"


@pytest.fixture
def work(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three releases, on the first, second and third of March."""
    work = copy_repository(tmp_path_factory, tmp_path)
    for day in (1, 2, 3):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"2026-03-0{day}T10:00:00Z")
        release(work, "staging", facts(work, day))
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-03-04T10:00:00Z")
    git(work, "pull", "-q", "--ff-only")
    return work


def commit(work: Path, text: str | None, message: str = "by hand") -> None:
    """Edit the file, or remove it, and push that."""
    (work / PATH).unlink() if text is None else (work / PATH).write_text(text)
    git(work, "add", "--all")
    git(work, "commit", "-qm", message)
    git(work, "push", "-q", "origin", "HEAD:main")


def numbers(work: Path) -> list[int | None]:
    return [row.release.number if row.release else None for row in rows(work)]


def test_the_newest_is_first_and_other_commits_are_left_out(work: Path) -> None:
    (work / "params.yaml").write_text("rate: 2\n")
    git(work, "commit", "-qam", "code")
    git(work, "push", "-q")
    assert numbers(work) == [3, 2, 1]
    assert [row.problem for row in rows(work)] == ["", "", ""]
    assert git(remote(work), "log", "-1", "--format=%s", rows(work)[0].commit).startswith("p in staging #3")
    assert rows(work, "production") == ()


@pytest.mark.parametrize(
    ("at", "number"),
    [
        ("2026-02-28", None),
        ("2026-03-01T09:59:59", None),
        ("2026-03-01T10:00", 1),
        ("2026-03-01", 1),  # at its end
        ("2026-03-02T09:00:00Z", 1),
        ("2026-03-02T11:00:00+02:00", 1),
        ("2026-03-02T12:00:00+02:00", 2),
        ("2030-01-01", 3),
    ],
)
def test_what_was_live_then(work: Path, at: str, number: int | None) -> None:
    found = released_at(rows(work), time_from_text(at))
    assert (found.release.number if found and found.release else None) == number


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-03-01T25:00", "", "9999-12-31T23:59:59-24:00"])
def test_what_is_no_time_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="is no date; write 2026-11-01"):
        time_from_text(text)


def test_a_day_is_meant_to_its_end() -> None:
    assert time_from_text("2026-03-01") == datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[nonsense\n", "edited by hand: "),
        ("number: \x00\n", "edited by hand: "),
        (None, "the file was removed"),
        ("a: &a [1]\nb: " + "[" * 2000, "edited by hand: "),
    ],
)
def test_what_was_edited_into_nonsense_is_said_and_the_others_are_right(
    work: Path, text: str | None, says: str
) -> None:
    commit(work, text)
    assert numbers(work) == [None, 3, 2, 1]
    assert says in rows(work)[0].problem
    done = release(work, "staging", facts(work, 4))
    assert (done.release.number, numbers(work)) == (4, [4, None, 3, 2, 1])
    found = released_at(rows(work), time_from_text("2026-03-03"))
    assert found is not None
    assert found.release is not None
    assert found.release.number == 3


def test_bytes_that_are_no_text(work: Path) -> None:
    (work / PATH).write_bytes(b"\xff\xfe")
    git(work, "commit", "-qam", "bytes")
    git(work, "push", "-q")
    assert "no text" in rows(work)[0].problem


def test_an_edit_that_still_reads_as_a_release_is_marked(work: Path) -> None:
    text = (work / PATH).read_text()
    commit(work, text.replace("why: because of 03", "why: because I say so"))
    assert numbers(work) == [3, 3, 2, 1]
    assert [row.problem for row in rows(work)] == ["edited by hand after it was released", "", "", ""]


def test_a_merge_of_the_remotes_branch_hides_no_release(work: Path) -> None:
    """`git pull` of somebody with commits of their own makes the releases' line the second parent."""
    other = clone(work, "other")
    git(other, "reset", "-q", "--hard", "HEAD~2")
    git(other, "commit", "-q", "--allow-empty", "-m", "mine")
    git(other, "pull", "-q", "--no-rebase", "--no-edit")
    git(other, "push", "-q")
    assert len(git(remote(work), "log", "-1", "--format=%P", "main").split()) == 2
    assert numbers(work) == [3, 2, 1]
    assert (release(work, "staging", facts(work, 4)).release.number, numbers(work)) == (4, [4, 3, 2, 1])


def test_a_shallow_clone_has_what_it_has(work: Path) -> None:
    shallow = clone(work, "shallow", "--depth", "1")
    (row,) = load_history(shallow, "HEAD", "p", "staging")
    assert row.release is not None
    assert row.release.number == 3
    assert row.since == int(time_from_text(row.release.time).timestamp()), "the clone does not know when it came"
