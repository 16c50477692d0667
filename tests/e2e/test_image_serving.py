"""The reference pipeline's images: pushed to a registry, pulled, and run as a cluster runs them; they answer as the workspace's model does."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from pipelines.co2.model import COEFFICIENTS, load_model
from tests.conftest import Base, git
from tests.containers import Containers, free_port
from tests.e2e.faults import canon
from tests.e2e.served import FILES, bake, repro
from tests.registry import Registry, debian_registry, have_debian_registry
from tests.tracking import copy_clone

pytestmark = pytest.mark.usefixtures("quick")
DATES = ["2024-01-06", "2026-12-31"]


@pytest.fixture
def co2(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, python_base: Base) -> tuple[Path, int]:
    """A copy of the repository that has trained, with a base that can be had here, a registry, and a port that is free: committed."""
    root = copy_clone(tmp_path_factory, tmp_path / "co2", store="none")
    port = free_port()
    file = root / "pipelines/co2.yaml"
    text = file.read_text()
    image = next(line for line in text.splitlines() if line.strip().startswith("image:"))
    text = text.replace(image, f"  image: example.org/python@{python_base.digest}").replace("8080", str(port))
    file.write_text(text.replace("serving:", "track: false\nserving:"))
    canon(root, "render")
    subprocess.run(["dvc", "repro", "-q", "dvc.yaml"], cwd=root, check=True, capture_output=True)
    git(root, "add", "--all")
    git(root, "commit", "-qm", "another base")
    return root, port


def ask(port: int, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=data, headers={"Content-Type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as response:
        return json.loads(response.read())


def pulled(reference: str, folder: Path) -> Path:
    """A layout with what skopeo pulled."""
    subprocess.run(
        ["skopeo", "copy", "-q", "--src-tls-verify=false", "--preserve-digests", f"docker://{reference}", f"oci:{folder}"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.mark.soak
def test_co2_is_pushed_pulled_and_answers(
    co2: tuple[Path, int], python_base: Base, containers: Containers, tmp_path: Path
) -> None:
    root, port = co2
    if not have_debian_registry():
        pytest.skip("docker-registry is not installed")
    with debian_registry(tmp_path / "registry") as host:
        command = ("--from", f"oci:{python_base.layout}", "--to", f"{host}/ml/co2")
        base = canon(root, "image", "base", "co2", *command).stdout.strip()
        serving = canon(root, "image", "bake", "co2", *command).stdout.strip()
        verified = json.loads(canon(root, "image", "verify", serving, "--json", "--from", f"oci:{python_base.layout}", "--rebuild").stdout)  # fmt: skip
        assert {check["name"]: check["status"] for check in verified["checks"] if check["status"] != "ok"} == {
            "git": "not checked"  # `track: false` keeps no sha256 in Git
        }
        layouts = {
            reference: pulled(reference, tmp_path / name)
            for name, reference in {"base": base, "serving": serving}.items()
        }
    digest = base.rpartition("@")[2]
    done = containers.run(
        layouts[base], digest, "python3", "-c", "import mlflow, numpy, pipelines.co2.train, os; print(os.getcwd())"
    )
    assert done.stdout == "/opt/canon/src\n"
    service = containers.start(layouts[serving], serving.rpartition("@")[2], port=port)
    model = load_model(root / "models/co2" / COEFFICIENTS)
    answered = ask(port, "/predict", {"dates": DATES})
    assert answered == {"co2": [model.predict(dt.date.fromisoformat(day)) for day in DATES]}
    facts = json.loads(canon(root, "image", "inspect", f"oci:{layouts[serving]}", "--json").stdout)["facts"]
    known = ask(port, "/version")
    assert known == {name: facts[name] for name in ("commit", "data_hash", "result", "model")}
    assert ask(port, "/health")["status"] == "ok"
    assert service.stop(signal.SIGTERM) in {0, 143}


@pytest.mark.soak
def test_the_default_server_answers_in_a_container(
    co2: tuple[Path, int], python_base: Base, containers: Containers, tmp_path: Path
) -> None:
    root, port = co2
    file = root / "pipelines/co2.yaml"
    text = file.read_text()
    cmd = next(line for line in text.splitlines() if line.strip().startswith("cmd: uvicorn"))
    file.write_text(text.replace(f"{cmd}\n", ""))
    git(root, "commit", "-qam", "MLflow's server")
    to = tmp_path / "made"
    serving = canon(
        root, "image", "bake", "co2", "--from", f"oci:{python_base.layout}", "--to", f"oci:{to}"
    ).stdout.strip()
    service = containers.start(to, serving.rpartition("@")[2], port=port)
    model = load_model(root / "models/co2" / COEFFICIENTS)
    body = {"dataframe_split": {"columns": ["date"], "data": [[day] for day in DATES]}}
    answered = ask(port, "/invocations", body)["predictions"]
    assert [row["co2"] for row in answered] == [model.predict(dt.date.fromisoformat(day)) for day in DATES]
    assert service.stop(signal.SIGTERM) in {0, 143}


def test_only_what_changed_goes_over_the_wire(served: Path) -> None:
    """A new model sends its layer; new code sends its own, and the model stays; nothing new sends nothing."""
    (served / "fit.py").write_text(FILES["fit.py"].replace('"ü"', '"ü" * 300_000'))
    git(served, "commit", "-qam", "a larger model")
    repro(served)
    with Registry() as registry:
        command = ("image", "bake", "p", "--from", "oci:../below", "--to", f"{registry.host}/ml/p", "--json")

        def baked() -> tuple[dict[str, int], int]:
            """Size of each layer by origin, and the bytes that were sent."""
            registry.clear()
            said = json.loads(canon(served, *command).stdout)
            assert said["written"] <= registry.received
            return {layer["origin"]: layer["size"] for layer in said["layers"]}, registry.received

        _, everything = baked()
        assert everything > 0
        assert bake(served) in registry.repositories["ml/p"].tags.values()  # a layout's digest is the registry's
        assert baked()[1] == 0
        (served / "params/p.yaml").write_text("fit: {rate: 0.25}\n")
        subprocess.run(["dvc", "repro", "-q"], cwd=served, check=True, capture_output=True)
        (served / "params/p.yaml").write_text("fit: {rate: 0.5}\n")
        subprocess.run(["dvc", "repro", "-q"], cwd=served, check=True, capture_output=True)
        (served / "large.txt").write_bytes(b"x" * 500_000)
        git(served, "add", "--all")
        git(served, "commit", "-qm", "code")
        layers, sent = baked()
        small = 20_000  # configurations and manifests
        assert layers["code"] + layers["provenance"] <= sent <= layers["code"] + layers["provenance"] + small
        assert layers["model"] > 600_000
        registry.clear()
        other = ("image", "bake", "p", "--from", "oci:../below", "--to", f"{registry.host}/team/p")
        canon(served, *other)
        whole = registry.received
        assert whole > 500_000  # another repository, and no base of ours in it that could be mounted from


def test_nothing_half_pushed_has_a_tag(served: Path) -> None:
    with Registry() as registry:
        registry.fail("PUT", "/blobs/uploads/", status=403, times=99)
        said = canon(
            served, "image", "bake", "p", "--from", "oci:../below", "--to", f"{registry.host}/ml/p", code=1
        ).stderr
        assert "does not allow it" in said
        assert not any(repository.tags for repository in registry.repositories.values())


def test_the_profile_names_the_registry(served: Path) -> None:
    with Registry() as registry:
        file = served / "pyproject.toml"
        said = canon(served, "image", "bake", "p", "--from", "oci:../below", "--push", code=1).stderr
        assert "the profile `local` has no registry; add `registry = " in said
        file.write_text(file.read_text() + f'registry = "{registry.host}/ml"\n')
        git(served, "commit", "-qam", "registry")
        reference = canon(served, "image", "bake", "p", "--from", "oci:../below", "--push").stdout.strip()
        assert reference.startswith(f"{registry.host}/ml/p@sha256:")
        found = registry.repositories["ml/p"].tags
        assert reference.rpartition("@")[2] in found.values()
        ours = [tag.partition("-")[0] for tag in found if tag.startswith(("base-", "model-"))]
        assert sorted(ours) == ["base", "model"]
        assert len(found) == 3  # and the image's own
        shutil.rmtree(served / "../below")
        said = canon(served, "image", "bake", "p", "--push", code=1).stderr
        assert "example.org" in said
