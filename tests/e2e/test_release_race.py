"""Several release at once from clones of their own: every release is there in the end, one after the other, and nothing was forced."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from canon.releases.draft import Draft
from canon.releases.state import Released
from tests.conftest import ROOT, git
from tests.e2e.projects import at_once
from tests.e2e.released import clone, experiment, facts, make_repository, release, released, remote, rows, tags, target

CLONES = 10
ONE = """
import sys
from pathlib import Path
from canon.releases.draft import Draft
from canon.releases.publish import publish_release
from tests.e2e.released import facts, order, render, target
work, number, commit = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
known = facts(work, number, commit=commit)
done = publish_release(work, target(), order("staging", known), render, say=lambda text: print(text, file=sys.stderr))
print(done.release.tag)
"""


def test_ten_clones_at_once(tmp_path: Path) -> None:
    work = make_repository(tmp_path)
    git(remote(work), "config", "receive.denyNonFastForwards", "true")
    git(remote(work), "config", "core.logAllRefUpdates", "true")
    commits = [experiment(work, number) for number in range(1, CLONES + 1)]
    clones = [clone(work, f"clone-{number}") for number in range(1, CLONES + 1)]
    commands = [
        (
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{ONE}",
            str(folder),
            str(number),
            commit,
        )
        for number, (folder, commit) in enumerate(zip(clones, commits, strict=True), 1)
    ]
    done = at_once(tmp_path, *commands)
    assert [(each.returncode, each.stderr) for each in done if each.returncode] == []
    # ten releases, whose numbers and versions are one to ten, each on its own experiment
    found = released(work)
    assert [each.number for each in found] == list(range(CLONES, 0, -1))
    assert sorted(each.image for each in found) == sorted(facts(work, number).image for number in range(1, CLONES + 1))
    assert sorted(int(each.version.rpartition(".")[2]) for each in found) == list(range(1, CLONES + 1))
    assert sorted(each.stdout.strip() for each in done) == sorted(each.tag for each in found)
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


def test_two_commands_in_one_clone_wait_for_each_other(tmp_path: Path) -> None:
    work = make_repository(tmp_path)
    commands = [
        (sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{ONE}", str(work), str(number), git(work, "rev-parse", "HEAD"))
        for number in (1, 2, 3)
    ]  # fmt: skip
    done = at_once(tmp_path, *commands)
    assert [each.returncode for each in done] == [0, 0, 0], [each.stderr for each in done]
    assert [each.number for each in released(work)] == [3, 2, 1]
    assert "once more" not in "".join(each.stderr for each in done)


def test_gto_lists_the_releases(tmp_path: Path) -> None:
    work = make_repository(tmp_path)
    first, second = experiment(work, 1), experiment(work, 2)
    release(work, "staging", facts(work, 1, commit=first))
    release(work, "production", facts(work, 1, commit=first), target())
    release(work, "staging", facts(work, 2, commit=second))
    fresh = clone(work, "fresh")
    shown = subprocess.run(["gto", "show", "--json"], cwd=fresh, capture_output=True, text=True, check=True).stdout
    registry = json.loads(shown)["p"]
    assert registry["version"] == "v0.0.2"
    assert registry["stage"] == {"staging": "v0.0.2", "production": "v0.0.1"}
    listed = subprocess.run(["gto", "history", "--json"], cwd=fresh, capture_output=True, text=True, check=True).stdout
    assert {each["ref"] for each in json.loads(listed)} == set(tags(work))
