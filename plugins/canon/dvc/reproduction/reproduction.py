"""A `dvc repro` whose commands somebody else runs: it says which stage can run, and takes in what ran. One thread, DVC's repository lock held."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from canon.dvc.repository import open_repository
from canon.dvc.reproduction.failures import MovingError, StageError, stage_errors
from canon.dvc.reproduction.ignoring import OrderedIgnore
from canon.dvc.reproduction.lockfile import LockFile
from canon.dvc.reproduction.locking import locks_are_held, paths_locked
from canon.dvc.reproduction.narration import warnings_said
from canon.dvc.reproduction.pending import Journal, Pending
from canon.dvc.reproduction.planning import DeclaredPaths, Planned, plan_targets
from canon.dvc.reproduction.stages import (
    Command,
    Options,
    Outcome,
    begin,
    build_command,
    fill_from_entry,
    restore,
    save,
)
from canon.model.errors import CanonError

SCRATCH = ".dvc/tmp/canon"
Say = Callable[[str], None]


class Reproduction:
    """DVC's state of a checkout while stages run. Made by `reproduction`."""

    def __init__(self, repo: Any, planned: Planned, options: Options, say: Say) -> None:  # noqa: ANN401  DVC's own
        self.repo, self.planned, self.options = repo, planned, options
        self._say = say
        root = Path(repo.root_dir)
        self._journal = Journal(root)
        left = self._journal.load()
        self._others = [each for name, each in left.items() if name in planned.others]
        self._left = {name: each for name, each in left.items() if name in planned.stages}
        self._ignored: dict[str, tuple[str, ...]] = {name: each.ignored for name, each in self._left.items()}
        self._locks: dict[str, contextlib.ExitStack] = {}
        self._files: dict[str, LockFile] = {}
        self._names: dict[str, dict[str, str]] = {}
        for name, stage in planned.stages.items():
            if getattr(stage, "name", None):
                self._names.setdefault(stage.path, {})[stage.name] = name
        for path, names in self._names.items():
            self._files[path] = LockFile(Path(path).with_suffix(".lock"), names, root / SCRATCH)

    def changed(self) -> dict[str, bool]:
        """The stages that may have to run: True for those that have to, False for those that follow from one that may change.

        Raises CanonError where another process writes what is to be read.
        """
        found: dict[str, bool] = {}
        with self._busy_named(), paths_locked(self.repo, self.planned.stages.values(), write=False):
            for name, above in self.planned.above.items():
                if self.options.force:
                    found[name] = True
                elif any(each in found for each in above):
                    found[name] = False
                else:
                    try:
                        with stage_errors():
                            if self._is_changed(name):
                                found[name] = True
                    except StageError:
                        found[name] = False  # its turn will say so
        return found

    def declared_paths(self) -> dict[str, DeclaredPaths]:
        """The deps and outs of each stage, as absolute paths of this machine."""
        return {
            name: DeclaredPaths(
                tuple(str(dep.fs_path) for dep in stage.deps if dep.protocol == "local"),
                tuple(str(out.fs_path) for out in stage.outs if out.protocol == "local"),
            )
            for name, stage in self.planned.stages.items()
        }

    def would_restore(self, name: str) -> bool:
        """Tell whether a stage's outs are in the run-cache. Nothing is changed."""
        from dvc.stage.cache import RunCacheNotFoundError

        stage = self.planned.stages[name]
        if self.options.force or stage.frozen or not stage.cmd:
            return False
        with stage_errors():
            try:
                stage.save_deps()
                restore(stage, dry=True)
            except RunCacheNotFoundError:
                return False
        return True

    def begin(self, name: str, *, certain: bool) -> Outcome:
        """Take a stage's turn; ``certain``: it is known to be changed. Its paths are locked until `finish`, `fail` or another outcome than RUNS.

        Raises StageError.
        """
        stage, above = self.planned.stages[name], self._stages(self.planned.above[name])
        stack = self._locks[name] = contextlib.ExitStack()
        try:
            with stage_errors(stage.deps):
                stack.enter_context(paths_locked(self.repo, [stage], f"({name})"))
                changed = certain or self._is_changed(name)
                outcome = begin(stage, above, self.options) if changed else Outcome.UNCHANGED
                if outcome is Outcome.SAVED:
                    self._keep(name)
                elif outcome is Outcome.RESTORED:
                    save(stage)
                    self._keep(name)
        except BaseException:
            self.fail(name)
            raise
        if outcome is not Outcome.RUNS:
            self._unlock(name)
        return outcome

    def command(self, name: str, more: Mapping[str, str]) -> Command:
        """What the stage runs."""
        return build_command(self.planned.stages[name], more)

    def finish(self, name: str) -> Mapping[str, Any] | None:
        """Take in what a stage's command has made; return what dvc.lock gets of it.

        Raises StageError; after a MovingError it may be called again, or `fail`.
        """
        try:
            with stage_errors(self.planned.stages[name].deps):
                save(self.planned.stages[name])
                entry = self._keep(name)
        except MovingError:
            raise
        except BaseException:
            self.fail(name)
            raise
        self._unlock(name)
        return entry

    def fail(self, name: str) -> None:
        """Leave a stage as it is: its command failed, or was ended."""
        ignored = self.repo.scm_context.taken()
        if ignored:
            self._ignored[name] = ignored
        self._unlock(name)

    def flush(self, is_final: Callable[[str], bool]) -> None:
        """Write into .gitignore and dvc.lock what may be written while stages that are not final can still come before it."""
        if not self.repo.lock.is_locked:  # it ends while it waits for the repository; the journal has it
            return
        for name in self.planned.stages:
            if name in self._ignored:
                self.repo.scm_context.write(self._ignored.pop(name))
            elif not is_final(name):
                break
        for path, file in self._files.items():
            names = self._names[path]
            if file.flush(lambda short, names=names: is_final(names[short])):  # type: ignore[misc]
                self.repo.scm_context.track_file(str(file.path.relative_to(self.repo.root_dir)))
        if not self._ignored and not any(file.waits for file in self._files.values()):
            self._journal.replace(self._others)

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Let go of the repository while commands run, as DVC does; what it has read of it is read again afterwards."""
        self.repo.lock.unlock()
        try:
            yield
        finally:
            _lock(self.repo, self._say)
            self.repo._reset()  # noqa: SLF001  as dvc/stage/decorators.py

    def forget_tracked(self) -> None:
        """Stage nothing in Git, as DVC where a stage failed."""
        self.repo.scm_context.files_to_track = set()

    def _stages(self, names: Sequence[str]) -> list[Any]:
        return [self.planned.stages[name] for name in names]

    def _is_changed(self, name: str) -> bool:
        """As DVC, but for what a run had saved that was killed before it wrote dvc.lock: that entry may be the stage's."""
        stage, above = self.planned.stages[name], self._stages(self.planned.above[name])
        if not stage.changed(False, above):
            return False
        left = self._left.get(name)
        if left is None or left.entry is None:
            return True
        fill_from_entry(stage, left.entry)
        if stage.changed(False, above):
            return True
        self._files[stage.path].put(stage.name, left.entry)
        return False

    def _keep(self, name: str) -> Mapping[str, Any] | None:
        from dvc.stage.serialize import to_lockfile

        stage = self.planned.stages[name]
        self._left.pop(name, None)
        ignored = self.repo.scm_context.taken()
        entry: Mapping[str, Any] | None = None
        if getattr(stage, "name", None):
            entry = to_lockfile(stage)[stage.name]
        else:
            stage.dump(update_pipeline=False)
        self._journal.add(Pending(name, entry, ignored))
        if ignored:
            self._ignored[name] = ignored
        if entry is not None:
            self._files[stage.path].put(stage.name, entry)
        return entry

    def _unlock(self, name: str) -> None:
        if (stack := self._locks.pop(name, None)) is not None:
            stack.close()

    @contextlib.contextmanager
    def _busy_named(self) -> Iterator[None]:
        from dvc.lock import LockError

        try:
            yield
        except LockError as error:
            raise CanonError(
                f"another process works on files of this run: {' '.join(str(error).split('If there are')[0].split())}; "
                "run it again when that has ended"
            ) from None


@contextlib.contextmanager
def reproduction(root: Path, targets: Sequence[str], options: Options, say: Say) -> Iterator[Reproduction]:
    """Plan targets as `dvc repro TARGET…` does, and hold DVC's repository lock. The current folder has to be ``root``.

    Raises CanonError for what DVC refuses: no repository, targets that are not there, stages that cannot be read.
    """
    with warnings_said(say), contextlib.closing(open_repository(root)) as repo:
        if repo.config["core"].get("interactive", False):
            raise CanonError(
                "core.interactive is set, and `canon run` asks nothing; `dvc config --unset core.interactive`, or use `dvc repro`"
            )
        repo.lock._friendly = False  # noqa: SLF001  no bar of its own for each time that it is taken
        _lock(repo, say)
        repo._lock_depth += 1  # noqa: SLF001  as `lock_repo`, for DVC's own calls inside
        try:
            repo._reset()  # noqa: SLF001
            repo.__dict__["scm_context"] = OrderedIgnore(repo.scm, repo.config, say)
            with locks_are_held(), repo.scm_context(quiet=True):
                if options.pull:
                    _pull_run_cache(repo, say)
                yield Reproduction(repo, plan_targets(repo, targets), options, say)
        finally:
            repo._lock_depth -= 1  # noqa: SLF001
            if repo.lock.is_locked:
                repo.lock.unlock()


def _lock(repo: Any, say: Say) -> None:  # noqa: ANN401
    """Take the repository lock, however long another DVC command has it."""
    from dvc.lock import LockError

    said = False
    while True:
        try:
            repo.lock.lock()
        except LockError:
            if not said:
                say(f"canon: another DVC command works in {repo.root_dir}; waiting until it has ended")
                said = True
            time.sleep(0.2)
        else:
            return


def _pull_run_cache(repo: Any, say: Say) -> None:  # noqa: ANN401
    from dvc.exceptions import DvcException
    from dvc.stage.cache import RunCacheNotSupported

    try:
        repo.stage_cache.pull(None)
    except RunCacheNotSupported as error:
        say(f"canon: the run-cache is not pulled: {error}")
    except DvcException as error:
        raise CanonError(f"DVC cannot pull the run-cache: {' '.join(str(error).split())}") from None
