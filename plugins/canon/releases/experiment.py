"""Which commit has the result that an image was made of: an experiment at the remote, else a commit of the declared branch with its dvc.lock."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable
from pathlib import Path

from canon.baking.provenance import Provenance
from canon.dvc.lockfile import load_lockfile
from canon.git import commit_source_tree, commit_text, run_git, tree_entries, try_git
from canon.model.canonical import sha256_of
from canon.model.declaration import TRACK
from canon.model.errors import CanonError
from canon.model.result import format_result
from canon.releases.scratch import Scratch

LOCKS = ":(glob)**/dvc.lock"
MOST = 1000
"""How many commits of the branch are looked through."""


def find_experiment(scratch: Scratch, provenance: Provenance, declared: str) -> str:
    """The commit that the tags of a release are put on; afterwards the clone has it. Raises CanonError where the remote has none.

    An experiment's name has the first digits of its result, unless somebody has chosen another one: then all experiments are looked at. A trailer alone is
    not believed: the dvc.lock beside it has to have the recorded entries.
    """
    listing = run_git(scratch.root, "ls-remote", "--end-of-options", scratch.remote, "refs/exps/*").decode(
        "utf-8", "replace"
    )
    refs = [ref for _, _, ref in (line.partition("\t") for line in listing.splitlines()) if ref]
    digits = provenance.result[:8]
    named = [ref for ref in refs if digits in posixpath.basename(ref)]
    for some in (named, [ref for ref in refs if ref not in named]):
        if some:
            scratch.fetch(*(f"{ref}:exps/{ref.removeprefix('refs/exps/')}" for ref in some))
            found = _of_result(scratch.root, some, provenance)
            if found:
                return found
    scratch.fetch(f"refs/heads/{declared}:declared")
    found = _on_branch(scratch.root, scratch.fetched("declared"), provenance)
    if found:
        return found
    raise CanonError(
        f"no commit of {scratch.name} has the result {provenance.result[:12]}… of this image: `dvc exp push` the experiment that it was baked from,"
        f" or push the commit with its dvc.lock to `{declared}`"
    )


def _of_result(root: Path, refs: Iterable[str], provenance: Provenance) -> str | None:
    """The commit among experiments that says it has the result, and has; the one on the very code of the image before others, then the oldest."""
    places = [f"refs/canon/release/exps/{ref.removeprefix('refs/exps/')}" for ref in refs]
    form = "%(objectname) %(committerdate:unix) %(contents:trailers:key=Canon-Result,valueonly,separator=%x2C)"
    listing = run_git(root, "for-each-ref", f"--format={form}", *places).decode("utf-8", "replace")
    found: list[tuple[bool, int, str]] = []
    for line in filter(None, listing.splitlines()):
        commit, seconds, result = line.split(" ", 2)
        if result.strip() == provenance.result and has_result(root, commit, provenance):
            parent = try_git(root, "rev-parse", "--verify", "--quiet", f"{commit}^")
            on_code = parent is not None and commit_source_tree(root, parent) == provenance.tree
            found.append((not on_code, int(seconds or 0), commit))
    return min(found)[2] if found else None


def _on_branch(root: Path, head: str, provenance: Provenance) -> str | None:
    """The image's own commit, where the branch has it and it has the result; else the oldest one with the result, of those that changed a dvc.lock."""
    own = provenance.commit
    if try_git(root, "merge-base", "--is-ancestor", own, head) is not None and has_result(root, own, provenance):
        return own
    listing = run_git(root, "log", "--format=%H", f"--max-count={MOST}", head, "--", LOCKS).decode().split()
    found = [commit for commit in reversed(listing) if has_result(root, commit, provenance)]
    exact = [commit for commit in found if commit_source_tree(root, commit) == provenance.tree]
    return next(iter([*exact, *found]), None)


def has_result(root: Path, commit: str, provenance: Provenance) -> bool:
    """Tell whether a dvc.lock of a commit has all entries as they were recorded, and names the result where `track` wrote one."""
    entries = tree_entries(run_git(root, "ls-tree", "-r", "-z", "--full-tree", commit))
    files = [entry.path for entry in entries if posixpath.basename(entry.path) == "dvc.lock"]
    return any(_fits(commit_text(root, commit, file), file, provenance) for file in files)


def _fits(text: str | None, file: str, provenance: Provenance) -> bool:
    try:
        there = load_lockfile(text or "", file)
    except CanonError:
        return False
    same = all(sha256_of(there.get(name)) == sha256_of(entry) for name, entry in provenance.entries.items())
    if TRACK not in there or not same:
        return same
    md5 = hashlib.md5(format_result(provenance.recorded_result()), usedforsecurity=False).hexdigest()
    return any(out.get("md5") == md5 for out in there[TRACK].get("outs") or ())
