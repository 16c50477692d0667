"""What a project must have to be deployed, and what is said where it does not: file, place, remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from canon.adapters import render_project
from canon.model.errors import CanonError
from canon.model.project import load_project
from tests.clustered import CLUSTER, COMMON, HEAD, STAGES, make_clustered
from tests.deployed import DEPLOYED, IMAGE, SERVED, delivered, make_deployed, make_release

WHOLE = HEAD + STAGES + SERVED
SETTINGS = COMMON + CLUSTER
FILE = "pipelines/toy.yaml"


def refused(root: Path) -> str:
    with pytest.raises(CanonError) as caught:
        delivered(root)
    return str(caught.value)


@pytest.mark.parametrize(
    ("declaration", "settings", "said"),
    [
        (DEPLOYED, COMMON.replace("git =", "# "), "pyproject.toml:2: tool.canon.git: is missing, and Argo CD reads from there what pipelines/toy.yaml deploys\n    remedy: add git = {url ="),
        (DEPLOYED, COMMON.replace("https://", "https://me:secret@"), "pyproject.toml:5: tool.canon.git.url: holds credentials, or a query\n    remedy: take them out"),
        (DEPLOYED, SETTINGS.replace("ml/toy.git", "ml/*.git"), "tool.canon.git.url: holds a character that an AppProject of Argo CD takes for a pattern"),
        (DEPLOYED, SETTINGS.replace('namespace = "ml"', 'namespace = "argocd"'), "tool.canon.profiles.cluster.namespace: is Argo CD's own namespace"),
        (DEPLOYED, SETTINGS + '[tool.canon.argocd]\nnamespace = "toy-staging"\n', f"{FILE}:9: deploy.staging.namespace: `toy-staging` is Argo CD's own"),
        ("deploy: {a: {namespace: ml}}\n", SETTINGS, f"{FILE}:8: deploy.a.namespace: `ml` is where the profile `cluster` trains: its pods would reach the service's Secrets\n    remedy: give the environment a namespace of its own"),
        ("deploy: {a: {namespace: x}, b: {namespace: x}}\n", SETTINGS, "deploy.b.namespace: `x` is that of `a`, too, and both would have the Deployment `toy` there"),
        ("deploy: {workflow: {namespace: x}}\n", SETTINGS, "deploy.workflow: the Application `toy-workflow` would be there twice: Canon itself has it already\n    remedy: rename"),
        ("deploy: {root: {namespace: x}}\n", SETTINGS, "deploy.root: the Application `toy-root` would be there twice"),
        (f"deploy: {{{'e' * 60}: {{namespace: x}}}}\n", SETTINGS, "would be the name of its Application, with 64 characters, and 63 are most"),
        ("deploy: {a: {namespace: x, profile: local}}\n", SETTINGS, "deploy.a.profile: the Workflows of `local` make no image that could be released here\n    remedy: name one of: cluster"),
        ("deploy: {a: {namespace: x, pod: {retries: 2}}}\n", SETTINGS, "deploy.a.pod.retries: is of stages"),
        ("deploy: {a: {namespace: x, pod: {volumes: [{mount: /opt/canon/src/model, claim: c}]}}}\n", SETTINGS, "deploy.a.pod.volumes[0]: something else lies at /opt/canon/src/model in the pod"),
        ("deploy: {a: {namespace: x, pod: {volumes: [{mount: /mnt}]}}}\n", SETTINGS, "deploy.a.pod.volumes[0]: has 0 sources\n    remedy: name exactly one of"),
    ],
)  # fmt: skip
def test_what_cannot_be_deployed_is_said(tmp_path: Path, declaration: str, settings: str, said: str) -> None:
    assert said in refused(make_deployed(tmp_path, WHOLE + declaration, settings=settings))


@pytest.mark.parametrize(
    ("declaration", "said"),
    [
        ("deploy: {a: {namespace: x, gates: ['rmse <= 1.0 * prod.rmse']}}\n", "deploy.a.gates[0]: `rmse <= 1.0 * prod.rmse` compares with `prod`, which is no environment\n    remedy: name one of: a"),
        ("deploy: {a: {namespace: x, gates: [healthy 24h, 'rmse<=b.rmse']}}\n", "deploy.a.gates[1]: `rmse<=b.rmse` compares with `b`"),
        ("deploy: {a: {namespace: x, profile: nope}}\n", "deploy.a.profile: there is no profile `nope`"),
        ("deploy: {a: {namespace: x}, b: {namespace: y, from: a, profile: cluster}}\n", "deploy.b.profile: Workflows release to no environment that is promoted to from `a`"),
        ("deploy: {a: {namespace: x, sync: {automated: false, prune: true}}}\n", "deploy.a.sync.prune: is of what Argo CD does by itself, and `automated` is false"),
    ],
)  # fmt: skip
def test_environments_that_contradict_themselves_are_refused_as_they_are_read(tmp_path: Path, declaration: str, said: str) -> None:  # fmt: skip
    with pytest.raises(CanonError) as caught:
        load_project(make_deployed(tmp_path, WHOLE + declaration))
    assert said in str(caught.value)


@pytest.mark.parametrize("health", ["health", "/a b", "/é"])
def test_a_health_path_is_a_path(tmp_path: Path, health: str) -> None:
    served = SERVED.replace("cmd:", f"health: {health}, cmd:")
    with pytest.raises(CanonError, match=r"serving.health: should have another form(.|\n)*write the path of a URL"):
        load_project(make_deployed(tmp_path, HEAD + STAGES + served))


def test_gates_on_declared_environments_and_numbers_are_taken(tmp_path: Path) -> None:
    gates = "[rmse <= 1.5, 'a.rmse < 2e-3 * a.x.rmse', 'rmse <= b.rmse', healthy 24h]"
    declaration = f"deploy: {{a: {{namespace: x}}, b: {{namespace: y, from: a, gates: {gates}}}}}\n"
    assert delivered(make_deployed(tmp_path, WHOLE + declaration))


def test_two_pipelines_share_no_name_in_argo_cd(tmp_path: Path) -> None:
    """`toy` in `b-c` and `toy-b` in `c` would be one Application; `toy-training` and the training of `toy` one AppProject."""
    make_deployed(tmp_path, WHOLE + "deploy: {b-c: {namespace: x}}\n")
    other = "name: toy-b\ndvc_file: b/dvc.yaml\n" + (WHOLE + "deploy: {c: {namespace: y}}\n").partition("\n")[2]
    make_clustered(tmp_path, other, name="toy-b")
    said = refused(tmp_path)
    assert (
        "pipelines/toy.yaml:8: deploy.b-c: the Application `toy-b-c` would be there twice: pipelines/toy-b.yaml has it already"
        in said
    )
    make_clustered(
        tmp_path, other.replace("name: toy-b", "name: toy-training").replace("b/dvc", "t/dvc"), name="toy-training"
    )
    assert (
        "toy.yaml:1: name: the AppProject `toy-training` would be there twice: pipelines/toy-training.yaml"
        in refused(tmp_path)
    )


def test_a_release_that_was_edited_into_nonsense_is_named_with_all_that_is_wrong(tmp_path: Path) -> None:
    root = make_deployed(tmp_path, WHOLE + DEPLOYED, make_release(), make_release("production"))
    staging, production = (root / f"argo/toy/releases/{name}.yaml" for name in ("staging", "production"))
    staging.write_text(
        staging.read_text().replace("sha256:" + "5" * 64, "latest").replace("number: 3", "number: three")
    )
    production.write_text("- x\n")
    said = refused(root)
    assert "argo/toy/releases/staging.yaml:5: number: should be a number" in said or "staging.yaml:5: number" in said
    assert "argo/toy/releases/staging.yaml:6: image: should have another form" in said
    assert "argo/toy/releases/production.yaml" in said
    assert said.count("restore what Git has of the file") == 3


@pytest.mark.parametrize("image", ["oci:folder", "toy", "UPPER.example.com/ml/toy", "registry.example.com/ml/toy:"])
def test_an_image_that_no_cluster_could_pull_is_refused(tmp_path: Path, image: str) -> None:
    release = make_release(image=f"{image}@sha256:{'5' * 64}")
    said = refused(make_deployed(tmp_path, WHOLE + DEPLOYED, release))
    assert said.startswith(f"argo/toy/releases/staging.yaml: image: `{release.image}` is no image of a registry")


@pytest.mark.parametrize("image", [IMAGE, f"localhost:5000/toy:v1@sha256:{'5' * 64}", f"r.example.com/a/b_c/d.e-f__g@sha256:{'5' * 64}"])  # fmt: skip
def test_images_of_registries_are_taken(tmp_path: Path, image: str) -> None:
    assert delivered(make_deployed(tmp_path, WHOLE + DEPLOYED, make_release(image=image)))


def test_what_both_adapters_miss_is_said_once(tmp_path: Path) -> None:
    with pytest.raises(CanonError) as caught:
        render_project(
            load_project(make_deployed(tmp_path, WHOLE + DEPLOYED, settings=SETTINGS.replace("git =", "# ")))
        )
    assert str(caught.value).count("tool.canon.git: is missing") == 1
