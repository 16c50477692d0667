"""Images of `canon image base` on real bases, run as a cluster runs them: another uid, a root that is read-only."""

from __future__ import annotations

import json
import signal
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import Base, git
from tests.containers import UID, Containers, Podman, free_port
from tests.e2e.faults import canon, commit, write

pytestmark = pytest.mark.usefixtures("quick")
SOURCE = "/opt/canon/src"
TEXT = "größer\n"
READ = """\
import json, os, sys
try:
    open("new", "w")
except OSError as error:
    refused = error.errno
with open("/tmp/new", "w") as file: file.write("x")
print(json.dumps([os.getcwd(), os.getuid(), refused, open("folder/größe.txt", encoding="utf-8").read(), os.access("run.sh", os.X_OK), os.environ["WHO"]]))
"""
READ_ONLY_FILE_SYSTEM = 30
SERVE = """\
import http.server, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""
"""`python3 -m http.server`, with a handler: a container's first process gets no signal that it does not handle."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A committed project whose environment is its image's alone."""
    root = tmp_path / "project"
    write(root, "pyproject.toml", '[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n')
    write(
        root,
        "pipelines/p.yaml",
        f"name: p\nenvironment: {{image: 'x@sha256:{'0' * 64}'}}\nstages: {{a: {{cmd: ./run.sh, deps: [run.sh], outs: [a.txt]}}}}\n",
    )
    write(root, "run.sh", "#!/bin/sh\nid -u\n")
    (root / "run.sh").chmod(0o755)
    write(root, "folder/größe.txt", TEXT)
    git(root, "init", "-q")
    commit(root)
    return root


def made(project: Path, base: Base) -> tuple[Path, str]:
    """Put the project's code on top of a base; return layout and digest."""
    to = project.parent / "made"
    command = ("image", "base", "p", "--from", f"oci:{base.layout}", "--to", f"oci:{to}")
    return to, canon(project, *command).stdout.strip().rpartition("@")[2]


def test_the_code_is_there_in_a_base_with_python(project: Path, python_base: Base, containers: Containers) -> None:
    said = containers.run(*made(project, python_base), "python3", "-c", READ, env={"WHO": "me"}).stdout
    assert json.loads(said) == [SOURCE, UID, READ_ONLY_FILE_SYSTEM, TEXT, True, "me"]


def test_the_code_is_there_in_a_base_without_python(project: Path, busybox_base: Base, containers: Containers) -> None:
    image = made(project, busybox_base)
    assert containers.run(*image, "cat", "folder/größe.txt").stdout == TEXT
    said = containers.run(*image, "sh", "-c", "pwd; ./run.sh; id -g; touch /tmp/x; echo $$").stdout
    assert said.split() == [SOURCE, str(UID), "0", "1"]
    assert "Read-only file system" in containers.run(*image, "touch", "new", code=1).stderr
    written = containers.run(*image, "sh", "-c", "touch new && ls new", read_only=False, uid=0).stdout
    assert written == "new\n"
    assert "new" not in containers.run(*image, "ls").stdout.split()
    assert containers.run(*image, "python3", code=None).returncode != 0
    containers.run(*image, "sh", "-c", "sh -c 'kill -9 $$'; exit $?", code=128 + signal.SIGKILL)
    assert containers.start(*image, "sleep", "100").stop(signal.SIGKILL) == 128 + signal.SIGKILL


def test_podman_knows_the_image_by_the_same_digest(
    project: Path, python_base: Base, busybox_base: Base, containers: Containers
) -> None:
    podman = containers.engine
    if not isinstance(podman, Podman):
        pytest.skip("podman is missing, or does not work here")
    for layout, digest in ((python_base.layout, python_base.digest), made(project, busybox_base)):
        (found,) = json.loads(podman.call("image", "inspect", podman.image(layout, digest)))
        assert found["Digest"] == digest


def test_a_server_is_started_and_stopped_by_a_signal(
    project: Path, python_base: Base, containers: Containers, direct: None  # noqa: ARG001  a fixture for its effect
) -> None:  # fmt: skip
    port = free_port()
    server = containers.start(*made(project, python_base), "python3", "-c", SERVE, str(port), port=port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/run.sh", timeout=10) as answer:
        assert answer.read() == (project / "run.sh").read_bytes()
    assert server.stop(signal.SIGTERM) == 7
    assert "GET /run.sh" in server.logs
    with pytest.raises(AssertionError, match=r"ended with 3 before it served\nwrong"):
        containers.start(python_base.layout, python_base.digest, "sh", "-c", "echo wrong; exit 3", port=free_port())
