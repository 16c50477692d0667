"""What `canon plan` costs on a chain whose stages are all known, beside the sketch that was measured: `make bench-plan`.

Whole commands, in pairs, in a fresh clone, against an S3 server on loopback; medians of the ratios are printed beside their bars. The sketch is
`prototypes/plan.py` of the folder `shared` beside the checkout, or of CANON_SHARED.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("CANON_SHARED", ROOT.parent / "shared"))
SETTINGS = '[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\nremote = "store"\n'
BARS = {4: 0.8, 200: 0.3}


def call(folder: Path, *command: str) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return time.perf_counter() - start


def make(folder: Path, count: int, endpoint: str) -> Path:
    """A chain of trivial stages that has run and is pushed; return a fresh clone."""
    root = folder / f"chain-{count}"
    (root / "pipelines").mkdir(parents=True)
    (root / "pyproject.toml").write_text(SETTINGS)
    (root / "s0.txt").write_text("0")
    (root / ".gitignore").write_text("/s*.txt\n!/s0.txt\n")
    stages = "".join(
        f"  s{number}:\n    cmd: cp s{number - 1}.txt s{number}.txt\n    deps: [s{number - 1}.txt]\n    outs: [s{number}.txt]\n"
        for number in range(1, count + 1)
    )
    (root / "pipelines/p.yaml").write_text(f"name: p\ntrack: false\nstages:\n{stages}")
    for command in (
        "git init -q", "dvc init -q", "canon render", f"dvc remote add -q -d store s3://bench/{count}",
        f"dvc remote modify -q store endpointurl {endpoint}", "git add --all", "git commit -qm made", "dvc repro -q", "git add --all",
        "git commit -qm ran", "dvc push -q --run-cache", f"git clone -q . {root}-clone",
    ):  # fmt: skip
        call(root, *command.split())
    return Path(f"{root}-clone")


@contextlib.contextmanager
def bench_server() -> Iterator[tuple[Path, str]]:
    """A scratch folder, and the endpoint of an S3 server with the bucket `bench`, whose credentials are in the environment."""
    from moto.server import ThreadedMotoServer

    os.environ |= {
        "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench-secret", "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1", "GIT_CONFIG_GLOBAL": "/dev/null",
        **{f"GIT_{role}_{part}": "bench@example.com" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")},
    }  # fmt: skip
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        import botocore.session

        botocore.session.Session().create_client("s3", endpoint_url=endpoint).create_bucket(Bucket="bench")
        with tempfile.TemporaryDirectory(prefix="canon-bench-") as folder:
            yield Path(folder), endpoint
    finally:
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    sketch = SHARED / "prototypes/plan.py"
    assert sketch.is_file(), f"{sketch} is not there: say CANON_SHARED"
    with bench_server() as (folder, endpoint):
        for count, bar in BARS.items():
            clone = make(folder, count, endpoint)
            pairs = [
                (call(clone, "canon", "plan", "p"), call(clone, sys.executable, str(sketch)))
                for _ in range(options.pairs)
            ]
            ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(one / other for one, other in pairs)
            print(f"{count:>4} stages: {ours:.2f} s / sketch {theirs:.2f} s = {ratio:.2f} (bar {bar})", flush=True)


if __name__ == "__main__":
    main()
