"""Lock entries and run-cache keys that are computed without DVC, held against DVC's own code on random projects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from dvc.dvcfile import load_file
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage.cache import _get_cache_hash
from dvc.stage.serialize import to_single_stage_lockfile
from dvc_data.hashfile.build import IgnoreInCollectedDirError
from hypothesis import HealthCheck, Phase, event, example, given, note, settings

from canon.dvc.entries import build_entry, from_absolute, hash_deps, load_entry_here, load_stage_params
from canon.dvc.lockfile import format_lockfile, load_lockfile
from canon.dvc.resolve import resolve_stages
from canon.dvc.runcache import load_entry, reasons_without_entry, run_cache_key, run_cache_path, run_cache_value
from canon.model.errors import CanonError
from canon.model.stage import Stage
from canon.output.yaml import load_yaml
from tests.contract.generated import Generated, generated

# What DVC's own code raises for a project that it refuses, on purpose or not.
REFUSALS = (
    DvcException,
    IgnoreInCollectedDirError,
    FileNotFoundError,
    ValueError,
    TypeError,
    AttributeError,
    SyntaxError,
    KeyError,
)
_numbers = count()


def plain(value: Any) -> str:
    """Text of a value: equal where values, their types and the order of their keys are equal."""

    def rebuilt(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: rebuilt(inner) for key, inner in item.items()}
        return type(item)(rebuilt(inner) for inner in item) if isinstance(item, list | tuple) else item

    return repr(rebuilt(value))


@dataclass(frozen=True)
class Project:
    """DVC's own view of one project folder that all tests here share."""

    repo: Any
    root: Path

    def folder(self) -> Path:
        folder = self.root / f"case{next(_numbers)}"
        folder.mkdir()
        return folder

    def load(self, folder: Path, name: str) -> Any:
        """DVC's stage object."""
        return load_file(self.repo, str(folder / "dvc.yaml")).stages[name]

    def path_of(self, entry: dict[str, Any]) -> Path:
        """Where DVC would keep this entry."""
        key, value = _get_cache_hash(dict(entry), key=True), _get_cache_hash(dict(entry))
        return Path(self.repo.stage_cache._get_cache_path(key, value))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A DVC repository without Git, locked as its own commands lock it."""
    folder = tmp_path_factory.mktemp("project")
    environment = pytest.MonkeyPatch()
    environment.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
    environment.chdir(folder)
    repo = Repo.init(str(folder), no_scm=True)
    with repo.lock:
        yield Project(repo, folder)
    repo.close()
    environment.undo()


def saved(stage: Any) -> dict[str, Any]:
    """DVC's lock entry of a stage as it lies there."""
    stage.save_deps()
    stage.save_outs()
    entry: dict[str, Any] = to_single_stage_lockfile(stage)
    return entry


def holds(value: Any, kind: type) -> bool:
    """Tell whether a value of a kind is somewhere in a value."""
    if isinstance(value, dict):
        return any(holds(item, kind) for item in value.values())
    return isinstance(value, kind) or (isinstance(value, list) and any(holds(item, kind) for item in value))


def over_random_projects(examples: int) -> settings:
    """Settings of a property; shrinking is left out: it takes minutes, and the project that failed is printed."""
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    return settings(max_examples=examples, deadline=None, phases=phases, suppress_health_check=[HealthCheck.too_slow])


# What chance finds too rarely: the order of params files, a path that stands twice, tuples, links to folders.
SPECIAL = Generated(
    files={
        "p.py": (
            b"a = ({'size': 1}, 2)\nclass C:\n    def __init__(self):\n        b = 1\n        self.c = 2\n",
            False,
        ),
        "a.json": (b'{"k": 1}', False),
        "params.yaml": (b"lr: 0.1\ntrain: {size: 2}\n", False),
        "z.toml": (b"a = 1", False),
        "out": (b"1", True),
        "metric": (b"2", False),
        "data/sub/file": (b"3", False),
    },
    folders=["data/empty"],
    links={"data/linked": "sub", "data/file": "sub/file"},
    document={
        "stages": {
            "one": {
                "cmd": ["a", "b"],
                "deps": ["data", "p.py", "./data/file"],
                "params": [{"p.py": None}, {"a.json": None}, "train", {"./p.py": ["C.c"]}, "lr", {"z.toml": ["a"]}],
                "outs": [{"out": {"push": False}}, "out", {"out": {"desc": "d"}}],
                "metrics": [{"metric": {"cache": False}}],
            }
        }
    },
    names=["one"],
)


@given(case=generated())
@example(case=SPECIAL)
@over_random_projects(120)
def test_entries_keys_and_files_equal_those_of_dvc_over_random_stages(project: Project, case: Generated) -> None:
    check_project(project, case)


@pytest.mark.soak
@given(case=generated())
@over_random_projects(1500)
def test_entries_keys_and_files_equal_those_of_dvc_over_many_random_stages(project: Project, case: Generated) -> None:
    check_project(project, case)


def check_project(project: Project, case: Generated) -> None:
    """Hold everything that is computed without DVC against DVC, or see both refuse."""
    folder = project.folder()
    text = case.write(folder)
    note(text)
    stages = resolve_stages(project.root, f"{folder.name}/dvc.yaml", load_yaml(text, "dvc.yaml"))
    assert [stage.name for stage in stages] == case.names
    for stage in stages:
        try:
            loaded = project.load(folder, stage.name)
            expected = saved(loaded)
        except REFUSALS as refusal:
            event(f"DVC refuses: {type(refusal).__name__}")
            with pytest.raises(CanonError):
                load_entry_here(project.root, stage)
            continue
        entry = load_entry_here(project.root, stage)
        assert plain(entry) == plain(expected)
        check_run_cache(project, stage, loaded, entry)
        check_lock(folder / "dvc.lock", stage, loaded, entry)


def check_lock(lock: Path, stage: Stage, loaded: Any, entry: dict[str, Any]) -> None:
    """Let DVC write the stage's entry into a new dvc.lock: the text is ours, read back and written again it is the same."""
    lock.unlink(missing_ok=True)
    loaded.dump(update_pipeline=False)
    written = lock.read_text()
    assert format_lockfile({stage.name: entry}) == written
    try:
        run_cache_key(entry)
    except CanonError:  # dates, sets and bytes: no run-cache entry has any, and results are JSON
        return
    assert format_lockfile(load_lockfile(written, "dvc.lock")) == written


def check_run_cache(project: Project, stage: Stage, loaded: Any, entry: dict[str, Any]) -> None:
    """Let DVC keep its run-cache entry, and find it by what is computed without DVC."""
    loaded.frozen = True  # `run` then does all but the command
    absolute = from_absolute(project.root, stage)
    try:
        path = project.path_of(to_single_stage_lockfile(loaded))
    except (TypeError, ValueError) as refusal:
        event(f"DVC cannot make a key: {type(refusal).__name__}")
        with pytest.raises(CanonError):
            run_cache_key(entry)
        return
    path.unlink(missing_ok=True)
    loaded.run()
    key, value = run_cache_key(entry), run_cache_value(entry)
    assert run_cache_path(key, value) == path.relative_to(project.root / ".dvc/cache").as_posix()
    before = build_entry(absolute, hash_deps(project.root, absolute), load_stage_params(project.root, absolute))
    assert run_cache_key(before) == key
    usable = not reasons_without_entry(absolute, entry)
    event(f"entry kept: {path.exists()}, other machines can use it: {usable}")
    assert (path.exists() and all(out.can_push for out in loaded.outs)) == usable
    if path.exists():
        kept = path.read_text()
        assert plain(load_entry(kept)) == plain(project.repo.stage_cache._load_cache(key, value))
        # only a Python params file can hold a tuple; read back from YAML it is a list, which may give another key
        assert load_entry(kept, key=key, value=value) is not None or holds(entry, tuple)
