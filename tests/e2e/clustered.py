"""A project that runs in the pod harness: its code behind git's own daemon, its image in a registry, its data on S3, and Canon's tools image."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from canon.image.images import load_image
from canon.image.layout import Layout
from canon.image.registry import Repository
from canon.model.cluster import TOOLS_PYTHON
from canon.output.yaml import load_yaml
from tests.conftest import ACCESS_KEY, ROOT, S3, SECRET_KEY, Base, git
from tests.e2e.faults import canon
from tests.harness.images import Image

TOOLS = f"registry.example.com/ml/canon@sha256:{'7' * 64}"


@contextlib.contextmanager
def git_daemon(folder: Path) -> Iterator[str]:
    """Serve the bare repositories in a folder, to be pushed to, too; yield the URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", f"--base-path={folder}", "--export-all",
         "--enable=receive-pack", str(folder)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"git://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def copy_image(layout: Path, digest: str, target: Repository, tag: str) -> str:
    """Push an image of a layout to a registry; return its reference."""
    source = Layout(layout)
    image = load_image(source, source.name, digest)
    for descriptor in (image.manifest.config, *image.manifest.layers):
        target.copy(source, descriptor)
    target.add(source.manifest(source.find(digest))[0], tag)
    return f"{target.name}@{digest}"


def declare_cluster(
    root: Path, code: Path, url: str, s3: S3, host: str, base: Base, settings: str = "[tool.canon.profiles.cluster]\n"
) -> None:
    """Give a project a profile that runs in a cluster, render it, and push it to a bare repository. ``settings``: further ones of that profile, and other profiles."""
    image = copy_image(base.layout, base.digest, Repository(host, "python"), "base")
    file = root / "pipelines/p.yaml"
    file.write_text(file.read_text().replace("name: p\n", f"name: p\nenvironment: {{image: {image}}}\n", 1))
    (root / "pyproject.toml").write_text(f"""\
[tool.canon]
default_profile = "local"
git = {{url = "{url}/code.git", branch = "main"}}
tools_image = "{TOOLS}"
[tool.canon.profiles.local]
remote = "store"
namespace = "ml"
registry = "{host}/ml"
accept = "any"
{settings}""")
    subprocess.run(["dvc", "remote", "add", "-q", "-f", "-d", "store", f"s3://{s3.bucket}/dvc"], cwd=root, check=True)
    subprocess.run(["dvc", "remote", "modify", "-q", "store", "endpointurl", s3.endpoint], cwd=root, check=True)
    canon(root, "render", seconds=120)
    git(root, "add", "--all")
    git(root, "commit", "-qm", "cluster")
    git(code.parent, "init", "-q", "--bare", "-b", "main", code.name)
    git(root, "remote", "add", "origin", str(code))
    git(root, "push", "-q", "origin", "HEAD:main")


def template(root: Path, profile: str = "local") -> dict[str, Any]:
    """The WorkflowTemplate that was rendered."""
    text = (root / f"argo/p/workflow/{profile}.yaml").read_text()
    found: dict[str, Any] = load_yaml(text, "local.yaml")
    return found


def secrets(*profiles: str) -> dict[str, dict[str, str]]:
    """What the platform's README says to make."""
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_DEFAULT_REGION": "us-east-1"}
    return {f"canon-p-{profile}-remote": keys for profile in profiles or ("local",)}


def checkout_tools(below: Image) -> Image:
    """An image with the Canon of this checkout and the Python of its environment, in place of a tools image: what it needs is seen, not copied.

    That is quick; whether the tools image holds all that is needed does not show. ``below`` has a shell.
    """
    environment, python = Path(sys.prefix), Path(sys.base_prefix)
    seen = {"/usr": Path("/usr"), **{name: Path(name).resolve() for name in ("/lib", "/lib64") if Path(name).exists()}}
    tools = Path(TOOLS_PYTHON).parent
    own = {str(each): each for each in (python, environment, ROOT / "plugins")}
    config = {**below.config, "Env": [f"PATH={tools}:/usr/bin:/bin"]}
    return dataclasses.replace(below, binds={**seen, **own, str(tools.parent): environment}, config=config)


def make_tools(root: Path, base: Base, into: Path) -> None:
    """Make the tools image of this checkout as ``layout`` in a folder, with its digest in the file ``digest`` there."""
    said = canon(
        root, "image", "tools", "--from", f"oci:{base.layout}", "--to", f"oci:{into}/layout", seconds=600
    ).stdout
    (into / "layout/digest").write_text(said.strip().rpartition("@")[2])
