"""Signals to a run: they go on to the commands, mildly first."""

from __future__ import annotations

import os
import queue
import signal

import pytest

from canon.running import interrupts as module
from canon.running.interrupts import InterruptedRunError, Interrupts

INT, TERM, KILL, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP


@pytest.mark.parametrize(("number", "steps"), [(INT, [INT, TERM, KILL]), (TERM, [TERM, KILL]), (HUP, [TERM, KILL])])
def test_what_does_not_end_hears_a_harder_signal_after_a_while(
    monkeypatch: pytest.MonkeyPatch, number: int, steps: list[int]
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.01)
    sent: queue.SimpleQueue[int] = queue.SimpleQueue()
    with Interrupts(sent.put, lambda: None) as interrupts:
        os.kill(os.getpid(), number)
        assert [sent.get(timeout=30) for _ in steps] == steps
        assert interrupts.first == number


def test_another_signal_is_the_next_step_at_once() -> None:
    sent: queue.SimpleQueue[int] = queue.SimpleQueue()
    with Interrupts(sent.put, lambda: None):
        os.kill(os.getpid(), INT)
        assert sent.get(timeout=30) == INT
        os.kill(os.getpid(), INT)
        assert sent.get(timeout=5) == TERM
        with pytest.raises(InterruptedRunError):
            os.kill(os.getpid(), INT)
        assert sent.get(timeout=5) == KILL


def test_what_need_not_be_ended_in_order_is_ended_at_once() -> None:
    with Interrupts(lambda _: None, lambda: None) as interrupts:
        with pytest.raises(InterruptedRunError), interrupts.at_once():
            os.kill(os.getpid(), TERM)
        with pytest.raises(InterruptedRunError), interrupts.at_once():
            raise AssertionError("nothing is begun after a signal")


def test_nothing_ends_the_writing_down() -> None:
    with Interrupts(lambda _: None, lambda: None) as interrupts:
        interrupts.over = True
        for _ in range(4):
            os.kill(os.getpid(), INT)


def test_handlers_are_as_they_were_afterwards() -> None:
    before = [signal.getsignal(each) for each in (INT, TERM, HUP)]
    with Interrupts(lambda _: None, lambda: None):
        assert signal.getsignal(INT) not in before
    assert [signal.getsignal(each) for each in (INT, TERM, HUP)] == before
