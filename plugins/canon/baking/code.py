"""The code layer: the source tree of a commit, byte for byte as Git has it."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from canon.git import run_git
from canon.image.layers import Member
from canon.image.trees import check_cases, link
from canon.model.errors import CanonError, listed
from canon.model.tree import is_source

if TYPE_CHECKING:
    import git

TOP = "opt/canon"
"""All that Canon puts into an image lies below: a folder that no base has."""
SOURCE = f"{TOP}/src"
"""Where the code lies in an image."""
LFS = b"version https://git-lfs.github.com/spec/"
MAX_LFS = 1024
"""Bytes of the largest pointer of Git LFS (its specification)."""
ATTRIBUTES = ("eol", "filter", "ident", "text", "working-tree-encoding")
PLAIN = {
    "eol": {"unspecified", "unset", "lf"},
    "filter": {"unspecified", "unset"},
    "ident": {"unspecified", "unset"},
    "text": {"unspecified", "unset", "set", "auto"},
    "working-tree-encoding": {"unspecified", "unset"},
}
"""Values of Git's attributes under which a checkout on Linux has the bytes that Git has."""


@dataclass(frozen=True, slots=True)
class SourceCommit:
    """A commit's code. ``changed`` is the last commit that changed its source tree, ``time`` that commit's, in seconds."""

    commit: str
    changed: str
    time: int


def source_commit(root: Path, commit: str) -> SourceCommit:
    """Find the last commit that changed the source tree of a commit. Raises CanonError where the history ends before it."""
    from canon.source_state import SOURCE_PATHS

    lines = run_git(root, "log", "-1", "--format=%H %ct %P", commit, "--", *SOURCE_PATHS).decode().split()
    if not lines:
        raise CanonError(f"the commit {commit[:12]} holds no code")
    changed, time, *parents = lines
    shallow = run_git(root, "rev-parse", "--is-shallow-repository").strip() == b"true"
    if shallow and not parents:
        raise CanonError(
            f"{root} is a shallow clone that ends at {changed[:12]}: when the code was last changed is not known here;"
            " run `git fetch --unshallow`"
        )
    return SourceCommit(commit, changed, int(time))


def code_members(root: Path, tree: str, env: Mapping[str, str] | None = None) -> list[Member]:
    """The files and links of the source tree of a commit or tree as members of a layer; ``env``: Git's, where it lies elsewhere.

    Raises CanonError for what would not be in the image as it is at work: submodules, pointers of Git LFS, attributes that change
    bytes, links that leave it, names that differ in case alone.
    """
    import git

    entries = list(_entries(root, tree, env))
    _check_modes(entries)
    _check_attributes(root, tree, [entry.path for entry in entries], env)
    objects = git.Git(root)  # one `git cat-file --batch` for all of them
    objects.update_environment(**(env or {}))
    members = [_member(objects, entry) for entry in entries]
    _check_pointers(members)
    check_cases(members)
    return members


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    oid: str
    size: int
    path: str


def _entries(root: Path, tree: str, env: Mapping[str, str] | None) -> Iterator[_Entry]:
    for line in run_git(root, "ls-tree", "-r", "-l", "-z", "--full-tree", tree, env=env).split(b"\0"):
        if not line:
            continue
        head, _, name = line.partition(b"\t")
        mode, _, oid, size = head.decode().split()
        path = name.decode("utf-8", "surrogateescape")
        if is_source(path):
            yield _Entry(mode, oid, 0 if size == "-" else int(size), path)


def _check_modes(entries: Iterable[_Entry]) -> None:
    modules = [entry.path for entry in entries if entry.mode == "160000"]
    if modules:
        raise CanonError(
            f"submodules are not in the image: {listed(modules)}; put their files into the repository, or install them as packages"
        )


def _check_attributes(root: Path, tree: str, paths: Iterable[str], env: Mapping[str, str] | None) -> None:
    """Raise CanonError for files that Git changes when it writes them."""
    stdin = b"\0".join(path.encode("utf-8", "surrogateescape") for path in paths)
    with tempfile.TemporaryDirectory(
        prefix="canon-git-"
    ) as folder:  # Git before 2.40 reads attributes from a checkout or an index only
        index = {**(env or {}), "GIT_INDEX_FILE": f"{folder}/index"}
        run_git(root, "read-tree", tree, env=index)
        found = run_git(root, "check-attr", "--cached", "-z", "--stdin", *ATTRIBUTES, stdin=stdin, env=index).split(
            b"\0"
        )
    other = [
        f"{path.decode('utf-8', 'replace')} ({name.decode()}={value.decode('utf-8', 'replace')})"
        for path, name, value in zip(found[0::3], found[1::3], found[2::3], strict=False)
        if value.decode("utf-8", "replace") not in PLAIN[name.decode()]
    ]
    if other:
        raise CanonError(
            f".gitattributes makes Git write other bytes than it has: {listed(other)}; take these attributes out"
        )


def _member(objects: git.Git, entry: _Entry) -> Member:
    path = f"{SOURCE}/{entry.path}"
    read = partial(_blob, objects, entry.oid)
    if entry.mode == "120000":
        with read() as content:
            return link(path, content.read(entry.size).decode("utf-8", "surrogateescape"), SOURCE)
    return Member(path, entry.size, entry.mode == "100755", read=read)


def _blob(objects: git.Git, oid: str) -> BinaryIO:
    return io.BytesIO(objects.get_object_data(oid)[3])


def _check_pointers(members: Iterable[Member]) -> None:
    pointers = []
    for member in members:
        if member.read is not None and 0 < member.size <= MAX_LFS:
            with member.read() as content:
                if content.read(len(LFS)) == LFS:
                    pointers.append(member.path.removeprefix(f"{SOURCE}/"))
    if pointers:
        raise CanonError(f"Git has pointers of Git LFS in place of files: {listed(pointers)}; keep such files in DVC")
