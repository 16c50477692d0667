"""`canon submit` as a whole: the server's pods are those of the harness, with Canon's own tools image, a registry, S3 and git's daemon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.argo_server import TOKEN, ArgoServer
from tests.conftest import git
from tests.e2e.clustered import template
from tests.e2e.faults import canon
from tests.e2e.test_workflow import Cluster, cluster

__all__ = ["cluster"]
pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("quick")]


def submitted(root: Path, *options: str, code: int = 0) -> dict[str, str]:
    """Submit and watch; stage → the last word on it."""
    done = canon(root, "submit", "p", "--json", "--watch", *options, code=code, seconds=600)
    assert json.loads(done.stdout)["revision"] == git(root, "rev-parse", "HEAD")
    found = {}
    for line in done.stderr.splitlines():
        name, _, word = line.partition(": ")
        found[name] = word
    return found


def test_a_commit_runs_by_its_template_and_then_with_stages_of_its_own(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = cluster.root
    url = next(
        line.split('"')[1] for line in (root / "pyproject.toml").read_text().splitlines() if line.startswith("git = ")
    )
    git(root, "remote", "set-url", "origin", url)
    manifest = template(root)
    cluster.harness.apply(manifest)
    with ArgoServer(templates={"p-local": manifest}, harness=cluster.harness) as server:
        monkeypatch.setenv("ARGO_SERVER", server.url)
        monkeypatch.setenv("ARGO_TOKEN", TOKEN)
        stages = ["data-raw", "prepare", "fit@a", "fit@b", "compare"]
        assert submitted(root) == {**dict.fromkeys(["workflow", "plan", *stages, "deliver"], "succeeded")} | said(
            server, 0
        )
        again = submitted(root)
        assert {again[stage] for stage in (*stages, "deliver")} == {"known already"}
        # one member more is another graph, for which the template is not made
        wider = submitted(root, "-S", "names=[a,b,c]")
        assert {wider[stage] for stage in ("data-raw", "prepare", "fit@a", "fit@b")} == {"known already"}
        assert [wider[stage] for stage in ("workflow", "fit@c", "compare", "deliver")] == ["succeeded"] * 4
        assert ["templates" in each.manifest["spec"] for each in server.workflows.values()] == [False, False, True]
        # a stage's own exit code
        (root / "compare.py").write_text("import sys\nsys.exit(9)\n")
        git(root, "commit", "-qam", "broken")
        git(root, "push", "-q", "origin", "HEAD:main")
        failed = submitted(root, code=9)
        assert failed["compare"] == "failed: main: Error (exit code 9)"
        assert failed["deliver"] == "left out"


def said(server: ArgoServer, number: int) -> dict[str, str]:
    """What is said of a submission before anything is seen of it."""
    name, running = list(server.workflows.items())[number]
    revision = running.manifest["spec"]["arguments"]["parameters"][0]["value"]
    return {"canon": f"{revision[:12]} is submitted: {server.url}/workflows/ml/{name}"}
