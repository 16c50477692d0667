"""What a platform engineer applies and makes by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from canon.model import cluster
from tests.clustered import COMMON, HEAD, SERVICES, STAGES, make_clustered, rendered

REST = """\
data: {raw: {path: raw.csv, from: {local: "s3://b/few.csv", cluster: "s3://b/all.csv"}}}
triggers: {push: {'exp/*': cluster}}
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    return rendered(make_clustered(tmp_path, HEAD + STAGES + REST, settings=COMMON + SERVICES))


def objects(files: dict[str, str]) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(files["argo/toy/platform/ml.yaml"]))


def test_every_secret_that_a_pod_names_has_its_command(files: dict[str, str]) -> None:
    workflow, handbook = files["argo/toy/workflow/cluster.yaml"], files["argo/toy/platform/README.md"]
    named = set(re.findall(r"(?:secretRef: \{name|secretName): (canon-[a-z-]+)", workflow))
    assert named == {cluster.secret_name("toy", "cluster", what) for what in cluster.SECRETS}
    made = re.findall(r"kubectl -n ml create secret (?:generic|docker-registry) (\S+)", handbook)
    assert set(made) == named | {"argo-workflows-webhook-clients"}


def test_every_account_that_a_pod_names_is_there(files: dict[str, str]) -> None:
    named = set(re.findall(r"serviceAccountName: (\S+)", files["argo/toy/workflow/cluster.yaml"]))
    there = {each["metadata"]["name"] for each in objects(files) if each["kind"] == "ServiceAccount"}
    assert there == named | {"canon-toy-events"}
    tokens = {
        each["metadata"]["name"]: each["metadata"]["annotations"] for each in objects(files) if each["kind"] == "Secret"
    }
    assert tokens == {
        f"{name}.service-account-token": {"kubernetes.io/service-account.name": name}
        for name in ("canon-toy-executor", "canon-toy-events")
    }  # fmt: skip


def test_nobody_gets_in_and_nothing_gets_to_a_clouds_metadata(files: dict[str, str]) -> None:
    (policy,) = [each["spec"] for each in objects(files) if each["kind"] == "NetworkPolicy"]
    assert policy["podSelector"]["matchLabels"] == {"canon.dev/pipeline": "toy"}
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["ingress"] == []
    blocks = [peer["ipBlock"] for rule in policy["egress"] for peer in rule["to"] if "ipBlock" in peer]
    assert {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]} in blocks
    assert all(rule["to"] for rule in policy["egress"])  # without one, everywhere


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("https://git.example.com/ml/toy.git", {"CANON_GIT_USERNAME", "CANON_GIT_PASSWORD"}),
        ("git@git.example.com:ml/toy.git", {"CANON_GIT_SSH_KEY", "CANON_GIT_KNOWN_HOSTS"}),
    ],
)
def test_the_keys_of_gits_secrets_fit_its_address(tmp_path: Path, url: str, keys: set[str]) -> None:
    settings = (COMMON + SERVICES).replace("https://git.example.com/ml/toy.git", url)
    text = rendered(make_clustered(tmp_path, settings=settings))["argo/toy/platform/README.md"]
    assert set(re.findall(r"=?(CANON_GIT_[A-Z_]+)=", text)) == keys
