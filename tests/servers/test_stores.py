"""Several stores in one process: each gets its own credentials, and none those of another one."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from canon.mlflow.record import RunRecord
from canon.mlflow.spool import spool_record
from canon.model.project import Project, load_project
from canon.results.session_files import Kept, create_file
from canon.results.settling import settle_sessions
from canon.results.track import SPOOL, send_spooled
from tests.conftest import git
from tests.proxies import Call, Proxy, answer, proxy_to

pytestmark = [pytest.mark.usefixtures("direct"), pytest.mark.filterwarnings("ignore:The ``noload``")]
SECRET = "tiab-2retnuh"[::-1]  # written forwards it would be found in this file
Heard = list[tuple[str, str | None]]


@pytest.fixture
def heard() -> Heard:
    """Whom somebody asked, and with what."""
    return []


@pytest.fixture
def servers(heard: Heard) -> Iterator[tuple[Proxy, Proxy]]:
    """Two servers that let nobody in."""

    def refuse(name: str) -> Callable[[Call], str]:
        def script(call: Call) -> str:
            heard.append((name, call.handler.headers["Authorization"]))
            return answer(call, 401)

        return script

    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(proxy_to("")) for _ in range(2))
        ours.script, theirs.script = refuse("ours"), refuse("theirs")
        yield ours, theirs


def project_of(root: Path, **profiles: str) -> Project:
    """A project with these servers, and a record for each that waits."""
    tables = "".join(f'[tool.canon.profiles.{name}]\nmlflow = "{uri}"\n' for name, uri in profiles.items())
    (root / "pyproject.toml").write_text(f'[tool.canon]\ndefault_profile = "{next(iter(profiles))}"\n{tables}')
    (root / "pipelines").mkdir()
    (root / "pipelines/one.yaml").write_text("name: one\nstages: {fit: {cmd: 'true', outs: [model]}}\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "declared")
    for number, name in enumerate(profiles):
        tags = {"canon.profile": name, "canon.result": f"{number}" * 64}
        spool_record(RunRecord("one", "r", tags, {}, {}, (), {}, {}, ()), root / SPOOL)
    return load_project(root)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("first", ["local", "other"])
def test_the_environments_credentials_go_to_the_server_that_is_ours_now(
    repository: Path, servers: tuple[Proxy, Proxy], heard: Heard, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Whichever is asked first."""
    ours, theirs = servers
    uris = {"local": ours.url, "other": theirs.url}
    project = project_of(repository, **uris)
    for name, value in (("USERNAME", "me"), ("PASSWORD", SECRET), ("TOKEN", SECRET)):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    if first == "other":
        (repository / SPOOL / ("0" * 64) / "record.json").touch()  # the oldest goes first
    before = dict(os.environ)
    said: list[str] = []
    assert send_spooled(project, said.append) == (0, 2)
    assert dict(os.environ) == before
    assert set(heard) == {("ours", basic("me", SECRET)), ("theirs", None)}
    assert SECRET not in "".join(said)


def test_credentials_of_an_address_go_to_that_one_alone(
    repository: Path, servers: tuple[Proxy, Proxy], heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = servers
    project = project_of(repository, local=ours.url.replace("://", f"://you:{SECRET}@"), other=theirs.url)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "abc")
    assert send_spooled(project, lambda _: None) == (0, 2)
    assert set(heard) == {("ours", basic("you", SECRET)), ("theirs", None)}


def test_what_mlflows_file_holds_goes_to_no_other_server(
    repository: Path, servers: tuple[Proxy, Proxy], heard: Heard
) -> None:
    (Path.home() / ".mlflow").mkdir()
    file = Path.home() / ".mlflow/credentials"
    file.write_text(f"[mlflow]\nmlflow_tracking_username = me\nmlflow_tracking_password = {SECRET}\n")
    ours, theirs = servers
    project = project_of(repository, local=ours.url, other=theirs.url)
    said: list[str] = []
    assert send_spooled(project, said.append) == (0, 2)
    assert set(heard) == {("ours", basic("me", SECRET))}
    assert f"MLflow at {theirs.url} is not asked" in "".join(said)


def test_the_only_server_that_is_declared_gets_them_where_rows_go_to_a_file_now(
    repository: Path, servers: tuple[Proxy, Proxy], heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "abc")
    project = project_of(repository, local=f"sqlite:///{repository}/none/x.db", other=servers[0].url)
    (repository / SPOOL / ("0" * 64) / "record.json").unlink()
    assert send_spooled(project, lambda _: None) == (0, 1)
    assert set(heard) == {("ours", "Bearer abc")}


def test_what_a_commit_brought_is_sent_nowhere(
    repository: Path, servers: tuple[Proxy, Proxy], heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record names files of this machine, and a session any store."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "abc")
    project = project_of(repository, local=servers[0].url)
    create_file(repository, Kept("a" * 32, "one", servers[1].url, {}, "KILLED")).release()
    git(repository, "add", "-f", ".dvc/tmp")
    said: list[str] = []
    assert send_spooled(project, said.append) == (0, 0)
    settle_sessions(project, said.append)
    assert heard == []
    assert ["Git tracks files in .dvc/tmp" in line for line in said] == [True, True]
    git(repository, "rm", "-qr", "--cached", ".dvc/tmp")
    send_spooled(project, said.append)
    settle_sessions(project, said.append)
    assert set(heard) == {("ours", "Bearer abc"), ("theirs", None)}
