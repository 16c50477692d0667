"""What lies below the code of an image: the image that the base was built on, and the environment; each made again, and compared."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from canon.baking.base import Code, base_edits, is_declared
from canon.baking.code import source_commit
from canon.baking.contained import known
from canon.baking.environment import ENVIRONMENT, environment_members
from canon.baking.evidence import ON_TOP, Evidence, Finding
from canon.baking.interpreter import Interpreter
from canon.baking.labels import BASE, BASE_DIGEST, PYTHON
from canon.git import try_git
from canon.image.images import Image, Layer, compose, load_image
from canon.image.layers import describe, members_in_order, tar_chunks
from canon.image.stores import Source
from canon.model.errors import CanonError
from canon.model.project import Pipeline, load_settings


def recorded_code(root: Path, evidence: Evidence) -> Code:
    """The code as the provenance names it, with the time that Git says of its commit. Raises CanonError where Git does not know it."""
    provenance = evidence.provenance
    if try_git(root, "rev-parse", "--verify", "--quiet", f"{provenance.commit}^{{commit}}") is None:
        raise CanonError(f"Git knows no commit {provenance.commit[:12]} in {root}; fetch it")
    commit = source_commit(root, provenance.commit)
    return Code(commit, provenance.tree, dirty=provenance.dirty, listed=provenance.commit)


def below_findings(
    root: Path, evidence: Evidence, pipeline: Pipeline | CanonError, source: Source, given: tuple[Source, Image] | None
) -> Iterator[Finding]:
    """The base, computed again from the image that it was built on. That one may be given, or lie in the same store."""
    base = evidence.provenance.base
    expected = str(evidence.base_labels.get(BASE_DIGEST))
    if given is not None:
        below = given[1]
    else:
        try:
            below = load_image(source, source.name, expected)
        except CanonError:
            yield None, f"the image below, {expected}, is not at hand: say --from REF"
            return
    if below.digest != expected:
        yield False, f"{below.name} is {below.digest}, and the base was built on {expected}"
        return
    as_declared = is_declared(known(pipeline), below)
    if evidence.base_labels.get(BASE) == "declared" and not as_declared:
        if given is not None:
            yield False, f"{below.name} is not the image that the code declares, and the base says that it is"
        else:
            yield None, "what lies below is not known by the declared digest; say --from with the declared image"
        return
    added = evidence.image.manifest.layers[len(below.manifest.layers) : -ON_TOP]
    origins = ("environment", "code")[-len(added) :] if len(added) in {1, 2} else ()
    layers = [Layer(layer, says) for layer, says in zip(added, origins, strict=False)]
    labels = evidence.base_labels
    made = compose(
        below,
        layers,
        base_edits(
            load_settings(evidence.code),
            known(pipeline),
            recorded_code(root, evidence),
            below,
            labels.get(PYTHON),
            declared=as_declared,
        ),
    )
    if made.descriptor.digest != base.digest:
        yield (
            False,
            f"{below.digest[:19]}… with environment and code gives {made.descriptor.digest[:19]}…, not the base {base.digest[:19]}…",
        )
    yield True, f"the base follows from {below.digest}"


def environment_findings(evidence: Evidence, pipeline: Pipeline | CanonError, *, rebuild: bool) -> Iterator[Finding]:
    """The environment layer is what the lock file in the image gives."""
    declared = known(pipeline).declaration.environment
    if declared is None or declared.requirements is None:
        yield True, "the image below holds it: no requirements are declared"
        return
    if not rebuild:
        yield None, f"say --rebuild, and {declared.requirements} is installed anew and compared"
        return
    python = str(evidence.base_labels.get(PYTHON))
    version = python.rpartition("python")[2]
    requirements = (evidence.code / declared.requirements).read_bytes()
    with tempfile.TemporaryDirectory(prefix="canon-verify-") as scratch:
        members = environment_members(
            requirements, Interpreter(version, python), evidence.image.platform, Path(scratch)
        )
        made = describe(tar_chunks(members_in_order(members, ENVIRONMENT), ENVIRONMENT)).digest
    if evidence.image.diff_ids[evidence.code_layer - 1] != made:
        yield False, f"the environment layer is not what {declared.requirements} gives ({made[:19]}…)"
    yield True, f"{declared.requirements} gives the same layer"
