"""What a task's stages read, found out by `pull` before the user's command runs, and kept where it cannot change them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canon.dvc.entries import Params, build_entry, load_stage_params
from canon.dvc.hashes import Hash
from canon.dvc.runcache import run_cache_key
from canon.model.errors import CanonError
from canon.model.stage import Stage
from canon.output.files import write_bytes
from canon.planning.known import Known
from canon.remotes.objects import Objects
from canon.steps.places import Places

FILE = "inputs.json"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Hashes of what the stages read, and values of their params by the key of the stage."""

    known: Known
    params: Mapping[str, Params]

    def entry(self, key: str, stage: Stage, outs: Mapping[str, Hash] | None = None) -> dict[str, Any]:
        """The lock entry of a stage; without ``outs`` enough of it for its key. Raises CanonError."""
        return build_entry(stage, self.known.hashes(stage), self.params[key], outs)

    def run_key(self, key: str, stage: Stage) -> str:
        """The run-cache key of a stage. Raises CanonError."""
        return run_cache_key(self.entry(key, stage))


def collect_inputs(root: Path, stages: Mapping[str, Stage], known: Known) -> Inputs:
    """Find out what of the inputs of a task's stages lies in the checkout. Raises CanonError."""
    for stage in stages.values():
        known.look(stage)
    return Inputs(known, {key: load_stage_params(root, stage) for key, stage in stages.items()})


def write_inputs(places: Places, inputs: Inputs) -> None:
    """Keep them in the private folder. Raises CanonError for a param that JSON cannot hold: it has no place in the run-cache either."""
    try:
        content = json.dumps({"known": inputs.known.document(), "params": inputs.params})
    except (TypeError, ValueError) as error:
        raise CanonError(
            f"a param of this task cannot be kept ({error}); write dates and sets as texts and lists"
        ) from None
    write_bytes(places.private / FILE, content.encode("utf-8", "surrogatepass"))


def load_inputs(places: Places, outs: frozenset[str], objects: Objects) -> Inputs:
    """What `pull` has kept. Raises CanonError where it has not."""
    try:
        document = json.loads((places.private / FILE).read_bytes())
    except (OSError, ValueError):
        raise CanonError(
            "`canon step pull` has left no inputs in this pod: was it run, and with the same private folder?"
        ) from None
    return Inputs(Known(None, outs, objects, document["known"]), document["params"])
