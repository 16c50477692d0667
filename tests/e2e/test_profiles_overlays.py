"""Applying profiles in a checkout: overlays on params files, pins, and what interrupts them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from canon.output.yaml import load_yaml
from tests.conftest import Run, git
from tests.e2e.projects import snapshot, write

pytestmark = pytest.mark.usefixtures("quick")


def test_a_switch_and_back_gives_the_original_bytes(tiny: Path, run: Run) -> None:
    before = snapshot(tiny)
    run(tiny, "canon", "profile", "cluster")
    assert (tiny / "params" / "tiny.yaml").read_text() == "# what to count\ncount:\n  times: 3   # how often\n"
    assert load_yaml((tiny / "pipelines" / "tiny.pins.yaml").read_text(), "pins")["profile"] == "cluster"
    run(tiny, "canon", "profile", "local")
    assert snapshot(tiny) == before


def test_a_params_file_that_was_edited_meanwhile_keeps_the_edit(tiny: Path, run: Run) -> None:
    params = tiny / "params" / "tiny.yaml"
    run(tiny, "canon", "profile", "cluster")
    params.write_text(params.read_text() + "  more: [1]\n")
    run(tiny, "canon", "profile", "local")
    assert params.read_text() == "# what to count\ncount:\n  times: 1   # how often\n  more: [1]\n"


def test_an_anchor_in_the_way_is_an_error_that_changes_nothing(tiny: Path, run: Run) -> None:
    (tiny / "params" / "tiny.yaml").write_text("count: {times: &times 1, again: *times}\n")
    before = snapshot(tiny)
    done = run(tiny, "canon", "profile", "cluster", code=1)
    assert "params/tiny.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert snapshot(tiny) == before


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"params/tiny.cluster.yaml": "other: 1\n"}, "the key `other` stands in no YAML params file of the pipeline (params/tiny.yaml)"),
        ({"params/tiny.cluster.yaml": "count: {deep: {er: 1}}\n"}, "params/tiny.yaml has no mapping `count.deep`"),
        ({"params/tiny.cluster.yaml": "[1]\n"}, "params/tiny.cluster.yaml is no mapping"),
        ({"params/tiny.cluster.yaml": "count: {\n"}, "params/tiny.cluster.yaml"),
        ({"params/more.yaml": "count: {times: 2}\n"}, "stands in params/tiny.yaml and params/more.yaml: which one is meant is unknown"),
    ],
)  # fmt: skip
def test_an_overlay_that_does_not_fit_is_an_error_that_changes_nothing(
    files: dict[str, str], said: str, tiny: Path, run: Run
) -> None:
    write(tiny, files)
    if "params/more.yaml" in files:
        declaration = (tiny / "pipelines" / "tiny.yaml").read_text()
        (tiny / "pipelines" / "tiny.yaml").write_text(
            declaration.replace("[{params/tiny.yaml: [count]}]", "[{params/tiny.yaml: [count]}, {params/more.yaml: [count]}]")
        )  # fmt: skip
    before = snapshot(tiny)
    done = run(tiny, "canon", "profile", "cluster", code=1)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert snapshot(tiny) == before


def test_a_missing_overlay_is_named(tiny: Path, run: Run) -> None:
    (tiny / "params" / "tiny.cluster.yaml").unlink()
    assert "there is no overlay params/tiny.cluster.yaml" in run(tiny, "canon", "profile", "cluster", code=1).stderr


def test_params_relative_to_a_stages_folder_are_found(tiny: Path, run: Run) -> None:
    declaration = (tiny / "pipelines" / "tiny.yaml").read_text()
    changed = declaration.replace("cmd: python count.py", "cmd: cd .. && python count.py\n    wdir: params")
    changed = changed.replace("[{params/tiny.yaml: [count]}]", "[{tiny.yaml: [count]}]").replace(
        "[count.py, data/raw]", "[../count.py, ../data/raw]"
    )
    changed = changed.replace("[out/counted.txt]", "[../out/counted.txt]").replace("out/metrics.json:", "../out/metrics.json:")  # fmt: skip
    (tiny / "pipelines" / "tiny.yaml").write_text(changed)
    assert "params/tiny.yaml" in run(tiny, "canon", "profile", "cluster").stdout


KILLED = """\
import os, signal, sys
import canon.workspaces.profiles as profiles
write, left = profiles.write_text, [int(sys.argv[1])]
def killed(path, text):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return write(path, text)
profiles.write_text = killed
sys.argv = ["canon", "profile", "cluster"]
from canon.cli.main import main
main()
"""


@pytest.mark.parametrize("writes", range(4))
def test_a_killed_switch_is_taken_back_by_the_next_one(writes: int, tiny: Path, run: Run) -> None:
    before = snapshot(tiny)
    dead = subprocess.run([sys.executable, "-c", KILLED, str(writes)], cwd=tiny, check=False, timeout=100)
    assert dead.returncode == -signal.SIGKILL
    begun = writes > 0
    if writes == 2:  # nothing works on what is half there
        for command in (("data", "pin"), ("data", "get"), ("profile", "cluster", "--dry-run")):
            assert "interrupted" in run(tiny, "canon", *command, code=1).stderr
    done = run(tiny, "canon", "profile", "local")
    assert ("was taken back" in done.stderr) == begun
    assert snapshot(tiny) == before
    run(tiny, "canon", "profile", "cluster")
    assert "times: 3" in (tiny / "params" / "tiny.yaml").read_text()


def test_two_switches_at_once_give_one_of_both(tiny: Path, run: Run) -> None:
    command = ["canon", "profile"]
    both = [subprocess.Popen([*command, name], cwd=tiny, stderr=subprocess.PIPE, stdout=subprocess.PIPE) for name in ("cluster", "local", "cluster")]  # fmt: skip
    for process in both:
        process.communicate(timeout=100)
        assert process.returncode == 0
    pins = load_yaml((tiny / "pipelines" / "tiny.pins.yaml").read_text(), "pins")
    params = load_yaml((tiny / "params" / "tiny.yaml").read_text(), "params")
    assert (pins["raw"]["size"], params["count"]["times"]) in {(8, 1), (19, 3)}
    run(tiny, "canon", "profile", "local")
    assert git(tiny, "status", "--porcelain") == ""


def test_a_switch_says_what_it_changed_and_a_dry_run_changes_nothing(tiny: Path, run: Run) -> None:
    before = snapshot(tiny)
    dry = run(tiny, "canon", "profile", "cluster", "--dry-run")
    assert dry.stdout.split() == ["params/tiny.yaml", "pipelines/tiny.pins.yaml"]
    assert "would have the profile `cluster`" in dry.stderr
    assert snapshot(tiny) == before
    told = json.loads(run(tiny, "canon", "profile", "cluster", "--json").stdout)
    assert told == {
        "profile": "cluster",
        "workspace": str(tiny),
        "changed": ["params/tiny.yaml", "pipelines/tiny.pins.yaml"],
        "left_out": [],
    }
    again = run(tiny, "canon", "profile", "cluster")
    assert again.stdout == ""
    assert "has the profile `cluster`" in again.stderr


def test_an_unknown_profile_is_refused_and_the_known_ones_are_named(tiny: Path, run: Run) -> None:
    before = snapshot(tiny)
    for command in (("profile", "moon"), ("profile", "moon", "--into", "../ws"), ("data", "pin", "--profile", "moon")):
        said = run(tiny, "canon", *command, code=1).stderr
        assert "there is no profile `moon`; pyproject.toml declares: local, cluster" in said
    assert snapshot(tiny) == before
    assert not (tiny.parent / "ws").exists()


def test_without_a_dvc_repository_nothing_is_made(tiny: Path, run: Run) -> None:
    shutil.rmtree(tiny / ".dvc")
    assert "dvc init" in run(tiny, "canon", "profile", "cluster", code=1).stderr
    assert not (tiny / ".dvc").exists()


def test_files_restored_by_git_are_not_stuck_in_the_profile(tiny: Path, run: Run) -> None:
    run(tiny, "canon", "profile", "cluster")
    git(tiny, "checkout", "-q", "--", ".")
    run(tiny, "canon", "data", "pin")  # the pins that are there are the default profile's
    assert git(tiny, "status", "--porcelain") == ""
    run(tiny, "canon", "profile", "cluster")
    assert "times: 3" in (tiny / "params" / "tiny.yaml").read_text()
    run(tiny, "canon", "profile", "local")
    assert git(tiny, "status", "--porcelain") == ""


def test_only_the_pins_restored_by_git(tiny: Path, run: Run) -> None:
    run(tiny, "canon", "profile", "cluster")
    git(tiny, "checkout", "-q", "--", "pipelines")
    run(tiny, "canon", "profile", "local")
    assert git(tiny, "status", "--porcelain") == ""


def test_a_damaged_state_says_what_to_remove(tiny: Path, run: Run) -> None:
    run(tiny, "canon", "profile", "cluster")
    (tiny / ".dvc" / "tmp" / "canon" / "profile.json").write_text("{")
    said = run(tiny, "canon", "profile", "local", code=1).stderr
    assert "profile.json: is damaged\n    remedy: remove it" in said


def test_params_that_cannot_be_written_leave_the_old_profile(tiny: Path, run: Run) -> None:
    before = snapshot(tiny)
    script = dedent("""\
        import resource, sys
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
        import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        sys.argv = ["canon", "profile", "cluster"]
        from canon.cli.main import main
        main()
        """)
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = run(tiny, sys.executable, "-c", script, code=1, env=env)
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert snapshot(tiny) == before
