"""The projects that tests break or run: made once, copied for each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.argo_server import TOKEN, ArgoServer
from tests.conftest import S3, Base, git, once
from tests.e2e import submitted
from tests.e2e.clustered import secrets
from tests.e2e.delivered import Delivered, finished_workflow, pushed_project
from tests.e2e.faults import build_project
from tests.e2e.projects import tiny_project
from tests.e2e.served import DATE, bake, served_project
from tests.e2e.shells import Cluster, shell_cluster, shell_project, tools_image
from tests.harness.fixtures import MakeHarness
from tests.servers.mlflow_server import mlflow_server
from tests.tracking import Store, copy_small_project, empty_store


@pytest.fixture
def toy(quick: None, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001  a fixture for its effect
    """A small project, committed, in a repository of its own, to be broken."""
    return shutil.copytree(once(tmp_path_factory, "toy", build_project), tmp_path / "toy", symlinks=True)


@pytest.fixture
def tiny(quick: None, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001  a fixture for its effect
    """A small project of two profiles, pinned and committed, to be run."""
    return shutil.copytree(once(tmp_path_factory, "tiny", tiny_project), tmp_path / "tiny", symlinks=True)


@pytest.fixture
def small(quick: None, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001  a fixture for its effect
    """A small project that has all that MLflow finds hard, committed, with a store that is empty yet."""
    return copy_small_project(tmp_path_factory, tmp_path / "small")


@pytest.fixture
def team(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Store:
    """Another store than the project's own."""
    return Store(f"sqlite:///{shutil.copyfile(empty_store(tmp_path_factory), tmp_path / 'team.db')}")


@pytest.fixture
def served(
    quick: None,  # noqa: ARG001  a fixture for its effect
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The project that has trained a model, and its base beside it."""
    monkeypatch.setenv("GIT_AUTHOR_DATE", DATE)
    monkeypatch.setenv("GIT_COMMITTER_DATE", DATE)
    shutil.copytree(once(tmp_path_factory, "served", served_project), tmp_path / "served", symlinks=True)
    return tmp_path / "served/project"


@pytest.fixture
def baked(served: Path) -> tuple[Path, str]:
    """The layout, and the digest of the serving image."""
    return served / "../made", bake(served)


@pytest.fixture
def project(s3: S3, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For what is delivered: the project, pushed, of which nothing has run. Modules with another project have a fixture of their own."""
    return pushed_project(s3, tmp_path, tmp_path_factory)


@pytest.fixture
def workflow(project: Path, tmp_path: Path, s3: S3, team: Store, tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    """Its workflow, whose stages have all run."""
    return finished_workflow(project, tmp_path, s3, team, tmp_path_factory)


@pytest.fixture
def pushed(quick: None, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001  a fixture for its effect
    """A project that runs in a cluster, pushed to a bare repository beside it."""
    made = once(tmp_path_factory, "submitted", submitted.write_project)
    for name in ("work", "code.git"):
        shutil.copytree(made / name, tmp_path / name, symlinks=True)
    git(tmp_path / "work", "config", "--local", "--remove-section", f"url.{made / 'code.git'}")
    submitted.settle(tmp_path / "work", tmp_path / "code.git")
    return tmp_path / "work"


@pytest.fixture
def argo(pushed: Path, direct: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArgoServer]:  # noqa: ARG001  a fixture for its effect
    """A server that has that project's template, named as Argo's own command line is told."""
    with ArgoServer(templates={"toy-cluster": submitted.template(pushed)}) as server:
        monkeypatch.setenv("ARGO_SERVER", server.url)
        monkeypatch.setenv("ARGO_TOKEN", TOKEN)
        yield server


@pytest.fixture(scope="session")
def rows_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server for what workflows log."""
    with mlflow_server(tmp_path_factory.mktemp("rows")) as url:
        yield url


@pytest.fixture
def shells(
    request: pytest.FixtureRequest, s3: S3, rows_server: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory,
    make_harness: MakeHarness, busybox_base: Base, tools_base: Base,
) -> Iterator[Cluster]:  # fmt: skip
    """A cluster that runs a project whose stages need a shell alone, with Canon's tools image."""
    root = shell_project(tmp_path_factory, tmp_path / "shells", request.node.name)
    harness = make_harness(secrets=secrets("local", "cluster"), by_name=True)
    tools = tools_image(tmp_path_factory, root, tools_base)
    with shell_cluster(root, harness, s3, busybox_base, rows_server, tools) as found:
        yield found
