"""What all tests share: an environment without the user's own settings, repositories to work in, and an S3 server.

The server is moto's, on loopback; ``CANON_TEST_S3_ENDPOINT`` names another one, with ``CANON_TEST_S3_ACCESS_KEY`` and
``CANON_TEST_S3_SECRET_KEY``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from filelock import FileLock

from tests import preloaded
from tests.containers import Containers, choose_engine
from tests.harness.fixtures import harness, make_harness, pods

__all__ = ["harness", "make_harness", "pods"]
"""Fixtures of other files."""

# A deadline is a measurement of the machine.
hypothesis.settings.register_profile("canon", deadline=None)
hypothesis.settings.load_profile("canon")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of a shell's background jobs: commands would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
NO_BASE = 3
"""Exit status of scripts/base.sh where no base can be made."""
BIN = Path(os.environ.get("VIRTUAL_ENV", ROOT / ".venv")) / "bin"


@pytest.fixture(autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's home, and none depends on variables of the shell that started it."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "DVC_", "AWS_", "GIT_", "ARGO_", "CANON_DEBUG", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(home / "site"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "aws"))
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    (home / ".gitconfig").write_text(
        '[user]\n\tname = Test\n\temail = test@example.com\n[init]\n\tdefaultBranch = main\n[protocol "file"]\n\tallow = always\n'
    )


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that is made once for all workers of a run, by ``make(folder)``. Tests copy it and leave it as it is."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / "once" / name
    folder.parent.mkdir(exist_ok=True)
    done = folder.with_name(f"{name}.made")
    with FileLock(folder.with_name(f"{name}.lock")):
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the commands `canon` and `dvc` as `tests/preloaded.py` has them; CANON_TEST_COMMANDS=installed: as users do."""
    if os.environ.get("CANON_TEST_COMMANDS") == "installed":
        return BIN
    if not preloaded.can_serve(tmp_path_factory.getbasetemp() / "once" / "commands"):
        return BIN
    owner = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()

    def make(folder: Path) -> None:
        preloaded.install(folder, BIN, Path(sys.executable))
        preloaded.start_server(folder, Path(sys.executable), owner)

    return once(tmp_path_factory, "commands", make)


@pytest.fixture
def quick(_own_environment: None, commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of a test start at once."""
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; return what it prints."""
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty Git repository with one commit."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "README.md").write_text("hello\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


@dataclass(frozen=True)
class Base:
    """An image to build on: the layout that holds it alone, and its digest. Tests copy it and leave it as it is."""

    layout: Path
    digest: str


def made_base(factory: pytest.TempPathFactory, kind: str) -> Base:
    """Make a base by scripts/base.sh, once for all workers; skip where none can be made."""

    def make(folder: Path) -> None:
        done = subprocess.run(
            ("sh", ROOT / "scripts/base.sh", kind, folder / "layout"), capture_output=True, text=True, check=False, timeout=200
        )  # fmt: skip
        if done.returncode not in {0, NO_BASE}:
            raise RuntimeError(f"scripts/base.sh {kind} gave {done.returncode}\n{done.stderr}")
        (folder / "said").write_text(done.stdout or done.stderr)

    folder = once(factory, f"base-{kind}", make)
    said = (folder / "said").read_text().strip()
    if not (folder / "layout").exists():
        pytest.skip(said)
    return Base(folder / "layout", said)


@pytest.fixture(scope="session")
def python_base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A small image with Python 3.11."""
    return made_base(tmp_path_factory, "python")


@pytest.fixture(scope="session")
def tools_base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A small image with Python 3.11 and git."""
    return made_base(tmp_path_factory, "tools")


@pytest.fixture(scope="session")
def busybox_base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A tiny image without Python: busybox and its links."""
    return made_base(tmp_path_factory, "busybox")


@pytest.fixture(scope="session")
def containers(busybox_base: Base) -> Iterator[Containers]:
    """What runs images; skips where neither podman nor a chroot can."""
    # Not in pytest's own folder: where the path is longer than some 50 bytes, podman 4.3 waits 20 s at each container's end.
    with tempfile.TemporaryDirectory(prefix="canon-", ignore_cleanup_errors=True) as name:
        engine, why = choose_engine(Path(name), busybox_base.layout, busybox_base.digest)
        if engine is None:
            pytest.skip(f"no container can be run here\n{why}")
        started = Containers(engine, Path(name))
        yield started
        started.close()


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run() -> Run:
    """Run a command as a process; ``code`` is the exit status that is expected, None for any."""

    def call(
        folder: Path, *command: str, code: int | None = 0, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            env={**os.environ, **(env or {})},
            check=False,
            timeout=200,
        )
        if code is not None:
            assert done.returncode == code, f"{command} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return call


ACCESS_KEY = os.environ.get("CANON_TEST_S3_ACCESS_KEY", "testing")
SECRET_KEY = os.environ.get("CANON_TEST_S3_SECRET_KEY", "testing")


@dataclass(frozen=True)
class S3:
    """An S3 server with a bucket of the test's own."""

    endpoint: str
    bucket: str
    client: Any

    def put(self, key: str, content: bytes) -> str | None:
        """Write an object; return its version."""
        version: str | None = self.client.put_object(Bucket=self.bucket, Key=key, Body=content).get("VersionId")
        return version

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """URL of the S3 server."""
    other = os.environ.get("CANON_TEST_S3_ENDPOINT")
    if other:
        yield other
        return
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is reached without a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@pytest.fixture
def credentials(direct: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001  a fixture for its effect
    """Credentials for S3 in the environment, as a user has them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture(scope="session")
def s3_client(s3_endpoint: str) -> Iterator[Any]:
    """A client of the S3 server: a second implementation, not the one under test."""
    import boto3

    with contextlib.closing(
        boto3.client(
            "s3", endpoint_url=s3_endpoint, aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name="us-east-1"
        )
    ) as client:  # fmt: skip
        yield client


@pytest.fixture
def s3(s3_endpoint: str, s3_client: Any, credentials: None) -> S3:  # noqa: ARG001  a fixture for its effect
    """The S3 server, a fresh bucket, and credentials in the environment."""
    bucket = f"canon-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=bucket)
    return S3(s3_endpoint, bucket, s3_client)
