"""Patterns of branches, as `triggers.push` names them."""

from __future__ import annotations

import re


def regex_from_branch(pattern: str) -> str:
    """A regular expression for whole names of branches, in what Python and Go (RE2) have in common, without a backslash.

    ``*`` stands for anything within one part of a name, ``**`` for several parts: `exp/*` is `exp/a` and not `exp/a/b`.
    """
    words = {"**": ".+", "*": "[^/]+"}
    parts = re.findall(r"\*\*|\*|[^*]+", pattern)
    return "".join(words.get(part) or re.sub(r"[.+?(){}|$\[\]]", r"[\g<0>]", part) for part in parts)


def matches_branch(name: str, pattern: str) -> bool:
    """Tell whether a branch is one of a pattern's."""
    return re.fullmatch(regex_from_branch(pattern), name) is not None
