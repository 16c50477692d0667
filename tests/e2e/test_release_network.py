"""Releases by Git's HTTP through a network that fails: before the push, while it is sent, and when the answer is on its way back."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from canon.model.errors import CanonError
from canon.releases.publish import publish_release
from canon.releases.push import UnknownOutcomeError
from tests.conftest import git
from tests.e2e.released import copy_repository, facts, order, release, released, remote, render, tags, target, untouched
from tests.git_server import git_server
from tests.proxies import Call, Proxy, Verdict, proxy_to

pytestmark = pytest.mark.usefixtures("direct")
PUSH = "POST /code.git/git-receive-pack"


@pytest.fixture
def work(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_repository(tmp_path_factory, tmp_path)


@pytest.fixture
def network(work: Path) -> Iterator[Proxy]:
    """What is between the clone and its remote."""
    git(remote(work), "config", "http.receivepack", "true")
    with git_server(remote(work).parent) as address, proxy_to(address) as proxy:
        git(work, "remote", "set-url", "origin", f"{proxy.url}/code.git")
        yield proxy


def state(work: Path) -> tuple[object, ...]:
    """All that a release that failed must leave as it was, here and at the remote."""
    return *untouched(work), git(work, "tag"), git(remote(work), "for-each-ref")


def failing(network: Proxy, verdict: str, at: str, *, for_good: bool) -> None:
    """Let one kind of request fail, and with ``for_good`` all that come after it."""
    failed: list[str] = []

    def script(call: Call) -> Verdict:
        name = f"{call.method} {call.path}"
        if failed:
            return "drop" if for_good else "pass"
        if name != at:
            return "pass"
        failed.append(name)
        return verdict

    network.script = script


def test_a_release_by_http(work: Path, network: Proxy) -> None:
    assert release(work, "staging", facts(work, 1)).created
    assert tags(work) == ["p#staging#1", "p@v0.0.1"]
    assert network.calls.count(PUSH) >= 1


@pytest.mark.parametrize("verdict", ["drop", "lose", "cut"])
def test_a_push_that_is_cut_once(work: Path, network: Proxy, verdict: str) -> None:
    """The remote is asked what became of it."""
    failing(network, verdict, PUSH, for_good=False)
    before = state(work)
    said: list[str] = []
    if verdict == "drop":
        with pytest.raises(CanonError, match="nothing of it is left"):
            publish_release(work, target(), order("staging", facts(work, 1)), render, say=said.append)
        assert state(work) == before
    else:
        assert publish_release(work, target(), order("staging", facts(work, 1)), render, say=said.append).created
        assert any("had taken the push" in each for each in said)
        assert sorted(git(work, "tag").splitlines()) == tags(work) == ["p#staging#1", "p@v0.0.1"]
    assert not (work / ".git/canon/release.json").exists()


@pytest.mark.parametrize("verdict", ["drop", "lose", "cut"])
@pytest.mark.parametrize("same", [True, False])
def test_a_network_that_is_cut_between_commit_and_push(work: Path, network: Proxy, verdict: str, *, same: bool) -> None:
    """The next command finds out what became of it, says so, and goes on: also another one."""
    arrived = verdict != "drop"
    failing(network, verdict, PUSH, for_good=True)
    with pytest.raises(UnknownOutcomeError, match="the same command again finds that out"):
        release(work, "staging", facts(work, 1), words="release 1")
    assert git(work, "tag") == ""
    with pytest.raises(CanonError, match="127"):  # still cut: nothing is forgotten
        release(work, "staging", facts(work, 1), words="release 1")
    network.script = lambda _: "pass"
    said: list[str] = []
    image = 1 if same else 2
    done = publish_release(
        work, target(), order("staging", facts(work, image), f"release {image}"), render, say=said.append
    )
    assert ("had arrived" if arrived else "never arrived") in said[0]
    assert done.created == (not (same and arrived))
    assert [each.image[-1] for each in released(work)] == (["2", "1"] if arrived and not same else [str(image)])
    assert not (work / ".git/canon/release.json").exists()


@pytest.mark.parametrize("at", ["GET /code.git/info/refs", "POST /code.git/git-upload-pack"])
@pytest.mark.parametrize("verdict", ["drop", "cut"])
def test_a_network_that_is_cut_before_the_commit(work: Path, network: Proxy, at: str, verdict: str) -> None:
    git(work, "commit", "--allow-empty", "-qm", "newer")
    git(
        work, "push", "-q", str(remote(work)), "main"
    )  # of which the clone's origin/main knows nothing: there is something to fetch
    failing(network, verdict, at, for_good=True)
    before = state(work)
    with pytest.raises(CanonError, match="git ls-remote failed"):
        release(work, "staging", facts(work, 1))
    assert state(work) == before
    network.script = lambda _: "pass"
    assert release(work, "staging", facts(work, 1)).created


def test_a_password_is_asked_of_gits_helper_and_shown_to_nobody(work: Path, tmp_path: Path) -> None:
    git(remote(work), "config", "http.receivepack", "true")
    with git_server(remote(work).parent, "canon:s3cret-word") as address:
        git(work, "remote", "set-url", "origin", f"{address}/code.git")
        before = state(work)
        with pytest.raises(CanonError) as caught:
            release(work, "staging", facts(work, 1))
        assert "s3cret" not in str(caught.value)
        assert state(work) == before
        store = tmp_path / "store"
        store.write_text(f"{address.replace('://', '://canon:s3cret-word@')}\n")
        store.chmod(0o600)
        git(work, "config", "credential.helper", f"store --file={store}")
        assert release(work, "staging", facts(work, 1)).created
    kept = [file for file in (work / ".git").rglob("*") if file.is_file()]
    words = (b"s3cret-word", base64.b64encode(b"canon:s3cret-word"))
    assert not [file for file in kept if any(word in file.read_bytes() for word in words)]
