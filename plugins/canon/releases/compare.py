"""Two releases side by side: image, code, data, params, metrics; by what Git has of them."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canon.dvc.lockfile import load_lockfile
from canon.dvc.runcache import run_cache_value
from canon.git import run_git, tree_entries, try_git
from canon.model.errors import CanonError, UsageError, listed
from canon.model.pins import load_pins
from canon.model.project import pins_file_of
from canon.model.release import Release, release_path
from canon.releases.history import load_history, read_blobs

_NUMBERED = re.compile(r"(?:([a-z][-a-z0-9]*)@|#)([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing of two releases. ``section``: image, code, data, params or metrics; None: one of them does not have it."""

    section: str
    name: str
    first: str | None
    second: str | None

    @property
    def differs(self) -> bool:
        """Whether it is not the same."""
        return self.first != self.second


def find_release(root: Path, head: str, pipeline: str, text: str) -> Release:
    """The release that `ENV` (its newest), `ENV@N` or `#N` names. Raises UsageError for other words, CanonError where there is none."""
    found = _NUMBERED.fullmatch(text)
    if found is None and not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", text):
        raise UsageError(f"{text!r} names no release; write ENVIRONMENT, ENVIRONMENT@N or #N")
    environments = [text] if found is None else [found[1]] if found[1] else _environments(root, head, pipeline)
    for environment in environments:
        for row in load_history(root, head, pipeline, environment, 1 if found is None else None):
            if found is not None and not row.may_be(int(found[2])):
                continue
            release = row.release
            if release is None and found is None:
                raise CanonError(f"{release_path(pipeline, environment)}: {row.problem}")
            if release is not None and (found is None or (release.number == int(found[2]) and not row.problem)):
                return release
    raise CanonError(f"there is no release {text} of {pipeline}; `canon history {pipeline} ENVIRONMENT` lists them")


def _environments(root: Path, head: str, pipeline: str) -> list[str]:
    """Environments that ever had a release."""
    folder = posixpath.dirname(release_path(pipeline, "x"))
    log = ("log", "--format=", "--name-only", "--diff-merges=first-parent", "-z", head, "--", f"{folder}/")
    names = {name.strip() for name in run_git(root, *log).decode("utf-8", "replace").split("\0")}
    return sorted(posixpath.basename(name).removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def compare_releases(root: Path, first: Release, second: Release) -> tuple[tuple[Difference, ...], tuple[str, ...]]:
    """All that can be said of two releases, and notes on what the clone does not have."""
    notes = dict.fromkeys(
        f"the clone does not have the experiment of {each.tag}, so its params and pins are left out; `git fetch --tags` brings it"
        for each in (first, second)
        if not _has(root, each.experiment)
    )
    return tuple(_differences(root, first, second)), tuple(notes)


def _differences(root: Path, first: Release, second: Release) -> Iterator[Difference]:
    def rows(section: str, one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[Difference]:
        for name in sorted(one.keys() | other.keys()):
            yield Difference(section, name, one.get(name), other.get(name))

    yield Difference("release", "", first.tag, second.tag)
    yield from rows("image", _image(first), _image(second))
    yield from rows(
        "code", {"commit": first.commit, "tree": first.tree}, {"commit": second.commit, "tree": second.tree}
    )
    changed = _changed_files(root, first.commit, second.commit)
    if changed:
        yield Difference("code", "files", None, listed(changed, 8))
    yield from rows("data", _pins(root, first), _pins(root, second))
    yield from rows("params", _params(root, first), _params(root, second))
    yield from rows("metrics", _metrics(first), _metrics(second))


def _image(release: Release) -> dict[str, str]:
    known = {"image": release.image, "version": release.version, "result": release.result, "model": release.model}
    return {name: value for name, value in known.items() if value}


def _metrics(release: Release) -> dict[str, str]:
    return {name: f"{value:.10g}" for name, value in release.metrics.items()}


def _has(root: Path, commit: str) -> bool:
    return try_git(root, "cat-file", "-e", f"{commit}^{{commit}}") is not None


def _changed_files(root: Path, first: str, second: str) -> Sequence[str]:
    """Files of the source tree that differ between two commits; none where the clone lacks one of them."""
    if first == second or not (_has(root, first) and _has(root, second)):
        return ()
    left_out = (":(exclude,top)argo/", ":(exclude,top,glob)**/dvc.lock")
    names = run_git(root, "diff", "--name-only", "-z", "--no-renames", first, second, "--", ":(top)", *left_out)
    return [name for name in names.decode("utf-8", "replace").split("\0") if name]


def _pins(root: Path, release: Release) -> dict[str, str]:
    """The data hash, and the content of each dataset."""
    found = {"data hash": release.data_hash}
    file = pins_file_of(release.pipeline)
    (content,) = read_blobs(root, [f"{release.experiment}:{file}"])
    try:
        pins = load_pins(content.decode(), file) if content is not None else None
    except (CanonError, UnicodeDecodeError):
        pins = None
    for name, pin in pins.datasets.items() if pins else ():
        found[name] = f"{pin.sha256} ({pin.size} bytes)"
    return found


def _params(root: Path, release: Release) -> dict[str, str]:
    """`file:key` → value of every param that the released stages ran with, as the experiment's dvc.lock has them."""
    own = (pins_file_of(release.pipeline), f"{release.pipeline}.environment.yaml")
    found: dict[str, str] = {}
    for entry in _entries(root, release):
        for file, values in (entry.get("params") or {}).items():
            if not str(file).endswith(own):
                found |= {f"{file}:{key}": _text(value) for key, value in _flat(values)}
    return found


def _entries(root: Path, release: Release) -> Iterator[Mapping[str, Any]]:
    """The entries of a release's stages; those of other pipelines beside them are left out, by their value."""
    if not _has(root, release.experiment):
        return
    listing = tree_entries(run_git(root, "ls-tree", "-r", "-z", "--full-tree", release.experiment))
    files = [entry for entry in listing if posixpath.basename(entry.path) == "dvc.lock"]
    for file, content in zip(files, read_blobs(root, [entry.oid for entry in files]), strict=True):
        try:
            entries = load_lockfile((content or b"").decode(), file.path)
        except (CanonError, UnicodeDecodeError):
            continue
        for name, entry in entries.items():
            if release.entries.get(name) == run_cache_value(entry):
                yield entry


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key → value of nested mappings."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
