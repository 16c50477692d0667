"""A picture as SVG 1.1: one file without scripts, fonts or links, read by screen readers, and readable on a light and a dark page.

Nodes bring their own ground, and what lies on the page itself has a grey of at least 3:1 to both.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator
from xml.sax.saxutils import escape

from canon.drawing.layout import Layout, Point, build_layout
from canon.drawing.mermaid import shortened
from canon.drawing.picture import Kind, Node, Picture, one_line

FILLS = {
    Kind.DECLARED: ("#ffd6e7", "#bf3989"),
    Kind.AUTOMATED: ("#ddf4ff", "#0969da"),
    Kind.ARTIFACT: ("#f6f8fa", "#59636e"),
}
LINE, TEXT, SMALL = "#808890", "#1f2328", "#57606a"
CHAR, CHAR_SMALL, HEIGHT, HEIGHT_SMALL = 7.9, 6.7, 18.0, 15.0
"""Width of a character and height of a line at 13 and 11 pixels; every fixed-width font has 0.6 of its size, or a little less."""
PAD, ICON, MARGIN = 9.0, 20.0, 12.0
LONGEST = 44
STYLE = (
    "text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',monospace;font-size:13px;fill:"
    f"{TEXT}}}.d{{font-size:11px;fill:{SMALL}}}.e{{fill:none;stroke:{LINE};stroke-width:1.3}}"
)
WORDS = {
    Kind.DECLARED: "declared: somebody wrote it",
    Kind.AUTOMATED: "automated: does it by itself",
    Kind.ARTIFACT: "artifact: what comes out",
}
_GEAR = (
    "M-1.5-8h3l.5 2 1.6.7L5.4-6.4 7.5-4.3 6.4-2.5l.7 1.6 2 .5v3l-2 .5-.7 1.6 1.1 1.8-2.1 2.1-1.8-1.1-1.6.7-.5 2h-3"
    "l-.5-2-1.6-.7-1.8 1.1-2.1-2.1 1.1-1.8-.7-1.6-2-.5v-3l2-.5.7-1.6-1.1-1.8 2.1-2.1 1.8 1.1 1.6-.7z"
)


def format_svg(picture: Picture) -> str:
    """The file's text."""
    sizes = {node.id: _size(node) for node in picture.nodes}
    layout = build_layout(sizes, [edge for edge in picture.edges if edge[0] in sizes and edge[1] in sizes])
    return "\n".join(_lines(picture, layout, sizes)) + "\n"


def _lines(picture: Picture, layout: Layout, sizes: dict[str, Point]) -> Iterator[str]:
    legend = [Node(f"legend_{kind}", kind, "", WORDS[kind]) for kind in Kind]
    legend_width = sum(_size(node)[0] + MARGIN for node in legend) - MARGIN
    width = max(layout.width, legend_width) + 2 * MARGIN
    height = layout.height + 3 * MARGIN + HEIGHT + 2 * PAD
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_number(width)}" height="{_number(height)}" '
        f'viewBox="0 0 {_number(width)} {_number(height)}" role="img" aria-labelledby="title desc">'
    )
    yield f'<title id="title">{_text(picture.title)}</title>'
    counts = ", ".join(f"{sum(node.kind == kind for node in picture.nodes)} {kind}" for kind in Kind)
    yield f'<desc id="desc">{_text(f"What is read by what, from left to right: {counts}.")}</desc>'
    yield f"<style>{STYLE}</style>"
    yield (
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0.5L8 4L0 7.5z" fill="{LINE}"/></marker></defs>'
    )
    yield f'<g transform="translate({_number(MARGIN)} {_number(MARGIN)})">'
    for edge in picture.edges:
        if edge in layout.ways:
            yield f'<path class="e" marker-end="url(#tip)" d="{_way(edge, layout, sizes)}"/>'
    for node in picture.nodes:
        yield from _drawn(node, layout.places[node.id], sizes[node.id])
    left, under = 0.0, layout.height + MARGIN
    for node in legend:
        yield from _drawn(node, (left, under), _size(node))
        left += _size(node)[0] + MARGIN
    yield "</g>"
    yield "</svg>"


def _drawn(node: Node, place: Point, size: Point) -> Iterator[str]:
    left, top = place
    width, height = size
    fill, line = FILLS[node.kind]
    whole = ", ".join([f"{node.what} {node.label}".strip(), *node.details, *node.members[:40]])
    yield f'<g transform="translate({_number(left)} {_number(top)})"><title>{_text(f"{node.kind}: {whole}")}</title>'
    radius = {Kind.DECLARED: 3, Kind.AUTOMATED: 12, Kind.ARTIFACT: 3}[node.kind]
    yield f'<rect width="{_number(width)}" height="{_number(height)}" rx="{radius}" fill="{fill}" stroke="{line}"/>'
    yield from _icon(node.kind, line)
    text = PAD + (0 if node.kind is Kind.DECLARED else ICON)
    yield f'<text x="{_number(text)}" y="{_number(PAD + 12)}">{_text(shortened(one_line(node.label), LONGEST))}</text>'
    for index, detail in enumerate(node.details):
        under = PAD + HEIGHT + HEIGHT_SMALL * index + 10
        shown = _text(shortened(one_line(detail), LONGEST))
        yield f'<text class="d" x="{_number(text)}" y="{_number(under)}">{shown}</text>'
    yield "</g>"


def _icon(kind: Kind, line: str) -> Iterator[str]:
    """A gear, or a disk, left of the label."""
    at = f'transform="translate({_number(PAD + 7)} {_number(PAD + 8)})"'
    if kind is Kind.AUTOMATED:
        yield f'<g {at} fill="none" stroke="{line}" stroke-width="1.2"><path transform="scale(.8)" d="{_GEAR}"/><circle r="2.4"/></g>'
    elif kind is Kind.ARTIFACT:
        yield (
            f'<g {at} fill="none" stroke="{line}" stroke-width="1.2"><ellipse cy="-5" rx="6" ry="2.4"/>'
            '<path d="M-6-5v10c0 3.2 12 3.2 12 0v-10M-6 0c0 3.2 12 3.2 12 0"/></g>'
        )


def _way(edge: tuple[str, str], layout: Layout, sizes: dict[str, Point]) -> str:
    """A curve that leaves and enters its nodes, and crosses the layers between, on the level."""
    (left, top), (width, height) = layout.places[edge[0]], sizes[edge[0]]
    (right, right_top), (_, right_height) = layout.places[edge[1]], sizes[edge[1]]
    points = [(left + width, top + height / 2), *layout.ways[edge], (right, right_top + right_height / 2)]
    parts = [f"M{_number(points[0][0])} {_number(points[0][1])}"]
    for (x, y), (to_x, to_y) in itertools.pairwise(points):
        if y == to_y:
            parts.append(f"L{_number(to_x)} {_number(to_y)}")
            continue
        bend = max(abs(to_x - x) / 2, 24.0)
        parts.append(
            f"C{_number(x + bend)} {_number(y)} {_number(to_x - bend)} {_number(to_y)} {_number(to_x)} {_number(to_y)}"
        )
    return "".join(parts)


def _size(node: Node) -> Point:
    widths = [_columns(shortened(one_line(node.label), LONGEST)) * CHAR]
    widths += [_columns(shortened(one_line(detail), LONGEST)) * CHAR_SMALL for detail in node.details]
    icon = 0.0 if node.kind is Kind.DECLARED else ICON
    return 2 * PAD + icon + max(widths), 2 * PAD + HEIGHT + HEIGHT_SMALL * len(node.details) - 2


def _columns(text: str) -> int:
    """Columns of a fixed-width font: two for characters of East Asia and emoji."""
    return sum(
        2 if unicodedata.east_asian_width(char) in "WF" else 0 if unicodedata.combining(char) else 1 for char in text
    )


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _text(text: str) -> str:
    return escape(one_line(text), {'"': "&quot;"})
