"""What `canon step pull` and `push` cost around a stage, beside the sketch that was measured: `make bench-step`.

Whole processes, in pairs, against an S3 server on loopback; medians of the ratios are printed beside their bars, of CPU seconds (user and
system), which a busy machine disturbs less than wall time. The sketch is `prototypes/step.py` of the folder `shared` beside the checkout, or of
CANON_SHARED; it has a fresh clone each time, and ours a fresh pod: the code, an empty private folder.

- hit: `pull` of a stage whose result is known / the sketch on the same
- miss: `pull`, then `push` beside a command that copies a file / the sketch on the same
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from plan_speed import SHARED, bench_server, call, make

from canon.dvc.lockfile import load_lockfile
from canon.dvc.runcache import run_cache_key, run_cache_path, run_cache_value
from canon.model import cluster
from canon.model.project import load_project
from canon.model.tasks import build_tasks
from canon.output.yaml import format_yaml
from canon.planning.pipelines import pipeline_graph
from canon.remotes.opening import Remote
from canon.steps.documents import (
    PlannedTask,
    Recorded,
    TaskRecord,
    WorkflowPlan,
    stage_document,
    write_plan,
    write_record,
)

BARS = {"hit": 0.7, "miss": 1.2}
TASK, PARENT = "s2", "s1"


class Bench:
    """A chain whose stages are known, planned as the workflow `bench`."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder, self.clone = folder, make(folder, 4, endpoint)
        self.remote = Remote("s3://bench/4", {"endpoint": endpoint})
        self.objects = self.remote.objects()
        self.entries = load_lockfile((self.clone / "dvc.lock").read_text(), "dvc.lock")
        project = load_project(self.clone)
        pipeline = project.pipeline("p")
        graph = pipeline_graph(project, pipeline)
        plan = WorkflowPlan(
            pipeline="p", profile="local", revision="0" * 40, tree="0" * 40, image="base@sha256:1", declared="image@sha256:2",
            stages={key: stage_document(stage) for key, stage in graph.stages.items()},
            tasks={
                task.name: PlannedTask(stages=task.stages, parents=task.parents)
                for task in build_tasks(pipeline.declaration, graph)
            },
        )  # fmt: skip
        write_plan(self.objects, "bench", plan)
        entry = self.entries[PARENT]
        known = Recorded(key=run_cache_key(entry), value=run_cache_value(entry))
        write_record(self.objects, "bench", PARENT, TaskRecord(stages={PARENT: known}))
        self.environ = {
            "PATH": os.environ["PATH"], "HOME": str(folder),
            **{name: value for name, value in os.environ.items() if name.startswith("AWS_")}, "NO_PROXY": "127.0.0.1",
            cluster.PROTOCOL_VARIABLE: str(cluster.PROTOCOL), cluster.WORKFLOW_VARIABLE: "bench",
            cluster.REMOTE_URL_VARIABLE: self.remote.url, cluster.REMOTE_ENDPOINT_VARIABLE: endpoint,
        }  # fmt: skip

    def forget(self) -> None:
        """Let the remote have no result of the stage."""
        key = run_cache_key(self.entries[TASK])
        for each in self.objects.listed(run_cache_path(key)):
            self.objects.remove(run_cache_path(key, each.name))

    @contextlib.contextmanager
    def fresh(self, *, git: bool) -> Iterator[Path]:
        """A clone that nothing has run in, or with ``git`` False a pod, as the container `code` leaves it."""
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            top = Path(scratch) / "top"
            if git:
                call(self.folder, "git", "clone", "-q", str(self.clone), str(top))
            else:
                shutil.copytree(self.clone, top / "work/src", ignore=shutil.ignore_patterns(".git"))
                (top / "work/run").mkdir()
                (top / "private").mkdir()
            yield top

    def start(self, top: Path, step: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", str(Path(__file__).parent / "pod.py"), str(top), "step", step, TASK]
        return subprocess.Popen(command, env=self.environ, cwd=top, stderr=subprocess.DEVNULL)

    def ours(self, *, hit: bool) -> tuple[float, float]:
        """CPU and wall seconds of a pod."""
        with self.fresh(git=False) as top, measured() as seconds:
            assert self.start(top, "pull").wait() == 0
            if not hit:
                push = self.start(top, "push")
                call(top, "sh", str(top / "work/run/main.sh"))
                assert push.wait() == 0
            assert (top / "work/src/s2.txt").exists() is not hit
        assert self.objects.listed(run_cache_path(run_cache_key(self.entries[TASK])))
        return seconds[0], seconds[1]

    def sketch(self, file: Path, *, hit: bool) -> tuple[float, float]:
        """CPU and wall seconds of the sketch."""
        with self.fresh(git=True) as top:
            (top / "parent.yaml").write_text(format_yaml({PARENT: self.entries[PARENT]}))
            with measured() as seconds:
                done = subprocess.run(
                    [sys.executable, str(file), TASK, "out.yaml", "parent.yaml"],
                    cwd=top, capture_output=True, text=True, check=False,
                )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert ("HIT" in done.stdout) is hit, done.stdout
        return seconds[0], seconds[1]


@contextlib.contextmanager
def measured() -> Iterator[list[float]]:
    """CPU seconds of the processes that are waited for within, and wall seconds."""
    found: list[float] = []
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    yield found
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    found += [after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall]


def compare(name: str, one: Callable[[], Any], other: Callable[[], Any], pairs: int, bar: float) -> bool:
    """Print the ratio; return whether its median is within the bar."""
    one(), other()  # warm the caches
    found = [(one(), other()) for _ in range(pairs)]
    cpu, wall = (statistics.median(ours[what] / theirs[what] for ours, theirs in found) for what in (0, 1))
    ours, theirs = (statistics.median(pair[side][0] for pair in found) for side in (0, 1))
    print(f"{name}: {ours:.2f} s / sketch {theirs:.2f} s of CPU = {cpu:.2f} (bar {bar}; wall {wall:.2f})", flush=True)
    return cpu <= bar


def main() -> int:
    """Compare; exit status 1 when a ratio is over its bar."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=7)
    options = parser.parse_args()
    sketch = SHARED / "prototypes/step.py"
    assert sketch.is_file(), f"{sketch} is not there: say CANON_SHARED"
    with bench_server() as (folder, endpoint):
        bench = Bench(folder, endpoint)
        good = []
        for name, bar in BARS.items():
            hit = name == "hit"

            def prepared(run: Callable[[], Any], hit: bool = hit) -> Callable[[], Any]:  # noqa: FBT001
                return run if hit else lambda: (bench.forget(), run())[1]

            ours = prepared(lambda hit=hit: bench.ours(hit=hit))
            theirs = prepared(lambda hit=hit: bench.sketch(sketch, hit=hit))
            good.append(compare(name, ours, theirs, options.pairs, bar))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
