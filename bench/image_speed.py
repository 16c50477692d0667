"""What it costs to bake a model of 1 GB, as ratios of whole commands in one run: `make bench-image`, as root, with Debian's tools.

Each pair runs one after the other, so that both meet the same noise; the median of the pairs is printed beside its bar.

- layout: `canon image bake` to a layout / sha256 and copy of the file
- registry: `canon image bake` to Debian's docker-registry on loopback / `curl -T` of the raw file to the same
- buildah: `buildah bud` and `push` of the same / `canon image bake` to the registry
- again: seconds of a bake when nothing changed, and bytes that were sent
- memory: MiB of the largest process at 1 GB above that at 1 MB
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.e2e import served  # noqa: E402

FIT = """\
import os, pathlib
model = pathlib.Path("model")
model.mkdir(exist_ok=True)
with open(model / "big.bin", "wb") as file:
    for _ in range(MIB):
        file.write(os.urandom(1 << 20))
pathlib.Path("metrics.json").write_text("{}")
"""


def call(*command: object, cwd: Path | None = None) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def timed(*command: object, cwd: Path) -> float:
    os.sync()
    start = time.perf_counter()
    call(*command, cwd=cwd)
    return time.perf_counter() - start


def project(folder: Path, mib: int) -> Path:
    """The small served project with a model of random bytes; return its root."""
    folder.mkdir()
    served.FILES["fit.py"] = FIT.replace("MIB", str(mib))
    served.served_project(folder)
    return folder / "project"


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Debian's docker-registry on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config = {
        "version": "0.1", "log": {"level": "error"}, "http": {"addr": host},
        "storage": {"filesystem": {"rootdirectory": str(folder / "store")}, "delete": {"enabled": True}},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    with subprocess.Popen(
        ["docker-registry", "serve", str(folder / "config.json")],
        env={"PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{host}/v2/"):
                    break
                time.sleep(0.1)
            yield host
        finally:
            process.terminate()


def raw_upload(host: str, file: Path, digest: str, name: str) -> float:
    """Seconds of `curl -T` of a file to an upload that was begun."""
    request = urllib.request.Request(f"http://{host}/v2/{name}/blobs/uploads/", method="POST")
    with urllib.request.urlopen(request) as response:  # noqa: S310  loopback
        place = response.headers["Location"]
    joint = "&" if "?" in place else "?"
    return timed("curl", "-sf", "-T", file, f"{place}{joint}digest={digest}", cwd=file.parent)


def ratios(pairs: int, one: Callable[[], float], other: Callable[[], float]) -> tuple[float, float, float]:
    """Medians of both and of the ratios."""
    both = [(one(), other()) for _ in range(pairs)]
    return (
        statistics.median(a for a, _ in both),
        statistics.median(b for _, b in both),
        statistics.median(a / b for a, b in both),
    )


def peak(root: Path, target: str) -> int:
    """MiB of the largest process of a bake."""
    done = subprocess.run(
        ["/usr/bin/time", "-f", "%M", "canon", "image", "bake", "p", "--from", "oci:../below", "--to", target],
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stderr.split()[-1]) // 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--mib", type=int, default=1024)
    options = parser.parse_args()
    os.environ["GIT_CONFIG_GLOBAL"] = "/dev/null"
    for role in ("AUTHOR", "COMMITTER"):
        os.environ |= {f"GIT_{role}_NAME": "Bench", f"GIT_{role}_EMAIL": "bench@example.com"}
    with tempfile.TemporaryDirectory(prefix="canon-bench-") as scratch, registry(Path(scratch)) as host:
        folder = Path(scratch)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        small, root = project(folder / "small", 1), project(folder / "large", options.mib)
        file = max((root / ".dvc/cache/files/md5").glob("*/*"), key=lambda path: path.stat().st_size)
        digest = f"sha256:{call('openssl', 'dgst', '-sha256', '-r', file).split()[0]}"
        bake = ("canon", "image", "bake", "p", "--from", "oci:../below", "--to")

        def to_layout() -> float:
            shutil.rmtree(folder / "made", ignore_errors=True)
            return timed(*bake, f"oci:{folder}/made", cwd=root)

        def floor() -> float:
            (folder / "copy").unlink(missing_ok=True)
            return timed("sh", "-c", f"openssl dgst -sha256 {file} && cp {file} {folder}/copy", cwd=root)

        def clear() -> None:
            shutil.rmtree(folder / "store/docker", ignore_errors=True)

        def to_registry() -> float:
            clear()
            return timed(*bake, f"{host}/ml/p", cwd=root)

        def raw() -> float:
            clear()
            return raw_upload(host, file, digest, "ml/raw")

        ours, theirs, ratio = ratios(options.pairs, to_layout, floor)
        print(f"layout:   {ours:.2f} s / floor {theirs:.2f} s = {ratio:.2f} (bar 1.5)")
        ours, theirs, ratio = ratios(options.pairs, to_registry, raw)
        print(f"registry: {ours:.2f} s / curl -T {theirs:.2f} s = {ratio:.2f} (bar 1.3)")
        again = statistics.median(timed(*bake, f"{host}/ml/p", cwd=root) for _ in range(options.pairs))
        sent = json.loads(call(*bake, f"{host}/ml/p", "--json", cwd=root))["written"]
        print(f"again:    {again:.2f} s (bar 1), {sent} bytes (bar 0)")
        if shutil.which("buildah"):
            ours, theirs, ratio = ratios(1, lambda: buildah(root, host, folder), to_registry)
            print(f"buildah:  {ours:.2f} s / ours {theirs:.2f} s = {ratio:.1f} (bar 4)")
        for name, make in {"layout": "oci:{}/peak-{}", "registry": host + "/ml/{1}"}.items():
            clear()
            least = peak(small, make.format(folder, "small"))
            print(f"memory:   {peak(root, make.format(folder, 'large')) - least} MiB more to a {name} (bar 16)")


def buildah(root: Path, host: str, folder: Path) -> float:
    """Seconds that `buildah bud` and `push` take for the same: a base, and the model on top."""
    shutil.rmtree(folder / "store/docker", ignore_errors=True)
    call("canon", "image", "base", "p", "--from", "oci:../below", "--to", f"{host}/ml/base", cwd=root)
    tags = json.loads(urllib.request.urlopen(f"http://{host}/v2/ml/base/tags/list").read())["tags"]
    base = f"{host}/ml/base:{tags[0]}"
    (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY model /opt/canon/src/model\n")
    storage = ("--root", folder / "containers", "--runroot", folder / "run", "--storage-driver", "vfs")
    start = time.perf_counter()
    call(
        "buildah",
        *storage,
        "bud",
        "--isolation",
        "chroot",
        "--tls-verify=false",
        "-q",
        "-f",
        folder / "Dockerfile",
        "-t",
        "bench",
        root,
    )
    call("buildah", *storage, "push", "-q", "--tls-verify=false", "bench", f"docker://{host}/ml/buildah:1")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
