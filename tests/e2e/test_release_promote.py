"""Promotions go through their gates, rollbacks bring back what was there; both take the image as it is."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from canon.model.errors import CanonError
from canon.model.gates import Health
from canon.model.release import Origin, Release
from canon.releases.decide import HealthOf, decide_promotion, decide_rollback
from canon.releases.draft import facts_of
from canon.releases.publish import Decide
from tests.conftest import git
from tests.e2e.released import FILES, clone, copy_repository, facts, make_repository, release, released, remote, tags

GATES = 'gates: ["rmse <= 1.0 * production.rmse"]'


@pytest.fixture
def work(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_repository(tmp_path_factory, tmp_path)


def there(_: str) -> None:
    """The registry has every image."""


def promotion(said: list[str] | None = None, health_of: HealthOf | None = None) -> Decide:
    return decide_promotion("staging", "production", None, there, health_of, (said if said is not None else []).append)


def back(to: int | None = None) -> Decide:
    return decide_rollback("staging", to, None, there)


def with_gates(folder: Path, *gates: str) -> Path:
    text = FILES["pipelines/p.yaml"].replace(GATES, f"gates: {list(gates)}")
    return make_repository(folder, {"pipelines/p.yaml": text})


def test_the_same_image_with_all_that_is_known_of_it(work: Path) -> None:
    first = release(work, "staging", facts(work, 3)).release
    said: list[str] = []
    done = release(work, "production", promotion(said)).release
    assert facts_of(done) == facts_of(first)
    assert (done.number, done.version) == (2, first.version)
    assert done.promoted == Origin(environment="staging", number=1)
    assert done.why == "promoted from staging #1"
    assert said == ["ok      rmse <= 1.0 * production.rmse: production has no release to compare with"]
    again = release(work, "production", promotion())
    assert (again.created, again.release) == (False, done)


def test_what_is_worse_than_what_is_there_is_refused(work: Path) -> None:
    release(work, "staging", facts(work, 3))
    release(work, "production", promotion())
    release(work, "staging", facts(work, 2))  # a greater error
    before = git(remote(work), "for-each-ref")
    with pytest.raises(
        CanonError, match=r"#3 does not pass the gates of `production`: rmse .* \(rmse is 0\.5, production has 0\.33"
    ):
        release(work, "production", promotion())
    assert git(remote(work), "for-each-ref") == before
    release(work, "staging", facts(work, 4))
    assert release(work, "production", promotion()).release.number == 5


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"loss": 0.1}, r"has no metric rmse \(it has: loss\)"),
        ({"rmse": math.nan}, "rmse is nan"),
    ],
)
def test_a_metric_that_is_missing_or_no_number_is_refused(work: Path, metrics: dict[str, float], words: str) -> None:
    release(work, "staging", facts(work, 3))
    release(work, "production", promotion())
    release(work, "staging", facts(work, 4, commit="", **metrics))
    with pytest.raises(CanonError, match=words):
        release(work, "production", promotion())


def test_only_from_the_declared_environment(work: Path) -> None:
    with pytest.raises(CanonError, match="`staging` of p has no release that could be promoted"):
        release(work, "production", promotion())
    with pytest.raises(CanonError, match="comes by `canon release`, not from `production`"):
        release(work, "staging", decide_promotion("production", "staging", None, there, None, print))
    with pytest.raises(CanonError, match="declares no environment `nowhere`"):
        release(work, "production", decide_promotion("nowhere", "production", None, there, None, print))


def test_a_release_that_is_nonsense_is_promoted_nowhere_and_hides_behind_no_gate(work: Path) -> None:
    release(work, "staging", facts(work, 3))
    git(work, "pull", "-q")
    (work / "argo/p/releases/staging.yaml").write_text("image: mine\n")
    git(work, "commit", "-qam", "nonsense")
    git(work, "push", "-q")
    with pytest.raises(CanonError, match=r"argo/p/releases/staging\.yaml.*(?s:.*)restore what Git has"):
        release(work, "production", promotion())
    # it does not keep anybody from releasing there anew, or going back
    assert release(work, "staging", back()).release.restores == 1


def test_health_is_asked_of_whoever_knows_it(tmp_path: Path) -> None:
    work = with_gates(tmp_path, "healthy 24h")
    release(work, "staging", facts(work, 3))
    with pytest.raises(CanonError, match="nobody here can tell the health of a service"):
        release(work, "production", promotion())
    asked: list[tuple[str, float]] = []

    def health_of(release: Release) -> Health:
        def healthy(seconds: float) -> tuple[bool, str]:
            asked.append((release.tag, seconds))
            return len(asked) > 1, "for 2 h"

        return healthy

    with pytest.raises(CanonError, match=r"healthy 24h \(for 2 h\)"):
        release(work, "production", promotion(None, health_of))
    assert release(work, "production", promotion(None, health_of)).created
    assert asked == [("p#staging#1", 86400.0)] * 2


def test_an_image_that_is_gone_from_its_registry_is_refused(work: Path) -> None:
    def gone(image: str) -> None:
        raise CanonError(f"{image} is not in its registry any more")

    for number in (1, 2):
        release(work, "staging", facts(work, number))
    for environment, decide in (
        ("staging", decide_rollback("staging", None, None, gone)),
        ("production", decide_promotion("staging", "production", None, gone, None, print)),
    ):
        with pytest.raises(CanonError, match="not in its registry any more"):
            release(work, environment, decide)


def test_a_rollback_restores_the_last_release_with_another_image(work: Path) -> None:
    first = release(work, "staging", facts(work, 1)).release
    release(work, "staging", facts(work, 2))
    done = release(work, "staging", back()).release
    assert facts_of(done) == facts_of(first)
    assert (done.number, done.restores, done.version, done.why) == (3, 1, first.version, "back to #1")
    assert tags(work) == ["p#staging#1", "p#staging#2", "p#staging#3", "p@v0.0.1", "p@v0.0.2"]
    assert release(work, "staging", back()).release.restores == 2, "and forth"


def test_a_rollback_to_a_number(work: Path) -> None:
    for number in (1, 2, 3):
        release(work, "staging", facts(work, number))
    assert release(work, "staging", back(1)).release.image == facts(work, 1).image
    again = release(work, "staging", back(1))
    assert (again.created, again.release.number) == (False, 4)
    with pytest.raises(CanonError, match=r"never had a release #9 \(it had: #4, #3, #2, #1\)"):
        release(work, "staging", back(9))
    with pytest.raises(CanonError, match="never had a release #9"):
        release(work, "staging", decide_rollback("production", 9, None, there))


def test_there_may_be_nothing_to_go_back_to(work: Path) -> None:
    release(work, "staging", facts(work, 1))
    with pytest.raises(CanonError, match=r"has no earlier release with another image$"):
        release(work, "staging", back())
    shallow = clone(work, "shallow", "--depth", "1")
    with pytest.raises(CanonError, match="this clone is shallow, `git fetch --unshallow`"):
        release(shallow, "staging", back())


def test_an_edited_release_is_not_what_is_gone_back_to(work: Path) -> None:
    for number in (1, 2):
        release(work, "staging", facts(work, number))
    git(work, "pull", "-q")
    file = work / "argo/p/releases/staging.yaml"
    file.write_text(file.read_text().replace(f"{2:064x}", f"{7:064x}"))
    git(work, "commit", "-qam", "edited")
    git(work, "push", "-q")
    assert release(work, "staging", back(2)).release.image.endswith("2")
    assert [each.number for each in released(work)] == [3, 2, 2, 1]
