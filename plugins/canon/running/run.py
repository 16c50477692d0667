"""`canon run`: a pipeline's stages as `dvc repro` runs them, those that do not depend on one another side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from canon.dvc.reproduction.reproduction import Reproduction, reproduction
from canon.dvc.reproduction.stages import Options
from canon.model.errors import CanonError, UsageError
from canon.model.graph import stage_key
from canon.model.project import Pipeline, Project
from canon.model.stage import Stage
from canon.running.budget import Budget, declared_needs, machine
from canon.running.children import Children
from canon.running.engine import Engine, Environment, Hear, Order, no_environment, not_heard
from canon.running.events import Event, State, Tell
from canon.running.exclusive import only_run
from canon.running.interrupts import Interrupts
from canon.running.leftovers import Groups, end_leftovers
from canon.running.metrics import load_stage_metrics
from canon.running.trespass import Guard

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be run. ``targets``: stages of the pipeline, of none all; ``jobs``: how many at once, 0 for as many as there are cores."""

    pipeline: Pipeline
    targets: tuple[str, ...] = ()
    jobs: int = 0
    keep_going: bool = False
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a run: the last event of each stage, in the order of the plan, and the signal that interrupted it."""

    events: Mapping[str, Event]
    interrupted: int | None = None
    trespasses: tuple[str, ...] = ()
    """What stages did to one another's files, in words."""

    @property
    def code(self) -> int:
        """The code to end with: 128 + n for signal n, else that of the first stage in the order of the plan that failed."""
        if self.interrupted is not None:
            return 128 + self.interrupted
        return next((event.code or 1 for event in self.events.values() if event.state is State.FAILED), 0)

    @property
    def idle(self) -> bool:
        """Whether nothing was to do."""
        return all(event.state is State.UNCHANGED for event in self.events.values())


Finished = Callable[[Reproduction, Ran], None]
"""Hears of a run when it is over: DVC's repository, its stages and what became of them."""


def choose(project: Project, words: Sequence[str]) -> tuple[Pipeline, tuple[str, ...]]:
    """The pipeline and the targets that `[NAME] [TARGET…]` mean. Raises UsageError where the name is needed, CanonError where there is none."""
    if not project.pipelines:
        raise CanonError(f"{project.root} declares no pipeline; write pipelines/<name>.yaml, or see `canon init`")
    for pipeline in project.pipelines:
        if words and pipeline.name == words[0]:
            return pipeline, tuple(words[1:])
    if len(project.pipelines) > 1:
        known = ", ".join(pipeline.name for pipeline in project.pipelines)
        raise UsageError(
            f"`{words[0]}` is no pipeline; name one of {known} first"
            if words
            else f"there are several pipelines; name one of {known}"
        )
    return project.pipelines[0], tuple(words)


def run_pipeline(
    project: Project,
    asked: Asked,
    tell: Tell,
    say: Say,
    environment: Environment = no_environment,
    hear: Hear = not_heard,
    finished: Finished | None = None,
) -> Ran:
    """Run what changed. Raises CanonError where that cannot begin; what becomes of a stage is in what is returned.

    ``environment``: variables that a stage gets beside its own; ``hear``: told of each end of one; ``finished``: called when all is written, while DVC's repository is still held.
    """
    with _prepared(project, asked, say) as work, Children(Groups(project.root)) as children:
        order = Order(
            budget=Budget(asked.jobs or int(machine().cpu), machine(), declared_needs(project)),
            tell=tell,
            guard=(guard := Guard(work.declared_paths(), say)),
            metrics=lambda name: load_stage_metrics(work.planned.stages[name]),
            keep_going=asked.keep_going,
            environment=environment,
            hear=hear,
        )
        with Interrupts(children.send, children.wake) as interrupts:
            engine = Engine(project.root, work, order, children, interrupts)
            engine.run()
            ran = Ran(engine.events, interrupts.first, tuple(guard.found))
            if ran.code:
                work.forget_tracked()
            if finished is not None:
                finished(work, ran)
            return ran


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a stage would do: ``runs``, ``cached``, ``depends`` on what runs before it, or nothing, ``unchanged``."""

    stage: str
    does: str


def foresee(project: Project, asked: Asked, say: Say) -> tuple[Foreseen, ...]:
    """What `run_pipeline` would do, as far as it can be told now. Nothing is changed."""
    with _prepared(project, asked, say, dry=True) as work:
        changed = work.changed()
        return tuple(Foreseen(name, _foreseen(work, changed, name)) for name in work.planned.stages)


def _foreseen(work: Reproduction, changed: Mapping[str, bool], name: str) -> str:
    if name not in changed:
        return "unchanged"
    if not changed[name] and any(above in changed for above in work.planned.above[name]):
        return "depends"
    return "cached" if work.would_restore(name) else "runs"


@contextlib.contextmanager
def _prepared(project: Project, asked: Asked, say: Say, *, dry: bool = False) -> Iterator[Reproduction]:
    file = asked.pipeline.declaration.dvc_file
    targets = [_target(each, file) for each in asked.targets] or [file]
    with contextlib.chdir(project.root), only_run(project.root):
        options = asked.options
        if dry:
            options = replace(options, pull=False)
        else:
            end_leftovers(project.root, say)
        with reproduction(project.root, targets, options, say) as work:
            yield work


def _target(name: str, file: str) -> str:
    """A stage as DVC is told of it; what names a file already stays as it is."""
    return name if ":" in name or name.endswith(".dvc") else stage_key(Stage(name=name, cmd="", file=file))


def log_of(root: Path, event: Event) -> str | None:
    """Where a stage's output is, relative to the root, for whoever reads it."""
    return event.log.relative_to(root).as_posix() if event.log is not None else None
