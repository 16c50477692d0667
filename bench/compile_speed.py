"""Compile speed: whole processes against a plain Hera script, as ratios in one run (`make bench`).

The plain script is what a platform engineer would write by hand: one parametrised template, one DAG of 1,000 tasks,
`WorkflowTemplate.to_yaml()`. Processes are paired, A B A B …; a ratio is the median of those of the pairs, in CPU seconds
(user and system), which a busy machine disturbs less than wall time; both are printed.

    python bench/compile_speed.py [--stages 1000] [--rounds 7]
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
SETTINGS = '[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n'
IMAGE = "registry.example.com/ml/bench@sha256:" + 64 * "0"
CLUSTERED = f"""{SETTINGS.replace("[tool.canon.profiles.local]", "")}
tools_image = "{IMAGE}"
git = {{url = "https://git.example.com/ml/bench.git"}}
[tool.canon.profiles.local]
[tool.canon.profiles.cluster]
remote = "store"
namespace = "ml"
registry = "registry.example.com/ml"
"""
KEPT = ".dvc/tmp/canon/manifests"
HERA = """\
from hera.workflows import DAG, Container, Parameter, WorkflowTemplate

with WorkflowTemplate(name="bench", entrypoint="dag") as template:
    step = Container(
        name="step",
        image="python:3.11-slim",
        command=["sh", "-c"],
        args=["{{inputs.parameters.cmd}}"],
        inputs=[Parameter(name="cmd")],
    )
    with DAG(name="dag"):
        tasks = []
        for number in range(STAGES):
            task = step(name=f"stage-{number}", arguments={"cmd": f"python src/step.py {number}"})
            if number:
                tasks[number // 2] >> task
            tasks.append(task)
print(template.to_yaml())
"""
RESOLVER = """\
import os, sys
from dvc.parsing import DataResolver
from dvc.repo import Repo
from dvc.utils.serialize import load_yaml

with Repo(".") as repo:
    resolver = DataResolver(repo, os.getcwd(), load_yaml("dvc.yaml"))
    print(sum(len(resolver.resolve_one(name)) for name in resolver.get_keys()))
"""


def make_clustered(root: Path, stages: int) -> None:
    """The plain project with a profile that runs in a cluster, rendered."""
    make_project(root, stages, templated=False)
    (root / "pyproject.toml").write_text(CLUSTERED)
    text = declaration(stages, templated=False)
    (root / "pipelines/bench.yaml").write_text(
        text.replace("stages:", f"environment: {{image: '{IMAGE}'}}\nstages:", 1)
    )
    for command in (["dvc", "remote", "add", "-q", "store", "s3://bucket/dvc"], ["canon", "render"]):
        subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)


def declaration(stages: int, *, templated: bool) -> str:
    """A binary tree of stages, each with code, a parameter and an out; with ``templated`` its command holds a `${…}`."""
    lines = ["name: bench", "track: true", "vars: [params.yaml]"] if templated else ["name: bench"]
    lines.append("stages:")
    for number in range(stages):
        above = f"out/{(number - 1) // 2}.txt" if number else "params.yaml"
        value = "${rate}" if templated else str(number)
        lines += [
            f"  stage-{number}:",
            f"    cmd: python src/step.py {number} {value}",
            f"    deps: [src/step.py, {above}]",
            f"    params: [rates.r{number}]",
            f"    outs: [out/{number}.txt]",
            "    pod: {cpu: 1, memory: 1Gi}",
        ]
    return "\n".join(lines) + "\n"


def make_project(root: Path, stages: int, *, templated: bool) -> None:
    """A Git and DVC repository with one declaration, rendered."""
    for folder in ("pipelines", "src"):
        (root / folder).mkdir(parents=True)
    (root / "pyproject.toml").write_text(SETTINGS)
    (root / ".gitignore").write_text("mlflow.db\nmlartifacts\n")
    (root / "src/step.py").write_text("import sys\n\nprint(sys.argv)\n")
    (root / "params.yaml").write_text(
        "rate: 0.1\nrates:\n" + "".join(f"  r{number}: {number}\n" for number in range(stages))
    )
    (root / "pipelines/bench.yaml").write_text(declaration(stages, templated=templated))
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["canon", "render"], ["git", "add", "-A"],
                    ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "bench"]):  # fmt: skip
        subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def timed(command: Sequence[str], cwd: Path) -> tuple[float, float]:
    """CPU and wall seconds of one process."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def compare(name: str, mine: Callable[[], tuple[float, float]], other: Callable[[], tuple[float, float]], rounds: int, bar: float) -> bool:  # fmt: skip
    """Print the ratio of two processes; return whether its median is within the bar."""
    mine(), other()  # warm the caches
    pairs = [(mine(), other()) for _ in range(rounds)]
    cpu = [a[0] / b[0] for a, b in pairs]
    wall = [a[1] / b[1] for a, b in pairs]
    ratio = statistics.median(cpu)
    first, second = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    print(f"{name:<48} {ratio:5.2f}  (min {min(cpu):.2f}, max {max(cpu):.2f}; wall {statistics.median(wall):.2f}; "
          f"{first:.2f} s against {second:.2f} s of CPU)  at most {bar:.2f}: {'ok' if ratio <= bar else 'TOO SLOW'}")  # fmt: skip
    return ratio <= bar


def main() -> int:
    """Run the comparisons; exit status 1 when a ratio is over its bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode every import is three times as slow
    os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    good = []
    with tempfile.TemporaryDirectory(prefix="canon-bench-") as folder:
        plain, templated = Path(folder) / "plain", Path(folder) / "templated"
        make_project(plain, options.stages, templated=False)
        make_project(templated, options.stages, templated=True)
        clustered = Path(folder) / "clustered"
        make_clustered(clustered, options.stages)
        (Path(folder) / "by_hand.py").write_text(HERA.replace("STAGES", str(options.stages)))
        (Path(folder) / "resolve.py").write_text(RESOLVER)
        subprocess.run([sys.executable, "-m", "compileall", "-q", folder], check=True)

        def hera() -> tuple[float, float]:
            return timed([sys.executable, "-c", "import by_hand"], Path(folder))

        def canon(root: Path, *arguments: str) -> Callable[[], tuple[float, float]]:
            return lambda: timed(["canon", *arguments], root)

        def canon_anew() -> tuple[float, float]:
            shutil.rmtree(clustered / KEPT, ignore_errors=True)
            return timed(["canon", "render"], clustered)

        def hera_and_resolver() -> tuple[float, float]:
            one, two = hera(), timed([sys.executable, str(Path(folder) / "resolve.py")], templated)
            return 0.6 * one[0] + two[0], 0.6 * one[1] + two[1]

        print(f"{options.stages} stages, {options.rounds} pairs, Python {sys.version.split()[0]}")
        good.append(compare("canon render / plain Hera script", canon(plain, "render"), hera, options.rounds, 0.6))
        good.append(compare("with argo/: canon render / plain Hera script", canon(clustered, "render"), hera, options.rounds, 1.0))  # fmt: skip
        good.append(compare("the same, Hera's part built anew", canon_anew, hera, options.rounds, 1.0))
        good.append(compare("canon check / canon render", canon(plain, "check"), canon(plain, "render"), options.rounds, 2.0))  # fmt: skip
        good.append(compare("templated: canon render / (0.6 Hera + resolver)", canon(templated, "render"), hera_and_resolver, options.rounds, 1.0))  # fmt: skip
        good.append(compare("templated: canon check / canon render", canon(templated, "check"), canon(templated, "render"), options.rounds, 2.0))  # fmt: skip
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
