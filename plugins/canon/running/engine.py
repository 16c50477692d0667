"""The stages of a run: which may start, what runs, what has become of each. One thread decides; the commands run beside it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from canon.dvc.reproduction.failures import MovingError, StageError
from canon.dvc.reproduction.reproduction import Reproduction
from canon.dvc.reproduction.stages import Outcome
from canon.model.errors import CanonError
from canon.running.budget import Budget
from canon.running.children import Children, Ended, Work
from canon.running.events import FINAL, Event, State, Tell
from canon.running.interrupts import InterruptedRunError, Interrupts
from canon.running.logs import log_path
from canon.running.open_files import can_tell
from canon.running.trespass import Guard

_INTERRUPTED = "the run was interrupted"
INTERVAL = 0.5
"""Seconds between two looks at the files that stages have open."""

Environment = Callable[[str], Mapping[str, str]]
"""Variables that a stage gets beside its own, by its name."""
Metrics = Callable[[str], Mapping[str, float]]
Entry = Mapping[str, Any] | None
"""What dvc.lock gets of a stage, where it gets something."""
Hear = Callable[[str, State, Entry], None]


def no_environment(_: str) -> Mapping[str, str]:
    """Of a run that adds nothing."""
    return {}


def not_heard(_: str, __: State, ___: Entry) -> None:
    """Of a run whose end nobody has to know who comes after it."""


@dataclass(frozen=True, slots=True)
class Order:
    """How stages are run. ``tell`` hears of each new state of a stage, ``metrics`` reads what a finished one says of itself.

    ``hear`` is told what became of a stage that ran as soon as that stands, before anything else is done.
    """

    budget: Budget
    tell: Tell
    guard: Guard
    metrics: Metrics
    keep_going: bool = False
    environment: Environment = no_environment
    hear: Hear = not_heard


@dataclass
class Engine:
    """One run."""

    root: Path
    work: Reproduction
    order: Order
    children: Children
    interrupts: Interrupts
    events: dict[str, Event] = field(default_factory=dict)
    """The last event of each stage, in the order of the plan."""
    failed: bool = False
    _todo: dict[str, bool] = field(default_factory=dict)
    _took: dict[str, float] = field(default_factory=dict)
    _open: set[str] = field(default_factory=set)
    """Stages that are not final."""
    _barriers: list[str] = field(default_factory=list)
    _late: list[Ended] = field(default_factory=list)
    """Stages whose commands are through, and whose files cannot be read while others work in their folders."""

    def run(self) -> None:
        """Run what changed. What has finished is in dvc.lock afterwards; where this raises, in the journal at least."""
        names = tuple(self.work.planned.stages)
        try:
            with self.interrupts.at_once():
                self._todo = self.work.changed()
            self._begin(names)
            self._run_all()
        except InterruptedRunError:
            pass
        except (
            BaseException
        ):  # nobody reads what is told, the disk is full: the journal keeps what has to wait, and so DVC's order
            self.interrupts.over = True
            with contextlib.suppress(OSError, CanonError):
                self.work.flush(self._is_final)
            raise
        self.interrupts.over = True
        self.work.flush(lambda _: True)
        self.order.guard.look((), last=True)
        for name in names:
            if not self._is_final(name):
                stopped = self.events[name].state is State.RUNNING
                why = _INTERRUPTED if self.interrupts.first is not None else "another stage failed"
                self._tell(name, State.STOPPED if stopped else State.BLOCKED, why=why)

    def _begin(self, names: tuple[str, ...]) -> None:
        self._open = set(self._todo)
        self._barriers = [name for name in names if name in self._todo and name in self.work.planned.barriers]
        for name in names:
            self._tell(name, State.WAITING if name in self._todo else State.UNCHANGED)
            if self._todo and name not in self._todo:
                self.order.guard.settle(name, ())

    @property
    def _ends(self) -> bool:
        """Whether nothing new is started."""
        return self.interrupts.first is not None or (self.failed and not self.order.keep_going)

    def _run_all(self) -> None:
        self._start_ready()
        while self.children.names:
            ended = self.children.next_ended(0)
            if ended is None:
                self.work.flush(self._is_final)
                with self.work.released():
                    ended = self._wait()
            if ended is not None:
                self.order.guard.look(self.children.names)
                late, self._late = self._late, []
                for each in (ended, *late):
                    self._take(each)
            self._start_ready()

    def _wait(self) -> Ended | None:
        """Wait for the end of a stage, or a signal."""
        several = can_tell() and len(self.children.names) > 1
        while True:
            ended = self.children.next_ended(INTERVAL if several else None)
            if ended is not None or not several or self.interrupts.first is not None:
                return ended
            self.order.guard.look_open(self.children.sessions)

    def _start_ready(self) -> None:
        """Start what may be started, in the order of the plan. What needs no command is final at once, and may free others."""
        for name in self._todo:
            if self._ends or len(self.children.names) >= self.order.budget.jobs:
                return
            if self._may_start(name):
                self._start(name)

    def _may_start(self, name: str) -> bool:
        if name not in self._open or self.events[name].state is not State.WAITING:
            return False
        if any(above in self._open for above in self.work.planned.above[name]):
            return False
        if not self.order.budget.allows(name, self.children.names):
            return False
        return not self._barriers or self._may_pass(name)

    def _may_pass(self, name: str) -> bool:
        """A barrier starts when all before it are final, and nothing after it starts before it is."""
        before: list[str] = []
        for each in self._todo:
            if each == name:
                break
            before.append(each)
        if name in self._barriers:
            return not any(each in self._open for each in before)
        return not any(each in self._open for each in before if each in self._barriers)

    def _start(self, name: str) -> None:
        try:
            with self.interrupts.at_once():
                outcome = self.work.begin(name, certain=self._todo[name])
        except StageError as error:
            if not self._may_settle(error):  # else its turn comes again
                self._fail(name, 1, str(error))
            return
        except InterruptedRunError:
            self._end(name, State.STOPPED, why=_INTERRUPTED)
            return
        if outcome is Outcome.RUNS:
            self.work.flush(self._is_final)  # a command may read dvc.lock: `canon track` does
            command = self.work.command(name, self.order.environment(name))
            log = log_path(self.root, name)
            with contextlib.suppress(OSError):
                log.unlink()  # nobody takes what an earlier run left there for this one's
            self.order.guard.started(name)
            self.children.start(Work(name, command.commands, command.folder, command.env, log))
            self._tell(name, State.RUNNING, log=log)
            if self.interrupts.first is not None:  # it came just now, and this one was not there yet
                self.children.send(self.interrupts.first)
            return
        self._end(name, State.UNCHANGED if outcome is Outcome.UNCHANGED else State.CACHED)

    def _take(self, ended: Ended) -> None:
        name = ended.name
        self._took[name] = ended.seconds
        if ended.error is not None:
            self.work.fail(name)
            self._fail(
                name, 1, f"its command cannot be started: {getattr(ended.error, 'strerror', None) or ended.error}"
            )
        elif ended.stopped:
            self.work.fail(name)
            self._end(name, State.STOPPED, code=ended.code, why=_INTERRUPTED)
        elif name in self.order.guard.spoiled:
            self.work.fail(name)
            self._fail(name, ended.code or 1, self.order.guard.spoiled[name])
        elif ended.code != 0:
            self.work.fail(name)
            self._fail(name, ended.code, f"its command ended with {ended.code}")
        else:
            try:
                entry = self.work.finish(name)
            except StageError as error:
                if self._may_settle(error):
                    self._late.append(ended)
                    return
                self.work.fail(name)
                self._fail(name, 1, str(error))
            else:
                self._end(name, State.DONE, entry=entry)

    def _may_settle(self, error: StageError) -> bool:
        """Whether what could not be read may be there, or not be listed, when a stage that runs has ended: as `dvc repro` meets it."""
        return isinstance(error, MovingError) and bool(self.children.names)

    def _fail(self, name: str, code: int, why: str) -> None:
        self.failed = True
        self._end(name, State.FAILED, code=code, why=why)
        below, waiting = {name}, [name]
        while waiting:
            for each in self.work.planned.below[waiting.pop()]:
                if each not in below:
                    below.add(each)
                    waiting.append(each)
        for each in self._todo:
            if each in below and each in self._open:
                self._end(each, State.BLOCKED, why=f"`{name}` failed")

    def _end(self, name: str, state: State, *, code: int = 0, why: str = "", entry: Entry = None) -> None:
        self.order.hear(name, state, entry)
        self._open.discard(name)
        if state in {State.DONE, State.CACHED, State.UNCHANGED}:
            self.order.guard.settle(name, self.children.names)
        metrics = self.order.metrics(name) if state in {State.DONE, State.CACHED} else {}
        self._tell(name, state, code=code, why=why, log=self.events[name].log, metrics=metrics)

    def _is_final(self, name: str) -> bool:
        return name not in self._open and (name not in self.events or self.events[name].state in FINAL)

    def _tell(
        self, name: str, state: State, *, log: Path | None = None, code: int = 0, why: str = "",
        metrics: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        event = Event(name, state, time.time(), self._took.get(name, 0.0), log, code, why, metrics or {})
        self.events[name] = event
        self.order.tell(event)
