"""A picture as Mermaid text, as GitHub and others draw it.

Labels are in quotes, with every character that Mermaid, the Markdown in its labels, or HTML could take for its own as an entity of Mermaid's (`#35;`;
packages/mermaid/src/utils.ts, `encodeEntities`, and rendering-util/handle-markdown-text.ts). Mermaid 10.9 and 11.17 were seen to draw some thousand
names with all of that in them as what they are. Ids hold letters, digits and `_` alone.
"""

from __future__ import annotations

import re

from canon.drawing.picture import Kind, Node, Picture, one_line

MOST_EDGES, MOST_CHARACTERS = 500, 50_000
"""What Mermaid draws where nobody has changed its settings (`maxEdges`, `maxTextSize`)."""
LONGEST = 60
"""Characters of a line in a node."""
STYLES = {
    Kind.DECLARED: "fill:#ffd6e7,stroke:#bf3989,color:#1f2328",
    Kind.AUTOMATED: "fill:#ddf4ff,stroke:#0969da,color:#1f2328",
    Kind.ARTIFACT: "fill:#f6f8fa,stroke:#59636e,color:#1f2328",
}
SHAPES = {Kind.DECLARED: ("[", "]"), Kind.AUTOMATED: ("([", "])"), Kind.ARTIFACT: ("[(", ")]")}
MARKS = {Kind.DECLARED: "", Kind.AUTOMATED: "\u2699 ", Kind.ARTIFACT: ""}
"""Before a label: a gear. What comes out stands in Mermaid's own sign of a disk, and what is declared is pink."""


_FOR_MERMAID = re.compile(
    "(?<=fa:)(?=fa-)|(?<=fa[bklrs]:)(?=fa-)|(?<=\ufb02)(?=\u00b0)|(?<=\u00b6)(?=\u00df)|(?<=\\$)(?=\\$)"
)
"""What Mermaid looks for once entities are decoded: icons, its own marks of entities, formulas. A blank without width goes in between."""


def format_mermaid(picture: Picture) -> str:
    """The text, with a last line's end."""
    lines = ["flowchart LR"]
    lines += [f"  accTitle: {_plain(picture.title)}"]
    lines += [f"  {_node(node)}" for node in picture.nodes]
    lines += [f"  {start} --> {end}" for start, end in picture.edges]
    lines += ["  subgraph legend"]
    lines += [f"    {_node(Node(f'legend_{kind}', kind, '', kind.value))}" for kind in Kind]
    lines += ["  end"]
    lines += [f"  classDef {kind} {style}" for kind, style in STYLES.items()]
    return "\n".join(lines) + "\n"


def shown_nowhere(picture: Picture, text: str) -> str:
    """Why Mermaid would not draw a picture, in words; empty where it does."""
    if len(picture.edges) > MOST_EDGES:
        return f"{len(picture.edges)} edges, and {MOST_EDGES} are most (`maxEdges`)"
    if len(text) > MOST_CHARACTERS:
        return f"{len(text):,} characters, and {MOST_CHARACTERS:,} are most (`maxTextSize`)"
    return ""


def _node(node: Node) -> str:
    before, after = SHAPES[node.kind]
    label = "<br/>".join(escape_label(line) for line in (node.label, *node.details))
    return f'{node.id}{before}"{MARKS[node.kind]}{label}"{after}:::{node.kind}'


def _plain(text: str) -> str:
    return "".join(char if char.isalnum() or char in " :,-" else "_" for char in one_line(text))


def shortened(line: str, most: int = LONGEST) -> str:
    """A line without its middle where it is long: a path ends with what tells most."""
    half = (most - 1) // 2
    return line if len(line) <= most else f"{line[:half]}\u2026{line[len(line) - (most - 1 - half) :]}"


def escape_label(text: str) -> str:
    """One line of a label between quotes, that shows as it is."""
    line = shortened(one_line(text)) or " "  # nothing between quotes is no label in Mermaid's grammar
    line = _FOR_MERMAID.sub("\u200b", line)
    return "".join(char if _is_safe(line, place) else f"#{ord(char)};" for place, char in enumerate(line))


def _is_safe(line: str, place: int) -> bool:
    char = line[place]
    if char.isalnum():
        return True
    if char == " ":
        inside = 0 < place < len(line) - 1 and line[place - 1] != " "
        return inside and not line[:place].lower().endswith(
            "direction"
        )  # which makes another statement of the whole line
    inside = 0 < place < len(line) - 1 and line[place - 1].isalnum() and line[place + 1].isalnum()
    if char == ".":  # what begins with `www.` would be a link, and `1. ` a list
        return inside and not line[:place].lower().endswith("www")
    return char == "/" or (char == "-" and inside)
