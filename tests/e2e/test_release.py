"""`canon release`, `promote`, `rollback`, `history`, `diff`: a real image in a registry, a real experiment, real data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Run, git, once
from tests.e2e.served import bake
from tests.e2e.shop import URL, copied, make_shop, push_image, settle
from tests.registry import Registry


@dataclass(frozen=True)
class Shop:
    root: Path
    registry: Registry
    main: str
    """The image of the result on main."""
    experiment: str
    """That of the experiment."""

    @property
    def code(self) -> Path:
        return self.root.parent / "code.git"

    def clone(self, name: str, *options: str) -> Path:
        folder = self.root.parent / name
        git(self.root.parent, "clone", "-q", *options, self.code.as_uri(), str(folder))
        git(folder, "remote", "set-url", "origin", URL)
        settle(folder)
        return folder


@pytest.fixture
def shop(quick: None, direct: None, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:  # noqa: ARG001  fixtures for their effect
    template = once(tmp_path_factory, "shop", make_shop)
    root = copied(template, tmp_path / "shop")
    with Registry() as registry:
        images = [
            push_image(root.parent / "made", (template / name).read_text(), f"{registry.host}/ml/p")
            for name in ("main", "experiment")
        ]
        yield Shop(root, registry, *images)


def test_from_an_image_to_two_environments_and_back(shop: Shop, run: Run) -> None:
    root = shop.root
    before = git(root, "status", "--porcelain"), git(root, "rev-parse", "HEAD")
    done = run(root, "canon", "release", "p", "staging", "--image", shop.main, "--why", "the first \x1b[31mone")
    assert done.stdout == "p#staging#1\n"
    assert "not checked" in done.stderr, "what cannot be looked at is said"
    assert "no run is named: the profile `local` declares no `mlflow`" in done.stderr
    assert "is pushed to `main`" in done.stderr
    run(root, "canon", "promote", "p", "staging", "production")
    # by a tag of the registry, and a result that only an experiment has, which this clone lacks
    digest = shop.experiment.rpartition("@")[2]
    assert git(root, "for-each-ref", "refs/exps", "refs/canon") == ""
    made = json.loads(run(root, "canon", "release", "p", "staging", "--image", shop.experiment, "--json").stdout)
    assert (made["created"], made["number"], made["digest"], made["metrics"]) == (True, 3, digest, {"rate": 0.75})
    exps = git(shop.code, "for-each-ref", "--format=%(objectname)", "refs/exps").split()
    assert [made["experiment"]] == exps
    assert git(root, "for-each-ref", "refs/exps", "refs/canon") == ""
    assert git(shop.code, "rev-parse", "p#staging#1^{commit}") == before[1], "whose dvc.lock has the result"
    assert set(made["entries"]) == {"data-raw", "fit"}

    again = run(root, "canon", "release", "p", "staging", "--image", shop.experiment)
    assert again.stdout == "p#staging#3\n"
    assert "is released already, as p#staging#3" in again.stderr

    assert run(root, "canon", "promote", "p", "staging", "production", "--dry-run").stdout.count("promoted:") == 1
    run(root, "canon", "promote", "p", "staging", "production", "--why", "better")
    back = run(root, "canon", "rollback", "p", "production", "--json")
    assert json.loads(back.stdout)["restores"] == 2
    assert (git(root, "status", "--porcelain"), git(root, "rev-parse", "HEAD")) == before

    listed = run(root, "canon", "history", "p", "production").stdout.splitlines()
    assert [line.split("\t")[1] for line in listed] == [
        "#5 v0.0.1 back to #2",
        "#4 v0.0.2 from staging #3",
        "#2 v0.0.1 from staging #1",
    ]
    assert "\x1b" not in run(root, "canon", "history", "p", "staging").stdout
    found = json.loads(run(root, "canon", "history", "p", "production", "--at", "2999-01-01", "--json").stdout)
    assert found["release"]["image"] == shop.main
    early = run(root, "canon", "history", "p", "production", "--at", "2020-01-01", code=1)
    assert "on 2020-01-01 was nothing yet" in early.stderr
    assert (
        "no release of p in `nowhere` (declared: staging, production)"
        in run(root, "canon", "history", "p", "nowhere", code=1).stderr
    )

    rows = [line.split("\t") for line in run(root, "canon", "diff", "p", "staging", "production").stdout.splitlines()]
    shown = {(row[0], row[1]): (row[2], row[3]) for row in rows}
    assert shown["params", "params/p.yaml:fit.rate"] == ("0.75", "0.5")
    assert shown["metrics", "rate"] == ("0.75", "0.5")
    assert shown["image", "image"] == (shop.experiment, shop.main)
    assert ("data", "raw") not in shown
    everything = json.loads(run(root, "canon", "diff", "p", "staging@1", "#5", "--all", "--json").stdout)
    same = {(each["section"], each["name"]) for each in everything if not each["differs"]}
    assert {("image", "image"), ("data", "raw"), ("data", "data hash"), ("metrics", "rate")} <= same
    assert run(root, "canon", "diff", "p", "staging@2", "#5", code=1).stderr.startswith(
        "canon: there is no release staging@2"
    )

    fresh = shop.clone("fresh", "--depth", "1")
    run(fresh, "canon", "render", "--check")  # what was released is what a checkout renders
    assert shop.main.rpartition("@")[2] in (fresh / "argo/p/environments/production/kustomization.yaml").read_text()
    part = run(fresh, "canon", "history", "p", "production")
    assert len(part.stdout.splitlines()) == 1
    assert "this clone is shallow" in part.stderr
    assert (
        "is not known in this shallow clone"
        in run(fresh, "canon", "history", "p", "production", "--at", "2020-01-01", code=1).stderr
    )


def test_dvc_keeps_in_the_remote_what_a_release_names(shop: Shop, run: Run) -> None:
    run(shop.root, "canon", "release", "p", "staging", "--image", shop.experiment)
    git(shop.code, "update-ref", "-d", git(shop.code, "for-each-ref", "--format=%(refname)", "refs/exps"))
    store = shop.root.parent / "store"
    fresh = shop.clone("fresh")
    # DVC 3.67 looks for a remote that is a relative folder in the wrong place when it goes through commits
    run(fresh, "dvc", "remote", "modify", "-q", "--local", "store", "url", str(store))

    def objects() -> set[str]:
        return {
            path.relative_to(store).as_posix()
            for path in store.rglob("*")
            if path.is_file() and "runs" not in path.parts
        }

    before = objects()
    run(fresh, "dvc", "gc", "--all-commits", "-c", "-f", "-q")
    assert objects() == before
    # without its tags, the data of the experiment goes: the test can fail
    for tag in ("p#staging#1", "p@v0.0.1"):
        git(fresh, "tag", "-d", tag)
    run(fresh, "dvc", "gc", "--all-commits", "-c", "-f", "-q")
    assert objects() < before


@pytest.mark.parametrize(
    ("image", "code", "words"),
    [
        ("oci:../made", 2, "is a layout on disk, which no cluster can pull"),
        ("no image", 2, "is no reference to an image"),
        ("HOST/ml/p@sha256:" + "0" * 64, 1, "0000"),
        ("HOST/ml/q:latest", 1, "ml/q"),
    ],
)
def test_an_image_that_cannot_be_released(shop: Shop, run: Run, image: str, code: int, words: str) -> None:
    before = git(shop.code, "for-each-ref")
    image = image.replace("HOST", shop.registry.host)
    done = run(shop.root, "canon", "release", "p", "staging", "--image", image, code=code)
    assert words in done.stderr
    assert git(shop.code, "for-each-ref") == before


def test_an_image_that_is_not_what_it_says_is_refused(shop: Shop, run: Run) -> None:
    (shop.root / "serve.py").write_text("print('mine')\n")
    digest = bake(shop.root, "--allow-dirty", to="../dirty")
    image = push_image(shop.root.parent / "dirty", digest, f"{shop.registry.host}/ml/p")
    done = run(shop.root, "canon", "release", "p", "staging", "--image", image, code=1)
    assert "FAILED      code        the image was made with --allow-dirty" in done.stderr
    assert f"{image} is not what it says: " in done.stderr
    assert git(shop.code, "tag") == ""


def test_a_result_that_the_remote_has_in_no_commit_is_refused(shop: Shop, run: Run) -> None:
    ref = git(shop.code, "for-each-ref", "--format=%(refname)", "refs/exps")
    commit = git(shop.code, "rev-parse", ref)
    git(shop.code, "update-ref", "-d", ref)
    args = ("canon", "release", "p", "staging", "--image", shop.experiment)
    assert "`dvc exp push` the experiment that it was baked from" in run(shop.root, *args, code=1).stderr
    # a trailer that anybody may write on any commit is not believed
    message = git(shop.code, "log", "-1", "--format=%B", commit)
    tree = git(shop.code, "rev-parse", "main^{tree}")
    forged = git(shop.code, "commit-tree", tree, "-p", "main", "-m", message)
    git(shop.code, "update-ref", ref, forged)
    assert "no commit of " in run(shop.root, *args, code=1).stderr
    git(shop.code, "update-ref", ref, commit)
    assert run(shop.root, *args, "--dry-run").stdout.count(f"experiment: {commit}") == 1
    assert git(shop.code, "tag") == ""


def test_wrong_usage_and_missing_settings(shop: Shop, run: Run) -> None:
    root = shop.root
    assert (
        "declares no environment `prod`"
        in run(root, "canon", "release", "p", "prod", "--image", shop.main, code=1).stderr
    )
    review = run(root, "canon", "release", "p", "staging", "--image", shop.main, "--branch", "main", code=2)
    assert "is where releases are merged to" in review.stderr
    assert "there is no pipeline `q`" in run(root, "canon", "promote", "q", "staging", "production", code=1).stderr
    assert "is no date" in run(root, "canon", "history", "p", "staging", "--at", "soon", code=2).stderr
    assert "names no release" in run(root, "canon", "diff", "p", "staging@0", "production", code=2).stderr
    assert "is no name of an environment" in run(root, "canon", "history", "p", "../x", code=2).stderr
    run(root, "canon", "rollback", "p", "staging", "--to", "0", code=2)
    git(root, "remote", "set-url", "origin", "https://elsewhere.example.com/x.git")
    assert "which is no remote of this clone" in run(root, "canon", "rollback", "p", "staging", code=1).stderr
    settings = root / "pyproject.toml"
    settings.write_text(
        "".join(line for line in settings.read_text().splitlines(keepends=True) if not line.startswith("git"))
    )
    assert "does not say which repository is deployed" in run(root, "canon", "rollback", "p", "staging", code=1).stderr


def test_a_registry_that_lost_the_image_stops_a_rollback(shop: Shop, run: Run) -> None:
    for image in (shop.main, shop.experiment):
        run(shop.root, "canon", "release", "p", "staging", "--image", image)
    shop.registry.fail("*", shop.main.rpartition("@")[2], status=404, times=99)
    done = run(shop.root, "canon", "rollback", "p", "staging", code=1)
    assert "is not in its registry any more" in done.stderr


def test_a_gate_on_health_asks_the_cluster(shop: Shop, run: Run) -> None:
    file = shop.root / "pipelines/p.yaml"
    file.write_text(file.read_text().replace("rate <= 2 * production.rate", "healthy 24h"))
    git(shop.root, "commit", "-qam", "a gate")
    git(shop.root, "push", "-q", "origin", "HEAD:main")
    run(shop.root, "canon", "release", "p", "staging", "--image", shop.main)
    promote = ("canon", "promote", "p", "staging", "production", "--kubeconfig", "nowhere.yaml")
    done = run(shop.root, *promote, code=1)
    assert "FAILED  healthy 24h: " in done.stderr
    assert "nowhere.yaml" in done.stderr
    assert "p#staging#1 does not pass the gates of `production`" in done.stderr
