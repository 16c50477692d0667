"""What a container sees: files, user, environment, volumes, network; and what it cannot change."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Base
from tests.harness.chroot import Chroot
from tests.harness.errors import HangsError
from tests.harness.fixtures import MakeHarness
from tests.harness.harness import Harness
from tests.harness.images import Image, Images
from tests.harness.launch import Engine
from tests.harness.manifests import RESTRICTED, TOOLS, Manifest, one_pod, single, workflow, workflow_template
from tests.images import read_blob
from tests.registry import Registry
from tests.registry_state import Manifest as StoredManifest
from tests.registry_state import Repository

SECRETS = {"remote": {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": b"secret"}, "config": {"config.json": "{}"}}


def said(harness: Harness, manifest: Manifest) -> list[str]:
    """The lines that the one container prints."""
    harness.apply(manifest)
    report = harness.run(workflow())
    assert report.phase == "Succeeded", f"{report}\n{report.log('')}"
    return report.log("").splitlines()


def mounted(script: str, *volumes: Manifest, mounts: list[Manifest], **more: Any) -> Manifest:
    return workflow_template(
        {"name": "main", "container": single(script, mounts=mounts, **more), "volumes": list(volumes)}
    )


def test_the_environment_is_the_manifests_and_the_images_alone(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANON_OF_THE_HOST", "x")
    env = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)2 $$(A) $(NOPE)"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    script = "set -- $(cat /proc/self/environ | tr '\\0' '\\n' | cut -d= -f1 | sort); echo $*; echo $HOME; echo $PATH; echo $B; [ $POD = $(hostname) ]"
    manifest = workflow_template({"name": "main", "container": single(script, env=env)})
    names, home, path, value = said(harness, manifest)
    assert names.split() == [
        "A",
        "ARGO_CONTAINER_NAME",
        "ARGO_POD_NAME",
        "ARGO_PROGRESS_FILE",
        "ARGO_WORKFLOW_NAME",
        "B",
        "HOME",
        "HOSTNAME",
        "PATH",
        "POD",
        "PWD",
        "SHLVL",
    ]
    assert (home, path, value) == ("/", "/bin", "12 $(A) $(NOPE)")


def test_the_command_is_taken_word_by_word(harness: Harness) -> None:
    manifest = workflow_template(
        {
            "name": "main",
            "container": {**single(""), "command": ["printf", "%s|"], "args": ["a b", "$HOME", "*", "$$x", "$(PATH)"]},
        }
    )
    assert said(harness, manifest) == ["a b|$HOME|*|$x|$(PATH)|"]


def test_another_user_without_rights_on_a_root_that_is_read_only(harness: Harness) -> None:
    script = "id -u; id -g; id -G; grep -E 'CapEff|NoNewPrivs' /proc/self/status | tr -d '\\t'; touch /x 2>&1; ls -a / | grep -c git; pwd"
    assert said(harness, one_pod(script)) == [
        "10001", "10001", "10001", "CapEff:0000000000000000", "NoNewPrivs:1", "touch: /x: Read-only file system", "0", "/",
    ]  # fmt: skip


def test_nobody_writes_to_an_image(harness: Harness) -> None:
    writable = {**RESTRICTED, "readOnlyRootFilesystem": False}
    script = "ls /tmp; touch /tmp/written && ls /tmp"
    manifest = workflow_template({"name": "main", "container": single(script, securityContext=writable)})
    assert said(harness, manifest) == ["written"]
    assert said(harness, manifest)[-1:] == ["written"]
    root = harness.images.find(TOOLS).root
    assert list((root / "tmp").iterdir()) == []
    assert not (root / "var/run/argo").exists()


def test_the_working_folder_and_what_is_mounted_where(harness: Harness) -> None:
    mounts: list[Manifest] = [
        {"name": "inner", "mountPath": "/work/inner"},
        {"name": "outer", "mountPath": "/work"},
        {"name": "outer", "mountPath": "/part", "subPath": "part", "readOnly": True},
    ]
    volumes = [{"name": name, "emptyDir": {"sizeLimit": "1Gi"}} for name in ("inner", "outer")]
    script = "pwd; touch /work/x /work/inner/y; ls /work; ls /work/inner; touch /part/z 2>&1; stat -c '%a %g' /work"
    assert said(harness, mounted(script, *volumes, mounts=mounts, workingDir="/work/inner")) == [
        "/work/inner", "inner", "part", "x", "y", "touch: /part/z: Read-only file system", "2777 10001",
    ]  # fmt: skip


def test_a_volume_in_memory(harness: Harness) -> None:
    volume = {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}
    script = "echo x > /dev/shm/x && df -T /dev/shm | tail -1 | grep -o tmpfs"
    mounts = [{"name": "shm", "mountPath": "/dev/shm"}]  # noqa: S108  the container's
    assert "tmpfs" in said(harness, mounted(script, volume, mounts=mounts))[-1]


def test_secrets_as_variables(make_harness: MakeHarness) -> None:
    sources = [
        {"secretRef": {"name": "remote"}},
        {"prefix": "C_", "configMapRef": {"name": "map"}},
        {"secretRef": {"name": "none", "optional": True}},
    ]
    env = [
        {"name": "ONE", "valueFrom": {"secretKeyRef": {"name": "remote", "key": "AWS_ACCESS_KEY_ID"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "remote", "key": "nope", "optional": True}}},
        {"name": "AWS_ACCESS_KEY_ID", "value": "over"},
    ]
    script = "echo $ONE $AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY $C_key ${NONE-unset}"
    harness = make_harness(secrets=SECRETS, config_maps={"map": {"key": "value"}})
    manifest = workflow_template({"name": "main", "container": single(script, env=env, envFrom=sources)})
    assert said(harness, manifest) == ["key over secret value unset"]


def test_secrets_as_files(make_harness: MakeHarness) -> None:
    volumes = [
        {
            "name": "registry",
            "secret": {
                "secretName": "config",
                "optional": True,
                "items": [{"key": "config.json", "path": "docker/config.json"}],
                "defaultMode": 0o400,
            },
        },
        {"name": "all", "secret": {"secretName": "remote"}},
        {"name": "none", "secret": {"secretName": "none", "optional": True}},
        {"name": "map", "configMap": {"name": "map"}},
    ]
    mounts: list[Manifest] = [
        {"name": volume["name"], "mountPath": f"/s/{volume['name']}", "readOnly": True} for volume in volumes
    ]
    script = "cd /s; cat registry/docker/config.json all/AWS_SECRET_ACCESS_KEY map/key; echo; ls none | wc -l; stat -L -c %a registry/docker/config.json; touch all/x 2>&1; true"
    harness = make_harness(secrets=SECRETS, config_maps={"map": {"key": "value"}})
    assert said(harness, mounted(script, *volumes, mounts=mounts)) == [
        "{}secretvalue",
        "0",
        "440",
        "touch: all/x: Read-only file system",
    ]


def test_a_claim(make_harness: MakeHarness, tmp_path: Path) -> None:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    mounts = [{"name": "data", "mountPath": "/data"}]
    manifest = mounted("cat /data/x; touch /data/y", volume, mounts=mounts)
    (tmp_path / "x").write_text("kept\n")
    assert said(make_harness(claims={"data": tmp_path}), manifest) == ["kept"]
    assert (tmp_path / "y").stat().st_uid == 10001
    harness = make_harness()
    harness.apply(manifest)
    with pytest.raises(HangsError, match='persistentvolumeclaim "data" not found'):
        harness.run(workflow())


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """A web server on loopback; its port."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_servers_on_loopback_are_reached(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("served\n")
    with served(tmp_path) as port:
        assert said(harness, one_pod(f"wget -q -O - http://localhost:{port}/x")) == ["served"]


PYTHON = "import os, tempfile, urllib.request; print(os.path.expanduser('~'), urllib.request.urlopen(os.environ['ENDPOINT']).status); tempfile.mkstemp()"


@pytest.mark.parametrize("mounts", [[], [{"name": "tmp", "mountPath": "/tmp"}]])  # noqa: S108  the container's
def test_python_has_a_home_and_a_temporary_folder_where_the_manifest_gives_them(
    harness: Harness, python_base: Base, s3_endpoint: str, mounts: list[Manifest]
) -> None:
    harness.images.given["python:1"] = (python_base.layout, python_base.digest)
    variables = {"ENDPOINT": s3_endpoint, **({"HOME": "/tmp"} if mounts else {})}  # noqa: S108
    container = single(
        "", "python:1", mounts=mounts, env=[{"name": name, "value": value} for name, value in variables.items()]
    )
    harness.apply(
        workflow_template(
            {"name": "main", "container": {**container, "command": ["python3", "-I", "-c"], "args": [PYTHON]}}
        )
    )
    report = harness.run(workflow())
    assert report.phase == ("Succeeded" if mounts else "Failed")
    home = "/tmp" if mounts else "/"  # noqa: S108
    assert f"{home} 200\n" in report.log("")
    assert ("No usable temporary directory found" in report.log("")) == (not mounts)


def test_an_image_of_a_registry_is_pulled_once(
    pods: tuple[Engine, Images], make_harness: MakeHarness, busybox_base: Base, tmp_path: Path
) -> None:
    images = Images(tmp_path, {})
    tmp_path.chmod(0o755)
    with Registry() as registry:
        push(registry, "ml/co2", busybox_base)
        harness = make_harness(images=images)
        manifest = workflow_template(
            {"name": "main", "container": single("echo $PATH", f"{registry.host}/ml/co2@{busybox_base.digest}")}
        )
        assert said(harness, manifest) == ["/bin"]
        registry.clear()
        assert said(harness, manifest)[-1] == "/bin"
        assert registry.requests == []
    assert pods[1].find(TOOLS).root != images.find(f"{registry.host}/ml/co2@{busybox_base.digest}").root


def test_an_image_that_is_unpacked(pods: tuple[Engine, Images], make_harness: MakeHarness, tmp_path: Path) -> None:
    if pods[0].__class__ is not Chroot:
        pytest.skip("podman runs images of layouts alone")
    shutil.copytree(pods[1].find(TOOLS).root, tmp_path / "root", symlinks=True)
    (tmp_path / "root/mine").write_text("mine\n")
    image = Image(tmp_path / "root", None, "", {"Env": ["PATH=/bin"], "WorkingDir": "/bin"})
    harness = make_harness(images=Images(tmp_path, {"mine": image}))
    manifest = workflow_template({"name": "main", "container": single("cat /mine; pwd", "mine")})
    assert said(harness, manifest) == ["mine", "/bin"]


def test_an_image_of_other_bytes_is_not_run(make_harness: MakeHarness, busybox_base: Base, tmp_path: Path) -> None:
    with Registry() as registry:
        push(registry, "ml/co2", busybox_base)
        registry.corrupt(busybox_base.digest)
        harness = make_harness(images=Images(tmp_path))
        harness.apply(
            workflow_template(
                {"name": "main", "container": single("true", f"{registry.host}/ml/co2@{busybox_base.digest}")}
            )
        )
        with pytest.raises(HangsError, match="ImagePullBackOff"):
            harness.run(workflow())


def push(registry: Registry, name: str, image: Base) -> None:
    """Put an image into a registry's store."""
    repository = registry.repositories.setdefault(name, Repository())
    content = read_blob(image.layout, image.digest)
    manifest = json.loads(content)
    for each in (manifest["config"], *manifest["layers"]):
        repository.blobs[each["digest"]] = read_blob(image.layout, each["digest"])
    repository.manifests[image.digest] = StoredManifest(manifest["mediaType"], content)
