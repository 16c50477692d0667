"""Mermaid and SVG: what names may hold, and what of it stands in the text."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canon.drawing.mermaid import MOST_EDGES, escape_label, format_mermaid, shortened, shown_nowhere
from canon.drawing.picture import Kind, Node, Picture, Sketch, node_id, one_line
from canon.drawing.svg import format_svg

HOSTILE = (
    'a"]', "]) --> evil", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "%%{init: {'theme': 'dark'}}%%", "a\n  b --> c", "a;b", "#quot;",
    "style x:#35;", "classDef declared:#fff;", "end", "`**x**`", "__init__", "1. one", "- one", "# one", "www.example.com", "http://example.com/",
    "a@example.com", "\u202egnp.exe", "\u05d0\u05d1.csv", "\x1b[31m", "\x00", "\ud800", "fa:fa-bomb", "\ufb02\u00b0\u00b035\u00b6\u00df", "click x call f()", "---",
    "]]>", "&amp;", "-->", "<!--", "\u6f22" * 50, "x" * 500, " ", "", "a  b", "\u2028", "${x}", "{{x}}", "$$x$$", "direction LR", "a direction   TB b", "fa:fa-x fab:fa-y", "@{shape: x}", "~~a~~", "[a](b)", "    code", "| a | b |", "1) a",
)  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"
LINES = (
    r"flowchart LR", r"  accTitle: [\w :,-]*", r"  [a-z]\w* --> [a-z]\w*", r"  subgraph legend", r"  end", r"  classDef (declared|automated|artifact) [a-z]+:#[0-9a-f]+(,[a-z]+:#[0-9a-f]+)+",
    r'(?:  ){1,2}(?P<id>[a-z]\w*)(\["|\(\["|\[\(")(?P<label>[^"]+)("\]|"\]\)|"\)\]):::(declared|automated|artifact)',
)  # fmt: skip
"""Every line that we write, by what of Mermaid's grammar (diagrams/flowchart/parser/flow.jison) it takes."""


def picture(*labels: str) -> Picture:
    sketch = Sketch()
    nodes = [
        sketch.add(list(Kind)[index % 3], "out", f"{index}/{label}", label, [label])
        for index, label in enumerate(labels)
    ]
    for node in nodes[1:]:
        sketch.link([nodes[0]], node)
    return sketch.picture("Canon: toy")


def labels_of(text: str) -> list[str]:
    """The first lines of the labels, as Mermaid shows them; every line of the text is one of ours."""
    found: list[str] = []
    for line in text.splitlines():
        match = next((each for pattern in LINES if (each := re.fullmatch(pattern, line))), None)
        assert match, line
        if "label" in match.groupdict() and match["label"] is not None:
            assert not re.search(r"[<>`{}%&_*\\|]", match["label"].replace("<br/>", "")), line
            first = match["label"].split("<br/>")[0]
            found.append(
                re.sub(r"#(\d+);", lambda each: chr(int(each[1])), first).removeprefix("\u2699 ").replace("\u200b", "")
            )
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_in_mermaid_is_what_it_is_and_nothing_else(name: str) -> None:
    drawn = picture("first", name, "last")
    found = labels_of(format_mermaid(drawn))
    assert found == ["first", shortened(one_line(name)) or " ", "last", "declared", "automated", "artifact"]


@pytest.mark.parametrize("text", ["1. one", "- one", "+ one", "# one", "> one", "    one", "www.example.com", "WWW.x", "__a__", "*a*", "`a`", "a@b.de", "https://a"])  # fmt: skip
def test_what_markdown_or_html_would_take_is_no_text_before_mermaid_decodes_it(text: str) -> None:
    """GitHub's Mermaid shows `Unsupported markdown: list` for a label that begins like one, and takes labels for Markdown before entities."""
    plain = re.sub(r"#\d+;", "\u00b7", escape_label(text))
    assert not re.match(r"\d+[.)] |[-+#>*] | ", plain)
    assert not re.search(r"www\.|://|[_*`@]", plain, re.IGNORECASE)


@given(st.lists(st.text(), max_size=4))
def test_any_text_is_one_label_in_mermaid_and_one_text_in_svg(names: list[str]) -> None:
    drawn = picture(*names)
    assert labels_of(format_mermaid(drawn))[:-3] == [shortened(one_line(name)) or " " for name in names]
    root = ET.fromstring(format_svg(drawn))  # noqa: S314  of our own
    shown = [each.text or "" for each in root.iter(f"{SVG}text") if each.get("class") != "d"]
    assert shown[:-3] == [shortened(one_line(name), 44) for name in names]


def test_an_svg_is_self_contained_and_says_what_it_shows() -> None:
    text = format_svg(picture(*HOSTILE))
    root = ET.fromstring(text)  # noqa: S314  of our own
    assert root.get("role") == "img"
    assert [root.find(f"{SVG}{name}").get("id") for name in ("title", "desc")] == ["title", "desc"]  # type: ignore[union-attr]
    assert root.findtext(f"{SVG}title") == "Canon: toy"
    known = {"svg", "title", "desc", "style", "defs", "marker", "path", "g", "rect", "text", "circle", "ellipse"}
    assert {each.tag.removeprefix(SVG) for each in root.iter()} == known
    attributes = {name for each in root.iter() for name in each.attrib}
    assert not [name for name in attributes if name.startswith("on") or "href" in name]
    urls = {value for each in root.iter() for value in each.attrib.values() if "url(" in value}
    assert urls == {"url(#tip)"}
    assert "@import" not in text
    assert "@font-face" not in text
    groups = [each for each in root.iter(f"{SVG}g") if each.find(f"{SVG}rect") is not None]
    assert len(groups) == len(HOSTILE) + 3
    assert all(each.findtext(f"{SVG}title") for each in groups)


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: 4.5 for text, 3 for lines."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_it_can_be_read_on_a_light_and_a_dark_page() -> None:
    from canon.drawing import svg

    for page in ("#ffffff", "#0d1117"):
        assert contrast(svg.LINE, page) > 3
    for fill, line in svg.FILLS.values():
        assert min(contrast(svg.TEXT, fill), contrast(svg.SMALL, fill)) > 4.5
        assert contrast(line, fill) > 3


def test_icons_and_entities_of_mermaids_own_are_text() -> None:
    """It looks for them in what it has decoded (rendering-util/createText.ts; mermaidAPI.ts on all of the picture)."""
    text = re.sub(
        r"#(\d+);",
        lambda each: chr(int(each[1])),
        escape_label("$$$ fa:fa-x fab:fa-y \ufb02\u00b0\u00b060\u00b6\u00df"),
    )
    assert not re.search("fa[bklrs]?:fa-|\ufb02\u00b0|\u00b6\u00df|[$][$]", text)
    assert not re.search(
        r"direction\s", escape_label("a direction LR")
    )  # flow.jison takes a line that has this for one of its own


def test_ids_differ_where_names_do_and_stay_whatever_else_is_there() -> None:
    names = {node_id("out", name) for name in (*HOSTILE, "a/b", "a_b", "a-b", "a b", "A/b", "ab")}
    assert len(names) == len(HOSTILE) + 6
    assert all(re.fullmatch(r"[a-z]\w*", name, re.ASCII) for name in names)
    assert node_id("base image", "co2") == "baseimage_co2"
    assert node_id("stage", "fit@gb") != node_id("stage", "fit_gb")


def test_what_github_does_not_draw_is_said() -> None:
    few = Picture("x", (), (("a", "b"),) * MOST_EDGES)
    assert shown_nowhere(few, format_mermaid(few)) == ""
    many = Picture("x", (), (("a", "b"),) * (MOST_EDGES + 1))
    assert shown_nowhere(many, "") == "501 edges, and 500 are most (`maxEdges`)"
    large = Picture("x", tuple(Node(f"n{index}", Kind.ARTIFACT, "out", "x" * 60) for index in range(600)), ())
    assert shown_nowhere(large, format_mermaid(large)).endswith("are most (`maxTextSize`)")
