"""The tags of releases in GTO's convention: `<pipeline>#<environment>#<N>` and `<pipeline>@v0.0.<M>`, and which numbers come next.

Anybody may push a tag that looks like one; N and M have at most nine digits here, and what has more does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from canon.model.errors import CanonError

_NUMBER = "[1-9][0-9]{0,8}"
MOST = 10**9


def tag_patterns(pipeline: str) -> tuple[str, str]:
    """What `git ls-remote` and `git for-each-ref` are asked for."""
    return f"refs/tags/{pipeline}#*", f"refs/tags/{pipeline}@*"


def tags_from_listing(listing: str) -> tuple[dict[str, str], dict[str, str]]:
    """Tag → its object, and tag → the commit that it is on, of what `git ls-remote` prints."""
    objects: dict[str, str] = {}
    commits: dict[str, str] = {}
    for line in listing.splitlines():
        oid, _, ref = line.partition("\t")
        name = ref.removeprefix("refs/tags/")
        if name == ref:
            continue
        if name.endswith("^{}"):
            commits[name.removesuffix("^{}")] = oid
        else:
            objects[name] = oid
            commits.setdefault(name, oid)
    return objects, commits


def next_number(pipeline: str, names: Iterable[str], released: Iterable[int]) -> int:
    """The number of the next release: one more than all before, in all environments, as GTO counts; `!` is GTO's sign for what was taken back.

    ``released``: numbers in files, of releases that have no tag yet. Raises CanonError where a tag leaves none.
    """
    form = re.compile(rf"{re.escape(pipeline)}#[^#@!]+!?#({_NUMBER})")
    numbers = [int(found[1]) for name in names if (found := form.fullmatch(name))]
    number = max([*numbers, *(each for each in released if each < MOST)], default=0) + 1
    if number >= MOST:
        raise CanonError(
            f"a tag or release of {pipeline} has the number {number - 1}, after which none is left: remove it"
        )
    return number


def version_of(pipeline: str, commits: Mapping[str, str], experiment: str) -> str | None:
    """The version that an experiment's commit has already; the highest one."""
    form = re.compile(rf"{re.escape(pipeline)}@(v(?:0|{_NUMBER})\.(?:0|{_NUMBER})\.(?:0|{_NUMBER}))")
    found = [match[1] for name, commit in commits.items() if commit == experiment and (match := form.fullmatch(name))]
    return max(found, key=lambda version: [int(part) for part in version[1:].split(".")], default=None)


def next_version(pipeline: str, names: Iterable[str], released: Iterable[str]) -> str:
    """The version of an experiment that has none. Raises CanonError where a tag leaves none."""
    form = re.compile(rf"(?:{re.escape(pipeline)}@)?v0\.0\.({_NUMBER})")
    number = max((int(found[1]) for name in (*names, *released) if (found := form.fullmatch(name))), default=0) + 1
    if number >= MOST:
        raise CanonError(f"the tag {pipeline}@v0.0.{number - 1} leaves no version after it: remove it")
    return f"v0.0.{number}"
