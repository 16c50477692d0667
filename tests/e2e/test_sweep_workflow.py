"""A whole sweep in the pod harness, from `canon sweep --submit --watch` to its rows: what points share runs once, and results are the local ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.argo_server import TOKEN, ArgoServer
from tests.conftest import S3, Base, git, once
from tests.e2e.clustered import TOOLS, declare_cluster, git_daemon, make_tools, secrets
from tests.e2e.faults import canon
from tests.e2e.swept import write_swept
from tests.harness.fixtures import MakeHarness
from tests.registry import Registry
from tests.servers.mlflow_server import mlflow_server
from tests.tracking import Store

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("quick")]
GRID = ("-S", "prepare.scale=1,2", "-S", "fit.rate=0.5,0.25")


class Cluster:
    """The project, what runs its workflows, and where their rows go."""

    def __init__(self, root: Path, argo: ArgoServer, store: Store) -> None:
        self.root, self.argo, self.store = root, argo, store

    def sweep(self, *settings: str, code: int = 0) -> dict[str, str]:
        """Sweep in the cluster; return what became of the pods of its points."""
        said = canon(self.root, "sweep", "p", *settings, "--submit", "--watch", "--json", code=code, seconds=900)
        name = json.loads(said.stdout)["name"]
        submitted = self.argo.workflows[name].submitted
        assert submitted is not None
        phases = submitted.report().phases()
        return {path.removeprefix("stages."): phase for path, phase in phases.items() if path.startswith("stages.") and "(" not in path}  # fmt: skip

    def results(self, repository: Path) -> set[str]:
        """The results of the experiments in a repository."""
        names = git(repository, "for-each-ref", "--format=%(objectname)", "refs/exps").split()
        trailer = "--format=%(trailers:key=Canon-Result,valueonly)"
        return {git(repository, "show", "-s", trailer, each).strip() for each in names}

    def families(self) -> list[int]:
        """How many rows the sweeps have below their own, the oldest sweep first."""
        rows = self.store.rows("p")
        below = [row.data.tags.get("mlflow.parentRunId") for row in rows]
        return [below.count(row.info.run_id) for row in rows if "canon.sweep" in row.data.tags]


@pytest.fixture
def cluster(
    s3: S3, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, make_harness: MakeHarness,
    python_base: Base, tools_base: Base, direct: None, monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Cluster]:  # fmt: skip
    del direct
    root = shutil.copytree(once(tmp_path_factory, "swept", write_swept), tmp_path / "p", symlinks=True)
    tools = once(tmp_path_factory, "tools-image", lambda folder: make_tools(root, tools_base, folder)) / "layout"
    with ExitStack() as stack:
        registry, url = stack.enter_context(Registry()), stack.enter_context(git_daemon(tmp_path))
        mlflow = stack.enter_context(mlflow_server(tmp_path))
        declare_cluster(root, tmp_path / "code.git", url, s3, registry.host, python_base)
        git(root, "remote", "set-url", "origin", f"{url}/code.git")
        settings = root / "pyproject.toml"
        settings.write_text(settings.read_text().replace('namespace = "ml"', f'namespace = "ml"\nmlflow = "{mlflow}"'))
        canon(root, "render", seconds=120)
        git(root, "commit", "-qam", "rows")
        git(root, "push", "-q", "origin", "HEAD:main")
        harness = make_harness(secrets=secrets())
        harness.images.given[TOOLS] = (tools, (tools / "digest").read_text())
        argo = stack.enter_context(ArgoServer(harness=harness))
        monkeypatch.setenv("ARGO_SERVER", argo.url)
        monkeypatch.setenv("ARGO_TOKEN", TOKEN)
        yield Cluster(root, argo, Store(mlflow))


def test_what_points_share_runs_once_and_results_are_the_local_ones(cluster: Cluster, tmp_path: Path) -> None:
    names = {
        *("p0-data-raw", "p0-prepare", "p0-fit", "p1-fit", "p2-prepare", "p2-fit", "p3-fit"),
        *(f"deliver-{number}" for number in range(4)),
    }
    assert cluster.sweep(*GRID) == dict.fromkeys(names, "Succeeded")
    assert cluster.families() == [4]
    code = tmp_path / "code.git"
    made = cluster.results(code)
    assert len(made) == 4
    assert cluster.sweep(*GRID) == dict.fromkeys(names, "Skipped")

    failed = cluster.sweep("-S", "fit.rate=0.25,9", code=3)
    assert failed["deliver-0"] == "Succeeded"
    assert (failed["p1-fit"], failed["deliver-1"]) == ("Failed", "Omitted")
    assert cluster.families() == [3, 1]
    assert cluster.results(code) == made

    canon(cluster.root, "sweep", "p", *GRID, seconds=600)
    assert cluster.results(cluster.root) == made
    assert cluster.families() == [4, 0]  # one row for one result, whoever made it; the newest sweep has it
