from __future__ import annotations

import threading

import pytest

from canon.data import retry
from canon.data.errors import TransientError
from canon.data.retry import retried
from canon.model.errors import CanonError


class Failing:
    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF", 0.001)


def test_what_may_go_well_the_next_time_is_tried_again() -> None:
    assert retried(Failing(TransientError("a"), TransientError("b")), threading.Event()) == 3


def test_there_is_an_end_to_it() -> None:
    failing = Failing(*(TransientError(str(number)) for number in range(9)))
    with pytest.raises(TransientError, match="3"):
        retried(failing, threading.Event())
    assert failing.calls == retry.ATTEMPTS == 4


def test_what_will_not_go_well_is_not_tried_again() -> None:
    failing = Failing(CanonError("no"))
    with pytest.raises(CanonError, match="no"):
        retried(failing, threading.Event())
    assert failing.calls == 1


def test_once_stopped_nothing_is_tried_again() -> None:
    stop = threading.Event()
    stop.set()
    failing = Failing(TransientError("a"))
    with pytest.raises(TransientError, match="a"):
        retried(failing, stop)
    assert failing.calls == 1
