"""What `canon history`, `promote` and `rollback` cost over 1,000 releases, beside `git log` over the same files: `make bench-release`.

Whole commands, in turns, on one clone; medians of the ratios are printed beside their bar: by `git log -p`, which reads what the files said, as
`canon history` does, and by `git log` alone. Each release to staging follows a commit of code in a tree of 200 files, and is promoted. The registry is one
on loopback that has every image.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from canon.model.release import Origin, Release, format_release, release_path

COUNT = 1000
FILES = 200
BAR = 20
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
SETTINGS = '[tool.canon]\ndefault_profile = "local"\ngit = {url = "URL"}\n[tool.canon.profiles.local]\n'
DECLARATION = """\
name: p
track: false
stages:
  fit: {cmd: cp params.yaml model, deps: [params.yaml], outs: [model]}
artifacts: {net: {path: model, type: model}}
serving: {artifact: net, cmd: python3 serve.py}
deploy:
  staging: {namespace: p-staging}
  production: {namespace: p, from: staging, gates: ["rmse <= 2 * production.rmse"]}
"""


def manifest(number: int) -> bytes:
    """An image's manifest, of which nobody asks for more."""
    blob = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": f"sha256:{0:064x}", "size": 2}
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": blob,
        "layers": [],
        "annotations": {"n": str(number)},
    }
    return json.dumps(document).encode()


def digest(number: int) -> str:
    return f"sha256:{hashlib.sha256(manifest(number)).hexdigest()}"


MANIFESTS = {digest(number): manifest(number) for number in range(COUNT)}


class Registry(BaseHTTPRequestHandler):
    """Has the manifests of all images."""

    def do_GET(self) -> None:
        content = MANIFESTS.get(self.path.rpartition("/")[2], b"{}")
        self.send_response(200)
        self.send_header("Content-Type", MANIFEST)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        del format, args


def call(folder: Path, *command: str) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return time.perf_counter() - start


def release_text(number: int, environment: str, host: str, commit: str) -> str:
    return format_release(
        Release(
            schema=1, pipeline="p", environment=environment, number=number, image=f"{host}/ml/p@{digest((number - 1) // 2)}", version=f"v0.0.{(number + 1) // 2}",
            commit=commit, tree=commit, experiment=commit, result=f"{number:064x}", data_hash=f"{number:064x}",
            entries={f"stage-{each}": f"{number * each:064x}" for each in range(1, 6)}, run=f"https://mlflow.example.com/#/experiments/1/runs/{number}",
            metrics={"rmse": 1 / number, "mae": 2 / number, "r2": 1 - 1 / number}, time="2026-11-26T10:00:00Z", author="A B <a@example.com>",
            promoted=Origin(environment="staging", number=number - 1) if environment == "production" else None, why=f"because of {number}",
        )
    )  # fmt: skip


def make(folder: Path, host: str) -> Path:
    """A repository with 500 releases to staging and 500 promotions, in turn, each with its tags; return a clone."""
    code, work = folder / "code.git", folder / "work"
    call(folder, "git", "init", "-q", "--bare", "-b", "main", str(code))
    call(folder, "git", "clone", "-q", str(code), str(work))
    (work / "pipelines").mkdir()
    (work / "pyproject.toml").write_text(SETTINGS.replace("URL", str(code)))
    (work / "pipelines/p.yaml").write_text(DECLARATION)
    (work / "params.yaml").write_text("rate: 1\n")
    for number in range(FILES):
        (work / f"code/part-{number % 10}").mkdir(parents=True, exist_ok=True)
        (work / f"code/part-{number % 10}/module_{number}.py").write_text(f"NUMBER = {number}\n")
    call(work, "git", "checkout", "-q", "-B", "main")
    call(work, "git", "add", "--all")
    call(work, "git", "commit", "-qm", "declared")
    first = subprocess.run(
        ("git", "rev-parse", "HEAD"), cwd=work, capture_output=True, text=True, check=True
    ).stdout.strip()
    stream: list[str] = []
    for number in range(1, COUNT + 1):
        environment = ("production", "staging")[number % 2]
        text = release_text(number, environment, host, first)
        who = f"A B <a@example.com> {1_760_000_000 + number * 3600} +0000"
        data = f"M 100644 inline {release_path('p', environment)}\ndata {len(text.encode())}\n{text}\n"
        begin = f"from {first}\n" if number == 1 else ""
        if environment == "staging":
            changed = f"M 100644 inline code/part-{number % 10}/module_{number % FILES}.py\ndata {len(str(number))}\n{number}\n"
            stream.append(f"commit refs/heads/main\ncommitter {who}\ndata 4\ncode\n{begin}{changed}")
            begin = ""
        stream.append(f"commit refs/heads/main\ncommitter {who}\ndata 7\nrelease\n{begin}{data}")
        stream.append(f"tag p#{environment}#{number}\nfrom {first}\ntagger {who}\ndata 7\nrelease\n")
    stream.append(f"tag p@v0.0.{COUNT // 2}\nfrom {first}\ntagger {who}\ndata 7\nversion\n")
    subprocess.run(("git", "fast-import", "--quiet"), cwd=work, input="".join(stream).encode(), check=True)
    call(work, "git", "reset", "-q", "--hard", "main")
    call(work, "git", "push", "-q", "origin", "main", "--tags")
    call(work, "git", "repack", "-adq")
    return work


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    os.environ |= {
        "NO_PROXY": "127.0.0.1", "GIT_CONFIG_GLOBAL": "/dev/null",
        **{f"GIT_{role}_{part}": "bench@example.com" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")},
    }  # fmt: skip
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="canon-bench-") as name:
        work = make(Path(name), f"127.0.0.1:{server.server_port}")
        times: dict[str, list[float]] = {}
        ratios: dict[str, list[tuple[float, float]]] = {}
        for number in range(options.rounds):
            paths = [release_path("p", each) for each in ("staging", "production")]
            log = call(work, "git", "log", "--format=%H", "-p", "main", "--", *paths)
            bare = call(work, "git", "log", "--format=%H", "main", "--", *paths)
            commands = {
                "python -c pass": (sys.executable, "-c", "pass"),
                "canon --version": ("canon", "--version"),
                "canon history": ("canon", "history", "p", "staging", "--json"),
                "canon history --at": ("canon", "history", "p", "production", "--at", "2025-11-01"),
                "canon promote": ("canon", "promote", "p", "staging", "production"),
                "canon rollback": ("canon", "rollback", "p", "production", "--to", str(2 + 2 * number)),
            }
            times.setdefault("git log -p", []).append(log)
            times.setdefault("git log", []).append(bare)
            for label, command in commands.items():
                took = call(work, *command)
                times.setdefault(label, []).append(took)
                ratios.setdefault(label, []).append((took / log, took / bare))
        for label, all_times in times.items():
            pairs = ratios.get(label, [])
            by_text, by_names = (
                (statistics.median(column) for column in zip(*pairs, strict=True)) if pairs else (1.0, 1.0)
            )
            ratio = f" = {by_text:.1f} x git log -p (bar {BAR}), {by_names:.1f} x git log" if pairs else ""
            print(f"{label:>20}: {statistics.median(all_times):.3f} s{ratio}", flush=True)
    server.shutdown()


if __name__ == "__main__":
    main()
