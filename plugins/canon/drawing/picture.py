"""A picture: nodes and edges, of which nothing is drawn yet."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from canon.git import clean_url
from canon.model.errors import printable
from canon.model.paths import is_url

MOST_LISTED = 3
"""Names that stand in a node; of more than these, how many there are."""


class Kind(StrEnum):
    """What somebody wrote, what does something by itself, and what came out of that."""

    DECLARED = "declared"
    AUTOMATED = "automated"
    ARTIFACT = "artifact"


@dataclass(frozen=True, slots=True)
class Node:
    """One thing. ``id``: letters, digits and `_`, the same as long as the thing has its name, whatever is beside it.

    ``what``: in a word. ``label`` and ``details``: lines, whatever characters they have. ``members``: what a node stands for that is several things.
    """

    id: str
    kind: Kind
    what: str
    label: str
    details: tuple[str, ...] = ()
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """All of it. ``edges``: ids, what is read before what reads it."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]


@dataclass
class Sketch:
    """A picture while it is made: what is there already is not added again."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[tuple[str, str], None] = field(default_factory=dict)

    def add(
        self, kind: Kind, what: str, key: str, label: str, details: Iterable[str] = (), members: Iterable[str] = ()
    ) -> str:
        """Add a node, of which ``what`` and ``key`` are a name of its own; return its id."""
        name = node_id(what, key)
        if name not in self.nodes:
            self.nodes[name] = Node(
                name, kind, what, _shown(label), tuple(map(_shown, details)), tuple(map(_shown, members))
            )
        return name

    def link(self, starts: Iterable[str], end: str) -> None:
        """Add edges."""
        for start in starts:
            self.edges[start, end] = None

    def picture(self, title: str) -> Picture:
        """What was added, in that order."""
        return Picture(title, tuple(self.nodes.values()), tuple(self.edges))


def _shown(text: str) -> str:
    """A text; of a URL, without what may be a secret in it."""
    return clean_url(text) if is_url(text) else text


def node_id(what: str, key: str) -> str:
    """An id for a name; of two names that would look alike the hash differs."""
    slug = re.sub(r"[^A-Za-z0-9]+", "_", "_".join(map(_shown, key.split("\0")))).strip("_")[:32]
    known = slug if re.fullmatch(r"[A-Za-z0-9]+", key) and slug == key else None
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{what.replace(' ', '')}_{known or f'{slug}_{digest}'}"


def listed_names(names: Iterable[str], word: str) -> tuple[str, ...]:
    """Names as lines of a node: themselves, or how many there are."""
    found = tuple(names)
    return found if len(found) <= MOST_LISTED else (f"{len(found)} {word}",)


def one_line(text: str) -> str:
    """A text of somebody's as one line that shows all that is in it: what is not printable, and turns the direction of writing, is replaced."""
    return printable(text.replace("\n", "\u23ce").replace("\t", " ")).replace("\u2028", "\ufffd")
