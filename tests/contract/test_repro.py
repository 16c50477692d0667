"""What plain `dvc repro` leaves behind, found without DVC: dvc.lock, the run-cache, and both from parents' entries alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvc.dvcfile import load_file
from dvc.repo import Repo

from canon.dvc.entries import build_entry, hash_deps, hashes_of_entry, load_entry_here, load_stage_params
from canon.dvc.lockfile import format_lockfile, load_lockfile
from canon.dvc.resolve import resolve_stages
from canon.dvc.runcache import load_entry, run_cache_key, run_cache_path, run_cache_value
from canon.model.errors import CanonError
from canon.model.stage import Stage
from canon.output.yaml import load_yaml
from tests.conftest import Run, git

pytestmark = pytest.mark.usefixtures("quick")

PIPELINE = """\
vars:
- models: {small: {depth: 2}}
stages:
  prepare:
    cmd: mkdir -p data/out && cp raw/a data/out/a && cp raw/a data/out/b && touch data/empty
    deps: [raw]
    params: [prepare, {sub/p.toml: [a.b]}]
    outs: [data/out, data/empty]
  train:
    wdir: sub
    cmd:
    - cat ../data/out/a > model.bin
    - chmod +x model.bin
    - >-
      echo '{"rmse": 0.5}' > metrics.json
    deps: [../data/out]
    params: [{../params.yaml: [lr]}]
    outs: [model.bin]
    metrics: [{metrics.json: {cache: false}}]
  report:
    matrix: {size: [small, big]}
    cmd: cat sub/model.bin > report-${item.size}.csv
    deps: [sub/model.bin]
    plots: [{"report-${item.size}.csv": {x: a, title: "a title"}}]
"""


@pytest.fixture
def pipeline(repository: Path, run: Run) -> Path:
    """A Git and DVC repository where `dvc repro` has just run."""
    (repository / "raw").mkdir()
    (repository / "sub").mkdir()
    (repository / "raw/a").write_text("raw é\n")
    (repository / "raw/left.tmp").write_text("left out")
    (repository / "params.yaml").write_text("lr: 1e-05\nprepare: {when: '2020-01-01', size: [1, 2.50]}\n")
    (repository / "sub/p.toml").write_text("a.b = 1e3\n")
    (repository / "dvc.yaml").write_text(PIPELINE)
    run(repository, "dvc", "init", "-q")
    (repository / ".dvcignore").write_text("*.tmp\n")
    run(repository, "dvc", "repro", "-q")
    return repository


def stages_of(root: Path) -> tuple[Stage, ...]:
    return resolve_stages(root, "dvc.yaml", load_yaml((root / "dvc.yaml").read_text(), "dvc.yaml"))


def test_what_repro_wrote_is_computed_without_dvc(pipeline: Path) -> None:
    text = (pipeline / "dvc.lock").read_text()
    recorded = load_lockfile(text, "dvc.lock")
    entries = {stage.name: load_entry_here(pipeline, stage) for stage in stages_of(pipeline)}
    assert entries == recorded
    assert entries["train"]["outs"][1]["isexec"] is True
    assert format_lockfile({name: entries[name] for name in recorded}) == text
    for entry in entries.values():
        key, value = run_cache_key(entry), run_cache_value(entry)
        kept = (pipeline / ".dvc/cache" / run_cache_path(key, value)).read_text()
        assert load_entry(kept, key=key, value=value) == entry
    assert len(list((pipeline / ".dvc/cache/runs").rglob("*/*/*"))) == len(entries) == 4


def test_keys_follow_from_the_parents_entries_without_their_data(pipeline: Path, run: Run) -> None:
    stages = {stage.name: stage for stage in stages_of(pipeline)}
    recorded = load_lockfile((pipeline / "dvc.lock").read_text(), "dvc.lock")
    run(pipeline, "rm", "-r", "data", "sub/model.bin", "sub/metrics.json")
    known = hash_deps(pipeline, stages["prepare"])
    for name in ("prepare", "train", "report@small", "report@big"):
        stage = stages[name]
        entry = build_entry(stage, known, load_stage_params(pipeline, stage))
        assert run_cache_key(entry) == run_cache_key(recorded[name])
        known |= hashes_of_entry(stage, recorded[name])
    with pytest.raises(CanonError, match=r"hash of dep `\.\./data/out` of stage `train` is not known"):
        build_entry(stages["train"], {}, load_stage_params(pipeline, stages["train"]))
    with pytest.raises(CanonError, match=r"values of `\.\./params\.yaml` for stage `train` are not known"):
        build_entry(stages["train"], known, {"../params.yaml": {}})


def test_dvc_takes_a_lock_written_without_it_for_its_own(pipeline: Path, run: Run) -> None:
    entries = {stage.name: load_entry_here(pipeline, stage) for stage in stages_of(pipeline)}
    (pipeline / "dvc.lock").unlink()
    (pipeline / "dvc.lock").write_text(format_lockfile(entries))
    assert "up to date" in run(pipeline, "dvc", "status").stdout
    assert "didn't change" in run(pipeline, "dvc", "repro").stdout
    git(pipeline, "add", ".")
    git(pipeline, "commit", "-qm", "all")
    clone = pipeline.parent / "clone"
    git(pipeline.parent, "clone", "-q", str(pipeline), str(clone))
    run(clone, "dvc", "cache", "dir", "--local", str(pipeline / ".dvc/cache"))
    run(clone, "dvc", "checkout", "-q")
    assert (clone / "sub/model.bin").read_text() == "raw é\n"


def test_a_lock_that_dvc_grew_stage_by_stage_has_the_same_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC reads and writes the whole file for each stage; it must not matter that Canon writes it once.

    It does for a float of many digits with an exponent: ruamel.yaml changes its last digit each time, and so does DVC.
    """
    values = [
        "0.1",
        "1e-05",
        "1e-3",
        "3e8",
        "2.50",
        "1.0",
        "1e22",
        "0.30000000000000004",
        "[1e-05, 0.5]",
        "12345678.9",
        "-0.0",
    ]
    monkeypatch.chdir(tmp_path)
    repo = Repo.init(str(tmp_path), no_scm=True)
    (tmp_path / "params.yaml").write_text("".join(f"a{number}: {value}\n" for number, value in enumerate(values)))
    (tmp_path / "o").write_text("")
    stage = "{cmd: 'long words ', params: [{params.yaml: }], outs: [{o: {cache: false}}]}".replace(
        "long words ", "long words " * 20
    )
    (tmp_path / "dvc.yaml").write_text("stages:\n" + "".join(f"  s{number}: {stage}\n" for number in range(3)))
    with repo.lock:
        for loaded in load_file(repo, "dvc.yaml").stages.values():
            loaded.save_deps()
            loaded.save_outs()
            loaded.dump(update_pipeline=False)
    entries = {stage.name: load_entry_here(tmp_path, stage) for stage in stages_of(tmp_path)}
    assert format_lockfile(entries) == (tmp_path / "dvc.lock").read_text()
    repo.close()
