"""The reference pipeline in a real cluster: `make cluster`. It makes one with kind, does what a team does, looks at what comes of it.

    python tests/cluster/run.py [--keep] [--dry-run]

``--keep`` leaves the cluster, ``--dry-run`` prints the commands and runs none. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CLUSTER, NODE, NAMESPACE, SERVICES = "canon-test", "canon-test-control-plane", "ml", "canon-services"
ARGO = "https://github.com/argoproj/argo-workflows/releases/download/v4.1.2/install.yaml"
PYTHON = "docker.io/library/python:3.11.13-slim-bookworm"
"""The image that the stages run on."""
INSIDE = f"{SERVICES}.svc.cluster.local"
REGISTRY, LOCAL_REGISTRY = f"registry.{INSIDE}:5000", "127.0.0.1:5001"
S3, LOCAL_S3 = f"http://minio.{INSIDE}:9000", "http://127.0.0.1:9900"
MLFLOW, LOCAL_MLFLOW = f"http://mlflow.{INSIDE}:5000", "http://127.0.0.1:5501"
GIT, LOCAL_GIT = f"git://git.{INSIDE}/", "git://127.0.0.1:9418/"
KEYS = {"AWS_ACCESS_KEY_ID": "canon-cluster", "AWS_SECRET_ACCESS_KEY": "not-a-secret-here", "AWS_DEFAULT_REGION": "us-east-1"}  # fmt: skip
PROGRAMS = ("docker", "kind", "kubectl", "git", "openssl")
SETTINGS = """\
[tool.canon]
default_profile = "local"
git = {{url = "{git}co2.git", branch = "main"}}
tools_image = "{tools}"
[tool.canon.profiles.local]
[tool.canon.profiles.cluster]
remote = "store"
namespace = "{namespace}"
registry = "{registry}/ml"
endpoint = "{s3}"
mlflow = "{mlflow}"
argo = "https://127.0.0.1:2746"

"""
BUCKET = """\
import botocore.session, sys
client = botocore.session.Session().create_client("s3")
client.create_bucket(Bucket="canon-demo")
for name in ("co2_weekly.csv", "sunspots.csv"):
    client.put_object(Bucket="canon-demo", Key=name, Body=open(f"data/samples/{name}", "rb"))
"""


class Shell:
    """Runs commands; with ``pretend`` it prints them alone, and answers with what stands for the answer."""

    def __init__(self, folder: Path, *, pretend: bool) -> None:
        self.folder, self.pretend = folder, pretend
        self.env: dict[str, str] = {}

    def run(self, *command: str, at: Path | None = None, stdin: str | None = None, instead: str = "") -> str:
        """Run a command to its end; return what it prints. Raises CalledProcessError."""
        print("+", shlex.join(command), flush=True)
        if self.pretend:
            return instead
        done = subprocess.run(
            command, cwd=at or self.folder, env={**os.environ, **self.env}, input=stdin, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    def kubectl(self, *command: str, stdin: str | None = None, instead: str = "") -> str:
        """Run kubectl on this cluster, whatever the user's own context is."""
        return self.run("kubectl", "--context", f"kind-{CLUSTER}", *command, stdin=stdin, instead=instead)

    def make(self, *command: str) -> None:
        """Let kubectl make an object that may be there already."""
        made = self.kubectl("create", *command, "--dry-run=client", "-o", "yaml", instead="")
        self.kubectl("apply", "-f", "-", stdin=made)

    def digest(self, name: str, tag: str) -> str:
        """The digest of an image in the registry."""
        if self.pretend:
            return f"sha256:{'0' * 64}"
        accepted = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
        request = urllib.request.Request(f"https://{LOCAL_REGISTRY}/v2/{name}/manifests/{tag}", method="HEAD", headers={"Accept": accepted})  # fmt: skip
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        with urllib.request.urlopen(request, context=context) as answer:  # noqa: S310  https
            return str(answer.headers["Docker-Content-Digest"])


def prepare_cluster(shell: Shell) -> None:
    """Argo Workflows, and what a team has."""
    names = f"DNS:{REGISTRY.partition(':')[0]},IP:127.0.0.1"
    shell.run(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "7", "-subj", "/CN=canon-cluster", "-addext",
        f"subjectAltName={names}", "-keyout", "ca.key", "-out", "ca.crt",
    )  # fmt: skip
    hosts = f'server = "https://{REGISTRY}"\n[host."https://127.0.0.1:30500"]\ncapabilities = ["pull", "resolve"]\nskip_verify = true\n'
    place = f"/etc/containerd/certs.d/{REGISTRY}"
    shell.run("docker", "exec", "-i", NODE, "sh", "-c", f"mkdir -p {place} && cat > {place}/hosts.toml", stdin=hosts)
    for namespace in (SERVICES, "argo", NAMESPACE):
        shell.make("namespace", namespace)
    shell.kubectl("label", "--overwrite", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    secret = (f"--from-literal=MINIO_ROOT_USER={KEYS['AWS_ACCESS_KEY_ID']}", f"--from-literal=MINIO_ROOT_PASSWORD={KEYS['AWS_SECRET_ACCESS_KEY']}")  # fmt: skip
    shell.make("secret", "generic", "minio", "-n", SERVICES, *secret)
    shell.make("secret", "tls", "registry-tls", "-n", SERVICES, "--cert=ca.crt", "--key=ca.key")
    shell.kubectl("apply", "--server-side", "-n", "argo", "-f", ARGO)
    shell.kubectl("-n", "argo", "set", "env", "deployment/workflow-controller", "DEFAULT_REQUEUE_TIME=2s")
    shell.kubectl("apply", "-f", str(HERE / "services.yaml"))
    for namespace in ("argo", SERVICES):
        shell.kubectl("-n", namespace, "wait", "--for=condition=Available", "deployment", "--all", "--timeout=600s")


def push_images(shell: Shell) -> tuple[str, str]:
    """The image of the stages and the tools image, as the cluster names them."""
    shell.run("docker", "pull", "--quiet", PYTHON)
    shell.run("docker", "tag", PYTHON, f"{LOCAL_REGISTRY}/ml/python:3.11")
    shutil.copy(HERE / "Dockerfile", shell.folder)
    shell.run("docker", "build", "--quiet", "--tag", f"{LOCAL_REGISTRY}/ml/tools-base:1", ".")
    for name in ("python:3.11", "tools-base:1"):
        shell.run("docker", "push", "--quiet", f"{LOCAL_REGISTRY}/ml/{name}")
    below = f"{LOCAL_REGISTRY}/ml/tools-base@{shell.digest('ml/tools-base', '1')}"
    shell.env["REQUESTS_CA_BUNDLE"] = str(shell.folder / "ca.crt")
    tools = shell.run(
        "canon", "image", "tools", "--from", below, "--to", f"{LOCAL_REGISTRY}/ml/canon", at=ROOT,
        instead=f"{LOCAL_REGISTRY}/ml/canon@sha256:{'0' * 64}",
    )  # fmt: skip
    del shell.env["REQUESTS_CA_BUNDLE"]
    image = f"{REGISTRY}/ml/python@{shell.digest('ml/python', '3.11')}"
    return image, f"{REGISTRY}/ml/canon@{tools.rpartition('@')[2]}"


def declare(shell: Shell, image: str, tools: str) -> Path:
    """A clone of this repository, declared for the cluster, rendered and pushed."""
    root = shell.folder / "work"
    shell.run("git", "clone", "--quiet", str(ROOT), str(root))
    shell.run("git", "remote", "set-url", "origin", f"{LOCAL_GIT}co2.git", at=root)
    shell.run("git", "config", f"url.{LOCAL_GIT}.insteadOf", GIT, at=root)
    if not shell.pretend:
        settings = SETTINGS.format(git=GIT, tools=tools, namespace=NAMESPACE, registry=REGISTRY, s3=S3, mlflow=MLFLOW)
        _edit(root / "pyproject.toml", r"(?s)^\[tool\.canon\].*?(?=^\[tool\.ruff\])", settings)
        for name in ("co2", "sunspots"):
            _edit(root / f"pipelines/{name}.yaml", r"docker\.io/library/python:\S+@sha256:[0-9a-f]{64}", image)
        _edit(root / ".dvc/config", r"(    url = s3://canon-demo/dvc)$", rf"\1\n    endpointurl = {S3}")
        (root / "pipelines/sunspots/dvc.lock").unlink()  # made on another image, and pushed nowhere
    shell.run("dvc", "remote", "modify", "--local", "store", "endpointurl", LOCAL_S3, at=root)
    shell.env |= {**KEYS, "AWS_ENDPOINT_URL": LOCAL_S3}
    shell.run(sys.executable, "-c", BUCKET, at=root)
    shell.run("canon", "data", "pin", "--profile", "cluster", at=root)
    shell.run("canon", "render", at=root)
    push(shell, root, "The cluster of this test")
    return root


def _edit(file: Path, pattern: str, text: str) -> None:
    new, count = re.subn(pattern, text, file.read_text(), flags=re.MULTILINE)
    if count != 1:
        sys.exit(f"{file}: {pattern} is there {count} times, not once")
    file.write_text(new)


def push(shell: Shell, root: Path, words: str) -> None:
    """Commit and push all of a checkout."""
    shell.run("git", "add", "--all", at=root)
    shell.run("git", "-c", "user.name=Cluster", "-c", "user.email=cluster@example.com", "commit", "--quiet", "-m", words, at=root)  # fmt: skip
    shell.run("git", "push", "--quiet", "origin", "HEAD:main", at=root)


def apply(shell: Shell, root: Path) -> None:
    """What a platform engineer applies, and the template."""
    keys = [f"--from-literal={name}={value}" for name, value in KEYS.items()]
    for what in ("remote", "data"):
        shell.make("secret", "generic", f"canon-co2-cluster-{what}", "-n", NAMESPACE, *keys)
    shell.kubectl("apply", "-f", str(root / f"argo/co2/platform/{NAMESPACE}.yaml"))
    shell.kubectl("apply", "-f", str(root / "argo/co2/workflow/cluster.yaml"))
    token = shell.kubectl("-n", NAMESPACE, "create", "token", "submitter", "--duration=4h", instead="TOKEN")
    shell.env |= {"ARGO_TOKEN": token, "ARGO_INSECURE_SKIP_VERIFY": "true"}


def submit(shell: Shell, root: Path) -> set[str]:
    """Run the head of the branch to its end; return the names of its pods' tasks that ran."""
    name = shell.run("canon", "submit", "co2", "--watch", at=root, instead="co2-cluster-xxxxx").splitlines()[0]
    text = shell.kubectl("-n", NAMESPACE, "get", "workflow", name, "-o", "json", instead="{}")
    status = json.loads(text).get("status", {})
    expect(shell, status.get("phase") == "Succeeded", f"{name} has succeeded")
    pods = [node["displayName"] for node in status.get("nodes", {}).values() if node["type"] == "Pod"]
    return {pod.partition("(")[0] for pod in pods}  # without the number of the attempt


def look(shell: Shell, root: Path) -> None:
    """What came of it: everything that a colleague would look at."""
    ran = submit(shell, root)
    expect(
        shell, ran == {"plan", "data-raw", "prepare", "deliver"}, "it ran plan, the data, the chain of stages, deliver"
    )
    listing = shell.run("git", "ls-remote", "origin", "refs/exps/*", at=root, instead="0\trefs/exps/0/co2-cluster-0")
    experiment = listing.rpartition("/")[2]
    clone = shell.folder / "clone"
    shell.run("git", "clone", "--quiet", f"{LOCAL_GIT}co2.git", str(clone))
    shell.run("dvc", "remote", "modify", "--local", "store", "endpointurl", LOCAL_S3, at=clone)
    shell.run("dvc", "remote", "default", "--local", "store", at=clone)
    shell.run("dvc", "exp", "pull", "origin", experiment, at=clone)
    shell.run("dvc", "exp", "apply", experiment, at=clone)
    said = shell.run("dvc", "repro", "--pull", "dvc.yaml", at=clone)
    expect(shell, "Running stage" not in said, "what the cluster made is restored, and nothing runs")
    expect(shell, len(rows(shell)) == 1, "MLflow has one run")
    if not shell.pretend:
        with (root / "README.md").open("a") as readme:
            readme.write("\nOne more line.\n")
    push(shell, root, "Words alone")
    ran = submit(shell, root)
    expect(shell, ran == {"plan", "deliver"}, "a commit of words alone runs plan and deliver")
    expect(shell, len(rows(shell)) == 1, "MLflow still has one run")


def rows(shell: Shell) -> list[Mapping[str, object]]:
    """MLflow's runs with a result."""
    if shell.pretend:
        return []

    def ask(path: str, **query: object) -> Mapping[str, list[Mapping[str, object]]]:
        url, header = f"{LOCAL_MLFLOW}/api/2.0/mlflow/{path}", {"Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(query).encode(), header)  # noqa: S310  http on loopback
        with urllib.request.urlopen(request) as answer:  # noqa: S310  http on loopback
            found: Mapping[str, list[Mapping[str, object]]] = json.load(answer)
            return found

    experiments = [each["experiment_id"] for each in ask("experiments/search", max_results=100)["experiments"]]
    found = ask("runs/search", experiment_ids=experiments, filter="tags.`canon.result` LIKE '%'", max_results=100)
    return found.get("runs", [])


def expect(shell: Shell, holds: bool, words: str) -> None:  # noqa: FBT001
    """End unless it holds."""
    if not shell.pretend and not holds:
        sys.exit(f"NOT SO: {words}")
    print(f"{'would look' if shell.pretend else 'ok'}: {words}", flush=True)


@contextlib.contextmanager
def scratch(*, keep: bool) -> Iterator[Path]:
    """A folder that is gone afterwards, unless it is kept."""
    folder = Path(tempfile.mkdtemp(prefix="canon-cluster-")).resolve()
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Make the cluster, run, look, remove the cluster. Exit status 1 where something is not as it should be, 2 where a program is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--keep", action="store_true", help="leave the cluster and the checkouts")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run none")
    options = parser.parse_args()
    missing = [name for name in (*PROGRAMS, "canon", "dvc") if shutil.which(name) is None]
    if missing and not options.dry_run:
        print(f"{', '.join(missing)} not found; see {HERE.name}/README.md", file=sys.stderr)
        return 2
    with scratch(keep=options.keep) as folder:
        shell = Shell(folder, pretend=options.dry_run)
        # Fails where there is a cluster of that name, which is left alone then.
        shell.run("kind", "create", "cluster", "--name", CLUSTER, "--config", str(HERE / "kind.yaml"), "--wait", "180s")
        try:
            prepare_cluster(shell)
            image, tools = push_images(shell)
            root = declare(shell, image, tools)
            apply(shell, root)
            look(shell, root)
        finally:
            if options.keep:
                print(f"kept: {folder}, and the cluster until `kind delete cluster --name {CLUSTER}`")
            else:
                shell.run("kind", "delete", "cluster", "--name", CLUSTER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
