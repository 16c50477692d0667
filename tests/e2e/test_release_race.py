"""Several release at once from clones of their own: every release is there in the end, one after the other, and nothing was forced."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from canon.model.release import Release
from canon.releases.draft import Draft, Facts
from canon.releases.publish import publish_release
from canon.releases.state import Released
from tests.conftest import git
from tests.e2e.released import (
    clone,
    experiment,
    facts,
    make_repository,
    order,
    release,
    released,
    remote,
    render,
    rows,
    tags,
    target,
)

CLONES = 10


def all_at_once(folders: Sequence[Path], made: Sequence[Facts]) -> tuple[list[Release], str]:
    """Release from each folder at the same moment; return the releases, and what was said of lost races."""
    barrier = threading.Barrier(len(folders))
    said: list[str] = []

    def one(folder: Path, known: Facts) -> Release:
        barrier.wait()
        return publish_release(folder, target(), order("staging", known), render, say=said.append).release

    with ThreadPoolExecutor(len(folders)) as pool:
        return list(pool.map(one, folders, made)), "\n".join(said)


def test_ten_clones_at_once(tmp_path: Path) -> None:
    work = make_repository(tmp_path)
    git(remote(work), "config", "receive.denyNonFastForwards", "true")
    git(remote(work), "config", "core.logAllRefUpdates", "true")
    commits = [experiment(work, number) for number in range(1, CLONES + 1)]
    clones = [clone(work, f"clone-{number}") for number in range(1, CLONES + 1)]
    made = [facts(work, number, commit=commit) for number, commit in enumerate(commits, 1)]
    done, _ = all_at_once(clones, made)
    # ten releases, whose numbers and versions are one to ten, each on its own experiment
    found = released(work)
    assert [each.number for each in found] == list(range(CLONES, 0, -1))
    assert sorted(each.image for each in found) == sorted(each.image for each in made)
    assert sorted(int(each.version.rpartition(".")[2]) for each in found) == list(range(1, CLONES + 1))
    assert sorted(each.tag for each in done) == sorted(each.tag for each in found)
    for each in found:
        for tag in (each.tag, each.version_tag):
            assert git(remote(work), "rev-parse", f"{tag}^{{commit}}") == each.experiment
    assert len(tags(work)) == 2 * CLONES
    # one line of commits, no merge, nothing that was there and is not any more
    lines = git(remote(work), "log", "--format=%H %P", "main").splitlines()
    assert len(lines) == CLONES + 1
    assert max(len(line.split()) for line in lines) == 2
    reached = [line.split()[1] for line in (remote(work) / "logs/refs/heads/main").read_text().splitlines()]
    assert reached == [line.split()[0] for line in reversed(lines)][1:]  # each was the head once, in this order
    assert all(git(folder, "status", "--porcelain") == "" for folder in clones)


def test_a_race_that_is_lost_begins_anew_from_what_won(tmp_path: Path) -> None:
    """Somebody else's release and tag arrive when ours is decided: number, files and message are those of the second attempt."""
    work = make_repository(tmp_path)
    other = clone(work, "other")
    seen: list[int] = []

    def decide(state: Released) -> Draft:
        seen.append(len(state.seen.commits))
        if len(seen) == 1:
            release(other, "staging", facts(other, 7))
        return Draft(facts(work, 8), "mine")

    done = release(work, "production", decide)
    assert seen == [0, 2]
    assert done.release.number == 2
    assert git(remote(work), "log", "-1", "--format=%s", "main").startswith("p in production #2: release")
    assert [row.release.number for row in rows(work, "production") if row.release] == [2]
    assert git(work, "for-each-ref", "refs/canon") == ""


def test_commands_in_one_clone_wait_for_each_other(tmp_path: Path) -> None:
    work = make_repository(tmp_path)
    done, said = all_at_once([work] * 3, [facts(work, number) for number in (1, 2, 3)])
    assert sorted(each.number for each in done) == [1, 2, 3]
    assert [each.number for each in released(work)] == [3, 2, 1]
    assert "once more" not in said


def test_gto_lists_the_releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = make_repository(tmp_path)
    first, second = experiment(work, 1), experiment(work, 2)
    for day, environment, number, commit in (
        (1, "staging", 1, first),
        (2, "production", 1, first),
        (3, "staging", 2, second),
    ):
        monkeypatch.setenv(
            "GIT_COMMITTER_DATE", f"2026-03-0{day}T10:00:00Z"
        )  # GTO takes the newest of a stage by its second
        release(work, environment, facts(work, number, commit=commit))
    fresh = clone(work, "fresh")
    shown = subprocess.run(["gto", "show", "--json"], cwd=fresh, capture_output=True, text=True, check=True).stdout
    registry = json.loads(shown)["p"]
    assert registry["version"] == "v0.0.2"
    assert registry["stage"] == {"staging": "v0.0.2", "production": "v0.0.1"}
    listed = subprocess.run(["gto", "history", "--json"], cwd=fresh, capture_output=True, text=True, check=True).stdout
    assert {each["ref"] for each in json.loads(listed)} == set(tags(work))
