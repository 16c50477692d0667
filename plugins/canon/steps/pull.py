"""`canon step pull`: before the user's command. A hit ends the task; else the stage's inputs are brought and the script of `main` is written."""

from __future__ import annotations

import json
from collections.abc import Callable

from canon.output.files import write_bytes
from canon.planning.known import Known
from canon.planning.lookup import Hit
from canon.steps.inputs import collect_inputs, write_inputs
from canon.steps.places import Pod
from canon.steps.script import NOTHING, format_script
from canon.steps.store import open_store
from canon.steps.work import add_parents, apply_files, bring, open_work

STATE = "state.json"
"""In the private folder: number of the first stage that runs, and the entries of those before it."""


def pull_task(pod: Pod, say: Callable[[str], None]) -> None:
    """Do what `pull` does. Raises CanonError; the same again does no harm."""
    work = open_work(pod)
    apply_files(work.plan, work.places.code)
    known = Known(work.places.code, work.outs, work.objects)
    add_parents(work, known)
    inputs = collect_inputs(work.places.code, work.stages, known)
    hits: dict[str, Hit] = {}
    keys = list(work.stages)
    for key in keys:
        hit = work.find(inputs, key)
        if hit is None:
            break
        say(f"{key}: nothing to run, {hit.value[:12]} stands for it")
        hits[key] = hit
        known.add(work.stages[key], hit.entry)
    work.record(hits)
    first = len(hits)
    state = {"first": first, "hits": {key: [hit.key, hit.value] for key, hit in hits.items()}}
    write_bytes(work.places.private / STATE, json.dumps(state).encode())
    if first == len(keys):
        write_bytes(work.places.script, NOTHING.encode())
        return
    write_inputs(work.places, inputs)
    with open_store(work.places.private, work.remote) as store:
        bring(work, inputs, keys[first], store)
    say(f"{keys[first]}: runs")
    write_bytes(
        work.places.script, format_script(list(work.stages.values()), first, work.places, work.plan.tags).encode()
    )
