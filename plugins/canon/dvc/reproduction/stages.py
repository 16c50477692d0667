"""One stage, reproduced as DVC does it (dvc/stage/__init__.py, ``reproduce`` and ``run``; dvc/stage/run.py), but for running its command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any


class Outcome(Enum):
    """What became of a stage when its turn came."""

    UNCHANGED = auto()
    RESTORED = auto()
    """Its outs came from the run-cache or from the remote; it is to be saved like one that ran."""
    SAVED = auto()
    """DVC has done all of it: a `.dvc` file, an import, a frozen stage."""
    RUNS = auto()
    """Its command is to run now."""


@dataclass(frozen=True, slots=True)
class Command:
    """What a stage runs, each command with the arguments of its shell, and where."""

    commands: tuple[tuple[str, ...], ...]
    folder: Path
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Options:
    """As `dvc repro --force --pull`."""

    force: bool = False
    pull: bool = False


def fill_from_entry(stage: Any, entry: Mapping[str, Any]) -> None:  # noqa: ANN401  DVC's own
    """Let a stage have the hashes of an entry, as if dvc.lock had it."""
    from dvc.stage.loader import StageLoader

    stage.cmd_changed = entry.get("cmd") != stage.cmd
    StageLoader.fill_from_lock(stage, entry)


def begin(stage: Any, above: list[Any], options: Options) -> Outcome:  # noqa: ANN401
    """Do all that DVC does before a command runs, for a stage that is changed."""
    from dvc.exceptions import CheckoutError
    from dvc.stage.cache import RunCacheNotFoundError
    from dvc.stage.run import _pull_missing_deps

    if stage.frozen or not stage.cmd:
        done = stage.reproduce(upstream=above, force=options.force, pull=options.pull)
        return Outcome.SAVED if done else Outcome.UNCHANGED
    if options.pull and not options.force and not stage.changed(True, above):
        try:
            stage.repo.pull(stage.addressing)
            stage.checkout()
        except CheckoutError:
            pass
        else:
            return Outcome.UNCHANGED
    stage.remove_outs(ignore_remove=False, force=False)
    if options.force:
        return Outcome.RUNS
    if options.pull:
        _pull_missing_deps(stage)
    try:
        restore(stage, pull=options.pull)
    except RunCacheNotFoundError:
        stage.save_deps()
        return Outcome.RUNS
    return Outcome.RESTORED


def restore(stage: Any, *, pull: bool = False, dry: bool = False) -> None:  # noqa: ANN401
    """Take a stage's outs from the run-cache. Raises RunCacheNotFoundError.

    DVC ends with a TypeError where the folder of a key is empty, as a kill leaves it in the moment before the entry is written.
    """
    from dvc.stage.cache import RunCacheNotFoundError, _get_stage_hash

    cache = stage.repo.stage_cache
    try:
        cache.restore(stage, pull=pull, dry=dry)
    except TypeError:
        folder = Path(cache._get_cache_dir(_get_stage_hash(stage)))  # noqa: SLF001
        if folder.is_dir() and not any(folder.iterdir()):
            raise RunCacheNotFoundError(stage) from None
        raise


def build_command(stage: Any, more: Mapping[str, str]) -> Command:  # noqa: ANN401
    """The command of a stage as DVC would run it, with ``more`` variables."""
    from dvc.stage.run import _enforce_cmd_list, _make_cmd, get_executable, prepare_kwargs

    options = prepare_kwargs(stage, run_env=dict(more))
    shell = get_executable()
    commands = tuple(tuple(_make_cmd(shell, command)) for command in _enforce_cmd_list(stage.cmd))
    return Command(commands, Path(options["cwd"]), options["env"])


def save(stage: Any) -> None:  # noqa: ANN401
    """Do all that DVC does after a command has run: hashes, run-cache, cache."""
    uncached = any(not out.use_cache for out in stage.outs if not (out.is_metric or out.is_plot))
    stage.save(allow_missing=False, run_cache=not uncached)
    stage.commit(allow_missing=False)
