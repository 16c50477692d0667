"""`canon step push`: beside the user's command. What a stage made is sent, data before the entry, and the entry that stands for it is recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from canon.dvc.runcache import reasons_without_entry, run_cache_key, run_cache_path, run_cache_value, without_sizes
from canon.model.canonical import format_canonical
from canon.model.cluster import MAIN
from canon.model.errors import CanonError, OutRefusedError
from canon.model.stage import Stage
from canon.output.yaml import format_yaml
from canon.planning.lookup import MADE, Hit
from canon.steps.inputs import Inputs, load_inputs
from canon.steps.places import Places, Pod, say_go
from canon.steps.pull import STATE
from canon.steps.rivals import find_winner
from canon.steps.store import Store, open_store
from canon.steps.work import Work, bring, open_work

POLL = 0.1
"""Seconds between two looks at the file that `main` writes."""
GRACE = 2.0
"""Seconds for that file to appear after `main` has ended."""


def push_task(pod: Pod, say: Callable[[str], None]) -> None:
    """Do what `push` does. Raises CanonError. A stage that fails is not this container's failure: it ends well then."""
    work = open_work(pod)
    first, hits = _load_state(work)
    keys = list(work.stages)
    if first == len(keys):
        return
    inputs = load_inputs(work.places, work.outs, work.objects)
    with open_store(work.places.private, work.remote) as store:
        number = first
        while number < len(keys):
            code = wait_for_exit(work.places, number)
            if code != 0:
                say(
                    f"{keys[number]}: {'ended without a word' if code is None else f'failed with {code}'}; nothing is saved"
                )
                return
            try:
                hits[keys[number]] = save_stage(work, inputs, keys[number], store, say)
            except OutRefusedError:
                if number + 1 < len(keys):
                    _end_main(work.places, number + 1)
                raise
            work.record(hits)
            number = _next(work, inputs, hits, number, store, say)


def _load_state(work: Work) -> tuple[int, dict[str, Hit]]:
    try:
        state = json.loads((work.places.private / STATE).read_bytes())
    except (OSError, ValueError):
        raise CanonError(
            "`canon step pull` has left nothing in this pod: was it run, and with the same private folder?"
        ) from None
    return state["first"], {key: Hit(run_key, value, {}) for key, (run_key, value) in state["hits"].items()}


def _next(
    work: Work, inputs: Inputs, hits: dict[str, Hit], number: int, store: Store, say: Callable[[str], None]
) -> int:
    """Decide what becomes of the stages after a number, up to the next that runs; return its number."""
    keys = list(work.stages)
    for following in range(number + 1, len(keys)):
        key = keys[following]
        hit = work.find(inputs, key)
        if hit is None:
            bring(work, inputs, key, store)
            say(f"{key}: runs")
            say_go(work.places, following, "run")
            return following
        say(f"{key}: nothing to run, {hit.value[:12]} stands for it")
        hits[key] = hit
        inputs.known.add(work.stages[key], hit.entry)
        work.record(hits)
        say_go(work.places, following, "hit")
    return len(keys)


def _end_main(places: Places, number: int) -> None:
    """Let `main`, which waits for a word on its next stage, end by itself: what this container says would not be seen beside a `main` that is killed."""
    say_go(places, number, "refused")
    end = time.monotonic() + GRACE
    while time.monotonic() < end and not (places.emissary / MAIN / "exitcode").exists():
        time.sleep(POLL)


def wait_for_exit(places: Places, number: int) -> int | None:
    """The exit code that `main` wrote of a stage; None when `main` ended without one, as it does when it is killed."""
    file = places.exit_file(number)
    ended: float | None = None
    while True:
        code = _code(file)
        if code is not None:
            return code
        if ended is None and (places.emissary / MAIN / "exitcode").exists():
            ended = time.monotonic()
        if ended is not None and time.monotonic() - ended > GRACE:
            return None
        time.sleep(POLL)


def _code(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def save_stage(work: Work, inputs: Inputs, key: str, store: Store, say: Callable[[str], None]) -> Hit:
    """Send what a stage made; return the entry that stands for it from now on. Raises CanonError.

    Of several under one key, which a stage that is not deterministic gives, it is the oldest that is believed; a later one is taken away
    again, since plain DVC would take any. One that is there already is not written again: it would be the youngest then.
    """
    stage = work.stages[key]
    reasons = reasons_without_entry(stage)
    if reasons:
        raise OutRefusedError(f"stage `{key}` cannot be saved: {reasons[0]}")
    outs = {path: store.save(work.places.code, path) for path in stage.out_paths}
    store.send({each.md5 for each in outs.values()})
    entry = without_sizes(inputs.entry(key, stage, outs))
    ours = Hit(run_cache_key(entry), run_cache_value(entry), entry)
    before = work.lookup.find_whole(ours.key)
    if before is not None and before.value != ours.value:
        return _stands(inputs, key, stage, before, say)
    if before is None:
        _write(work, ours)
    winner = before or find_winner(work, ours)
    work.settle(winner)
    if winner.value != ours.value:  # both were written at once
        return _stands(inputs, key, stage, winner, say)
    say(f"{key}: saved as {ours.value[:12]}")
    inputs.known.add(stage, ours.entry)
    return ours


def _write(work: Work, ours: Hit) -> None:
    """Say where an entry was made, and then that it is there."""
    made = {"image": work.plan.declared, "base": work.plan.image, "workflow": work.pod.workflow, "task": work.pod.task}
    work.objects.write(f"{MADE}/{ours.value}", format_canonical(made))
    work.objects.write(run_cache_path(ours.key, ours.value), format_yaml(dict(ours.entry)).encode())


def _stands(inputs: Inputs, key: str, stage: Stage, hit: Hit, say: Callable[[str], None]) -> Hit:
    """Another entry stands for a stage: what it made itself is used by nobody."""
    say(f"{key}: {hit.value[:12]} was there before, and stands for it")
    inputs.known.add(stage, hit.entry)
    return hit
