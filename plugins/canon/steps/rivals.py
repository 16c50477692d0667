"""Two pods that save a stage at the same moment: which of their entries stands, where the remote's clock does not tell.

S3 tells seconds apart, and may take the time at which a request began. So the entry that is first in the order of a list may have been written
after another pod had seen its own there alone, and had told its children. Whoever is first therefore asks what became of those after it.
"""

from __future__ import annotations

import re
import time

from canon.model.errors import CanonError
from canon.planning.lookup import Hit
from canon.steps.documents import load_record
from canon.steps.work import Work

PATIENCE = 20.0
"""Seconds for another pod to say what it believes; one that was killed never does."""
POLL = 0.2
"""Seconds between two looks."""
TASK = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,127}")
"""What Argo allows as the name of a task: who made an entry stands in the remote, and leads to a path there."""


def find_winner(work: Work, ours: Hit) -> Hit:
    """The entry that stands for a stage now that ours is written. Raises CanonError."""
    winner = work.lookup.find_whole(ours.key) or ours
    if winner.value != ours.value:
        return winner
    passed = {ours.value}
    while (rival := work.lookup.find_whole(ours.key, passed)) is not None:
        if _is_published(work, rival):
            return rival
        passed.add(rival.value)
    return winner


def _is_published(work: Work, rival: Hit) -> bool:
    """Tell whether the pod that made an entry has told others that it stands; wait for its word where it has given none."""
    made = work.lookup.made(rival.value)
    workflow, task = str(made.get("workflow")), str(made.get("task"))
    if (workflow, task) == (work.pod.workflow, work.pod.task) or not made.get("workflow") or not TASK.fullmatch(task):
        return False  # an earlier attempt's, or no pod's: nobody was told of it
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            record = load_record(work.objects, workflow, task)
        except CanonError:
            return False
        chosen = [each.value for each in record.stages.values() if each.key == rival.key] if record else []
        if chosen:
            return rival.value in chosen
        if work.lookup.read(rival.key, rival.value) is None:  # it has stood back
            return False
        time.sleep(POLL)
    return False
