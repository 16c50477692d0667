"""How large and how deep a YAML document may be: some are small until they are read."""

from __future__ import annotations

from yaml.nodes import MappingNode, Node, SequenceNode

from canon.model.errors import Problem, ProblemsError

MAX_BYTES = 4 * 1024 * 1024
"""Largest text that is read: a declaration of 10,000 stages has about 2 MB."""
MAX_NODES = 1_000_000
"""Most values that a document may have once its aliases are written out."""
MAX_DEPTH = 100
"""Most collections in one another. libyaml's composer in C ends the process at some ten thousand."""


def check_size(text: str, name: str) -> None:
    """Raise ProblemsError for a text that is too long."""
    if len(text) > MAX_BYTES:
        raise ProblemsError([Problem(
            file=name,
            message=f"has {len(text):,} characters; at most {MAX_BYTES:,} are read",
            remedy="split the pipeline in several, each with its own `dvc_file`, or use `foreach` or `matrix`",
        )])  # fmt: skip


class TooDeepError(Exception):
    """A document nests too deep; ``line`` counts from 1."""

    def __init__(self, line: int) -> None:
        self.line = line
        super().__init__(line)


class DepthLimit:
    """A base of loaders: the composer calls these two around each node, and ends before it recurses too deep."""

    _depth = 0

    def descend_resolver(self, parent: Node | None, index: object) -> None:
        """Enter a node."""
        del index
        self._depth += 1
        if self._depth > MAX_DEPTH + 1:  # a scalar counts, too
            raise TooDeepError(parent.start_mark.line + 1 if parent is not None else 1)

    def ascend_resolver(self) -> None:
        """Leave it."""
        self._depth -= 1


def too_deep(name: str, line: int) -> ProblemsError:
    """The error of a document that nests too deep."""
    message = f"nests more than {MAX_DEPTH} lists and mappings in one another"
    return ProblemsError([Problem(file=name, line=line, message=message, remedy="nest less")])


_HOLDS_ITSELF = (MAX_NODES + 1, 0)


def _expanded(node: Node, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Number of values in a node and how deep they nest, every alias written out.

    An alias stands behind its anchor: its node is known by then, or it is a node that holds itself.
    """
    if id(node) not in known:
        known[id(node)] = _HOLDS_ITSELF
        inner: list[Node] = []
        if isinstance(node, MappingNode):
            inner = [each for pair in node.value for each in pair]
        elif isinstance(node, SequenceNode):
            inner = node.value
        below = [_expanded(each, known) for each in inner]
        count = min(1 + sum(count for count, _ in below), MAX_NODES + 1)
        known[id(node)] = count, 1 + max((depth for _, depth in below), default=0)
    return known[id(node)]


def check_aliases(node: Node, name: str) -> None:
    """Raise ProblemsError for a document that its aliases make too large or too deep."""
    count, depth = _expanded(node, {})
    if count > MAX_NODES:
        raise ProblemsError([Problem(
            file=name, line=1, message=f"its aliases expand to more than {MAX_NODES:,} values, or hold themselves",
            remedy="write out what the anchors stand for, or use fewer of them",
        )])  # fmt: skip
    if depth > MAX_DEPTH + 1:  # a scalar counts, too
        raise too_deep(name, 1)
