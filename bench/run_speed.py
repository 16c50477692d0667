"""What `canon run` costs beside `dvc repro`, in whole commands and in turns: `make bench-run`.

Nothing to do for 4 and for 200 stages, a first run of 200 trivial stages, and 8 independent stages of two seconds with `-j 4`. Medians of the ratios are
printed beside their bars. Bytecode is compiled by a round before; each command has a copy of its own of the same project, and of its own cache.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SETTINGS = '[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n'


@dataclass(frozen=True)
class Case:
    """What is measured: stages, whether they have run before, the options of `canon run`, and the bar."""

    name: str
    stages: tuple[str, ...]
    done: bool
    options: tuple[str, ...]
    bar: float


def stage(number: int, before: str, *, seconds: int = 0) -> str:
    """A stage that reads the code and what the stage before it made."""
    wait = f"sleep {seconds} && " if seconds else ""
    deps = ["code.txt", *filter(None, [before])]
    return (
        f"  s{number}: {{cmd: {wait}cat {' '.join(deps)} > o{number}, deps: [{', '.join(deps)}], outs: [o{number}]}}\n"
    )


CASES = (
    Case("nothing to do, 4 stages", tuple(stage(each, f"o{each - 1}" if each else "") for each in range(4)), True, (), 0.6),
    Case("nothing to do, 200 stages", tuple(stage(each, "") for each in range(200)), True, (), 0.1),
    Case("first run of 200 trivial stages", tuple(stage(each, "") for each in range(200)), False, (), 0.2),
    Case("8 stages of 2 s, -j 4", tuple(stage(each, "", seconds=2) for each in range(8)), False, ("-j", "4"), 0.33),
)  # fmt: skip


def call(folder: Path, *command: str) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return time.perf_counter() - start


def make(folder: Path, case: Case) -> Path:
    """A project with the case's stages, rendered and committed."""
    folder.mkdir()
    call(folder, "git", "init", "-q")
    call(folder, "dvc", "init", "-q")
    (folder / "pipelines").mkdir()
    (folder / "pyproject.toml").write_text(SETTINGS)
    (folder / "pipelines/p.yaml").write_text("name: p\ntrack: false\nstages:\n" + "".join(case.stages))
    (folder / "code.txt").write_text("code\n")
    call(folder, "canon", "render")
    call(folder, "git", "add", "--all")
    call(folder, "git", "commit", "-qm", "declared")
    return folder


def state(folder: Path) -> tuple[bytes, bytes, frozenset[str]]:
    """What both commands have to leave alike."""
    cache = folder / ".dvc/cache"
    objects = frozenset(file.relative_to(cache).as_posix() for file in cache.rglob("*") if file.is_file())
    return (folder / "dvc.lock").read_bytes(), (folder / ".gitignore").read_bytes(), objects


def measure(base: Path, case: Case, rounds: int) -> None:
    template = make(base / "template", case)
    commands = {"dvc repro": ("dvc", "repro"), "canon run": ("canon", "run", *case.options)}
    times: dict[str, list[float]] = {name: [] for name in commands}

    def fresh(name: str) -> Path:
        place = base / name.replace(" ", "-")
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(template, place, symlinks=True)
        return place

    if case.done:
        call(template, "dvc", "repro")
        places = {name: fresh(name) for name in commands}
        for name, command in commands.items():  # the databases of DVC know the copies, and the fingerprint is taken
            call(places[name], *command)
            time.sleep(0.1)
            call(places[name], *command)
    place_of: Callable[[str], Path] = places.__getitem__ if case.done else fresh
    for _ in range(rounds):
        found = []
        for name, command in commands.items():
            place = place_of(name)
            times[name].append(call(place, *command))
            found.append(state(place))
        assert found[0] == found[1], "they left different states"
    ratio = statistics.median(
        ours / theirs for ours, theirs in zip(times["canon run"], times["dvc repro"], strict=True)
    )
    shown = ", ".join(f"{name} {statistics.median(each):.2f} s" for name, each in times.items())
    print(
        f"{case.name}: {ratio:.2f} (bar {case.bar}) {'ok' if ratio <= case.bar else 'MISSED'}; {shown}; {rounds} rounds",
        flush=True,
    )
    shutil.rmtree(base)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    options = parser.parse_args()
    os.environ |= {"GIT_CONFIG_GLOBAL": "/dev/null", "DVC_NO_ANALYTICS": "1", **{f"GIT_{role}_{part}": "bench@example.com" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}}  # fmt: skip
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for case in CASES:
        if options.only in case.name:
            with tempfile.TemporaryDirectory(prefix="canon-bench-", ignore_cleanup_errors=True) as name:
                os.environ["DVC_SITE_CACHE_DIR"] = f"{name}-site"
                folder = Path(name) / "case"
                folder.mkdir()
                measure(folder, case, options.rounds)
                shutil.rmtree(f"{name}-site", ignore_errors=True)


if __name__ == "__main__":
    main()
