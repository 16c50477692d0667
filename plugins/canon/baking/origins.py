"""What the provenance of an image says of its origins, held against the code in the image and against Git."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from canon.baking.contained import known
from canon.baking.evidence import Evidence, Finding
from canon.baking.labels import DATA_HASH
from canon.baking.provenance import Provenance
from canon.dvc.hashes import hash_path
from canon.dvc.lockfile import load_lockfile
from canon.dvc.params import load_params, tracked_values
from canon.git import commit_text, run_git, try_git
from canon.model.errors import CanonError
from canon.model.paths import leaves_repository
from canon.model.pins import Pins, data_hash
from canon.model.project import Pipeline, Project, load_settings
from canon.model.result import data_inputs, format_result
from canon.model.stage import Stage
from canon.planning.known import Known
from canon.remotes.folder import FolderObjects
from canon.results.collect import dvc_inputs
from canon.results.locks import declared_stages

LOCKS = ":(glob)**/dvc.lock"


def _entries(provenance: Provenance, pipeline: Pipeline) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Stage, the folder that its paths start from, and its entry."""
    for name, entry in provenance.entries.items():
        declared = pipeline.raw["stages"].get(name.partition("@")[0]) or {}
        declared = declared.get("do") or declared
        yield name, str(declared.get("wdir") or "."), entry


def stage_findings(evidence: Evidence, pipeline: Pipeline | CanonError) -> Iterator[Finding]:
    """The stages that ran are the declared ones, with the declared commands."""
    pipeline = known(pipeline)
    declared = {
        stage.name: stage.cmd if isinstance(stage.cmd, str) else list(stage.cmd)
        for stage in declared_stages(Project(evidence.code, load_settings(evidence.code), (pipeline,)), pipeline)
    }
    entries = evidence.provenance.entries
    for name in sorted(declared.keys() ^ entries.keys()):
        yield False, f"`{name}` is not both declared by the code in the image and recorded"
    for name in sorted(declared.keys() & entries.keys()):
        if entries[name].get("cmd") != declared[name]:
            yield False, f"`{name}` ran another command than the code in the image declares"
    yield True, f"{len(entries)} stages as declared"


def dep_findings(evidence: Evidence, pipeline: Pipeline | CanonError) -> Iterator[Finding]:
    """Every dep of every stage has the hash that was recorded: code in the image, and outs of other stages as those made them."""
    entries = list(_entries(evidence.provenance, known(pipeline)))
    made = {
        posixpath.normpath(posixpath.join(wdir, str(out["path"]))): str(out.get("md5"))
        for _, wdir, entry in entries
        for out in entry.get("outs") or ()
    }
    inputs = {path: str(out.get("md5")) for path, out in _dvc_inputs(evidence)}
    count = 0
    for name, wdir, entry in entries:
        for dep in entry.get("deps") or ():
            count += 1
            path, expected = posixpath.normpath(posixpath.join(wdir, str(dep["path"]))), str(dep.get("md5"))
            inside = {out: md5 for out, md5 in made.items() if out.startswith(f"{path}/")}
            if inside and path not in made:
                found = _around(evidence, path, inside)
                if found is None:
                    yield (
                        None,
                        f"`{name}` read {path}, in which stages made folders whose files the image does not name",
                    )
                elif found != expected:
                    yield False, f"`{name}` ran with another {path} than the image and the stages have"
                continue
            problem = _dep_problem(evidence, path, expected, made, inputs)
            if problem:
                yield False, f"`{name}` {problem}"
    yield True, f"{count} deps as recorded"


def _around(evidence: Evidence, path: str, outs: Mapping[str, str]) -> str | None:
    """The hash of a folder that stages write into, with what the code has there; None where one of the outs is a folder itself."""
    if any(md5.endswith(".dir") for md5 in outs.values()):
        return None
    made = {out: {"md5": md5} for out, md5 in outs.items()}
    nowhere = FolderObjects(evidence.code / ".dvc" / "objects")  # of folders alone it would be asked for their lists
    known_here = Known(evidence.code, outs, nowhere, {"made": made})
    return known_here.hashes(Stage("", "", deps=(path,)))[path].md5


def _dep_problem(
    evidence: Evidence, path: str, expected: str, made: Mapping[str, str], inputs: Mapping[str, str]
) -> str | None:
    if leaves_repository(path):
        return f"depends on {path}, outside of the repository: nothing in the image proves it"
    if path in made:
        return None if made[path] == expected else f"ran on another {path} than the stage made that has it as an out"
    if path in inputs:
        return None if inputs[path] == expected else f"ran on another {path} than its .dvc file in the image says"
    if (evidence.code / path).exists():
        found = hash_path(evidence.code, path).md5
        return None if found == expected else f"ran with another {path} than the image has"
    inside = any(path.startswith(f"{folder}/") for folder in (*made, *inputs))  # a part of what is known as a whole
    return None if inside else f"depends on {path}, which is neither in the image nor made by a stage"


def param_findings(evidence: Evidence, pipeline: Pipeline | CanonError) -> Iterator[Finding]:
    """The params files in the image have the values that the stages ran with."""
    pipeline = known(pipeline)
    count = 0
    for name, wdir, entry in _entries(evidence.provenance, pipeline):
        for file, values in (entry.get("params") or {}).items():
            path = posixpath.normpath(posixpath.join(wdir, file))
            if leaves_repository(path):
                yield (
                    False,
                    f"`{name}` has its params in {path}, outside of the repository: nothing in the image proves them",
                )
                continue
            found = tracked_values(load_params(evidence.code / path), tuple(values), path)
            for key, value in values.items():
                count += 1
                if _text(found.get(key)) != _text(value):
                    yield (
                        False,
                        f"`{name}` ran with {path}: {key} = {_text(value)}, and the image has {_text(found.get(key))}",
                    )
    yield True, f"{count} values as recorded"


def _text(value: object) -> str:
    return json.dumps(value, default=str, sort_keys=True)


def data_findings(evidence: Evidence, pipeline: Pipeline | CanonError) -> Iterator[Finding]:
    """The pins are those in the image, the stages ran on them, and they give the data hash that the label says."""
    provenance = evidence.provenance
    hashed = data_hash(data_inputs(provenance.pins))
    if hashed != provenance.data_hash:
        yield False, f"the pins give the data hash {hashed[:12]}…, and the provenance says {provenance.data_hash[:12]}…"
    label = evidence.image.labels.get(DATA_HASH)
    if label != hashed:
        yield False, f"the label {DATA_HASH} says {str(label)[:12]}…, and the pins give {hashed[:12]}…"
    yield from _pin_problems(evidence, known(pipeline))
    yield True, f"{len(provenance.pins)} inputs, data hash {hashed[:12]}…"


def _pin_problems(evidence: Evidence, pipeline: Pipeline) -> Iterator[Finding]:
    inputs = dict(_dvc_inputs(evidence))
    for name, pin in evidence.provenance.pins.items():
        if name in pipeline.declaration.data:
            if pin != _pin(pipeline.pins, name):
                yield False, f"the pin of {name} is not the one in {pipeline.pins_file} of the image"
            entry = evidence.provenance.entries.get(f"data-{name}") or {}
            if any(out.get("md5") != pin.get("md5") for out in entry.get("outs") or ()):
                yield False, f"the stages ran on another {name} than the one that is pinned"
        elif name in inputs and pin.get("md5") != inputs[name].get("md5"):
            yield False, f"{name} is not what its .dvc file in the image says"


def _pin(pins: Pins, name: str) -> dict[str, Any] | None:
    pin = pins.datasets.get(name)
    return pin.model_dump(exclude_none=True) if pin is not None else None


def _dvc_inputs(evidence: Evidence) -> Iterable[tuple[str, Mapping[str, Any]]]:
    return dvc_inputs(evidence.code, [path for path in evidence.files if path.endswith(".dvc")])


def git_findings(root: Path, evidence: Evidence, pipeline: Pipeline | CanonError) -> Iterator[Finding]:
    """Git knows the result: a dvc.lock of some commit names it, or the commit of an experiment does.

    A pipeline without `track` has no result in Git; there the entries of some dvc.lock must be the recorded ones, which know files by md5.
    """
    provenance = evidence.provenance
    md5 = hashlib.md5(format_result(provenance.recorded_result()), usedforsecurity=False).hexdigest()
    named = _commits(root, "-S", md5, "--", LOCKS) or _commits(root, f"--grep=^Canon-Result: {provenance.result}$")
    if named and provenance.applied:
        named = [commit for commit in named if _has_files(root, commit, provenance.applied)]
        if not named:
            yield False, "the params files that were applied are those of no commit that records the result"
            return
    if named:
        yield True, f"recorded by the commit {named[-1][:12]}"
        yield from _beside_the_branch(root, provenance.commit)
        return
    if not known(pipeline).declaration.track:
        commit = _commit_with_entries(root, provenance)
        if commit and not _has_files(root, commit, provenance.applied):
            yield False, "the params files that were applied are not those of the commit that has the entries"
            return
        if commit:
            said = (
                f"the entries are those of the commit {commit[:12]}; `track: false` keeps no sha256 of the model in Git"
            )
            yield None, said
            return
    yield (
        False,
        (
            f"no commit here records the result {provenance.result[:12]}…: commit dvc.lock, or fetch the experiment (`dvc exp pull`)"
        ),
    )


def _beside_the_branch(root: Path, commit: str) -> Iterator[Finding]:
    """Say so where the code is not that of the branch which the checkout declares: who may write to others need not be trusted."""
    declared = load_settings(root).git
    if declared is None:
        return
    places = (f"refs/heads/{declared.branch}", f"refs/remotes/origin/{declared.branch}")
    refs = [place for place in places if try_git(root, "rev-parse", "--verify", "--quiet", place) is not None]
    if not refs:
        yield (
            None,
            f"the declared branch `{declared.branch}` is not here; fetch it, to see whether {commit[:12]} is on it",
        )
    elif all(try_git(root, "merge-base", "--is-ancestor", commit, ref) is None for ref in refs):
        yield None, f"the code is that of {commit[:12]}, which is not on the declared branch `{declared.branch}`"


def _has_files(root: Path, commit: str, files: Mapping[str, str]) -> bool:
    """Tell whether a commit has files of these sha256."""
    for path, sha256 in files.items():
        try:
            content = run_git(root, "cat-file", "blob", f"{commit}:{path}")
        except CanonError:
            return False
        if hashlib.sha256(content).hexdigest() != sha256:
            return False
    return True


def _commits(root: Path, *what: str) -> list[str]:
    """Commits of all references that match, the newest first, at most 1,000."""
    return (try_git(root, "log", "--all", "--format=%H", "--max-count=1000", *what) or "").split()


def _commit_with_entries(root: Path, provenance: Provenance) -> str | None:
    """The newest commit whose dvc.lock has every entry as it was recorded."""
    for commit in _commits(root, "--", LOCKS):
        files = (try_git(root, "ls-tree", "-r", "--name-only", "--full-tree", commit) or "").splitlines()
        for file in files:
            if posixpath.basename(file) == "dvc.lock" and _has_entries(
                commit_text(root, commit, file), file, provenance
            ):
                return commit
    return None


def _has_entries(text: str | None, file: str, provenance: Provenance) -> bool:
    try:
        there = load_lockfile(text or "", file)
    except CanonError:
        return False
    return all(_text(there.get(name)) == _text(entry) for name, entry in provenance.entries.items())
