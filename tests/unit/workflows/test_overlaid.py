"""A profile's overlay may change which stages there are: its template has those that its pods will find."""

from __future__ import annotations

from pathlib import Path

from canon.model.dag import dag_hash
from canon.model.project import load_project
from canon.model.tasks import build_tasks
from canon.planning.pipelines import pipeline_graph
from canon.workspaces.profiles import apply
from tests.clustered import COMMON, HEAD, REMOTE, SERVICES, make_clustered, rendered, workflow_of

FANNED = """\
vars: [params/p.yaml]
params: {cluster: params/p.cluster.yaml}
stages:
  fit: {foreach: "${names}", do: {cmd: "sh f.sh ${item}", deps: [f.sh], outs: ["out/${item}"]}}
"""


def test_a_template_has_the_stages_that_its_profile_makes(tmp_path: Path) -> None:
    """And the hash by which `plan` knows them, once the profile is applied; the workspace stays as it is."""
    root = make_clustered(
        tmp_path, HEAD + FANNED, settings=COMMON + SERVICES, remote=f"{REMOTE}[core]\n    no_scm = true\n"
    )
    (root / "params").mkdir()
    (root / "params/p.yaml").write_text("names: [a]\n")
    (root / "params/p.cluster.yaml").write_text("names: [a, b]\n")
    manifest = workflow_of(root)
    stages = next(each for each in manifest["spec"]["templates"] if each["name"] == "stages")
    assert [task["name"] for task in stages["dag"]["tasks"]] == ["fit--40a", "fit--40b"]
    assert (root / "params/p.yaml").read_text() == "names: [a]\n"
    apply(load_project(root), "cluster")
    project = load_project(root)
    tasks = build_tasks(project.pipelines[0].declaration, pipeline_graph(project, project.pipelines[0]))
    text = rendered(root)["argo/toy/workflow/cluster.yaml"]
    assert dag_hash(tasks) in text
    assert workflow_of(root) == manifest
