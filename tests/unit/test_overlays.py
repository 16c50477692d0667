from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canon.model.errors import CanonError
from canon.output.yaml import format_yaml, load_yaml
from canon.workspaces.overlays import overlaid, restored

PARAMS = """\
# what to count
count:                # a comment
    times: 1          # how often
    name: "one"       # in quotes
    other: 'it''s'
    rate: 1.0e-06
    empty: null
    tilde: ~
    list:
      - a             # first
      - b

    nested: {deep: 1, keep: [1, 2]}   # in one line
    deeper:
        far: {below: 0x10}
        text: |
          two
          lines
# the end
"""

OVERLAYS = {
    "a number": ("count: {times: 3}", {"times: 1 ": "times: 3 "}),
    "a text keeps its quotes": ('count: {name: two, other: "isn\'t"}', {'"one"': '"two"', "'it''s'": "'isn''t'"}),
    "nested keys": ("count: {nested: {deep: 2}, deeper: {far: {below: 17}}}", {"deep: 1": "deep: 2", "0x10": "17"}),
    "a float is one to every reader": ("count: {rate: 0.00001}", {"1.0e-06": "1.0e-05"}),
    "nothing becomes something": ("count: {empty: [1], tilde: x}", {"empty: null": "empty: [1]", "tilde: ~": "tilde: x"}),
    "a list": ("count: {list: [c]}", {"list:\n      - a             # first\n      - b\n": "list: [c]\n"}),
    "lines": ("count: {deeper: {text: one}}", {"text: |\n          two\n          lines\n": "text: one\n"}),
    "a new key": ("count: {new: [1]}", {"          lines\n": "          lines\n    new: [1]\n"}),
    "a new key in one line": ("count: {nested: {more: true}}", {"keep: [1, 2]}": "keep: [1, 2], more: true}"}),
    "what it says already": ("count: {times: 1, rate: 1.0e-06, nested: {deep: 1}}", {}),
}  # fmt: skip


@pytest.mark.parametrize("case", OVERLAYS)
def test_an_overlay_changes_its_keys_and_nothing_around_them(case: str) -> None:
    overlay, changes = OVERLAYS[case]
    change = overlaid(PARAMS, "params.yaml", load_yaml(overlay, "overlay.yaml"))
    expected = PARAMS
    for old, new in changes.items():
        assert expected.count(old) == 1
        expected = expected.replace(old, new)
    assert change.after == expected
    assert bool(change.keys) == bool(changes)
    assert restored(change.after, "params.yaml", change) == PARAMS


def test_a_file_that_was_edited_meanwhile_keeps_the_edit() -> None:
    overlay = "count: {times: 3, name: two, new: 5, nested: {deep: 9, other: 1}, list: [c], deeper: {far: {below: 2}}}"
    change = overlaid(PARAMS, "params.yaml", load_yaml(overlay, "overlay.yaml"))
    edits = {'"two"': '"mine"', "keep: [1, 2]": "keep: [3]", "# the end": "# END"}
    text = change.after
    for old, new in edits.items():
        text = text.replace(old, new)
    expected = PARAMS.replace('"one"', '"mine"').replace("keep: [1, 2]", "keep: [3]").replace("# the end", "# END")
    expected = expected.replace("list:\n      - a             # first\n      - b\n", "list: [a, b]\n")
    assert restored(text, "params.yaml", change) == expected


def test_keys_that_are_gone_meanwhile_stay_gone() -> None:
    change = overlaid("a: {b: 1, c: 2}\nd: 3\n", "params.yaml", {"a": {"b": 5}, "d": 4})
    assert restored("d: 4\n", "params.yaml", change) == "d: 3\n"
    assert restored("a: 1\nd: 7\n", "params.yaml", change) == "a: 1\nd: 7\n"


@pytest.mark.parametrize(
    ("text", "overlay"),
    [
        ("a: {b: &b 1, c: *b}\n", {"a": {"b": 2}}),
        ("x: &x {b: 1}\na: *x\n", {"a": {"b": 2}}),
        ("x: &x {b: 1}\na:\n  <<: *x\n  c: {d: 1}\n", {"a": {"c": {"e": {"f": 1}}}}),
        ("a: 1\n", {"a": {"b": 2}}),
        ("a: [1]\n", {"a": {"b": 2}}),
    ],
)
def test_what_cannot_be_changed_in_place_is_an_error(text: str, overlay: dict[str, Any]) -> None:
    with pytest.raises(CanonError, match=r"params\.yaml"):
        overlaid(text, "params.yaml", overlay)


def test_a_merged_key_is_overridden_where_it_is_merged() -> None:
    change = overlaid("x: &x {b: 1}\na:\n  <<: *x\n  c: 1\n", "params.yaml", {"a": {"b": 2}})
    assert change.after == "x: &x {b: 1}\na:\n  <<: *x\n  c: 1\n  b: 2\n"


KEYS = st.one_of(st.from_regex(r"\A[a-z]{1,4}\Z"), st.sampled_from(["on", "1e3", "a: b", "é", "#"]))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), min_size=1, max_size=3)


def merged(data: Any, overlay: Any) -> Any:
    if isinstance(data, dict) and isinstance(overlay, dict):
        return {**data, **{key: merged(data.get(key), value) for key, value in overlay.items()}}
    return overlay


@settings(max_examples=60)
@given(MAPPINGS, st.data())
def test_the_text_says_what_the_merged_values_are_and_goes_back(data: dict[str, Any], draw: st.DataObject) -> None:
    text = format_yaml(data)
    overlay = {
        key: {**{name: draw.draw(SCALARS) for name in draw.draw(st.lists(st.sampled_from(sorted(data[key])), max_size=2))}, "new": draw.draw(SCALARS)}
        for key in draw.draw(st.lists(st.sampled_from(sorted(data)), max_size=2))
    }  # fmt: skip
    change = overlaid(text, "params.yaml", overlay)
    assert load_yaml(change.after, "params.yaml") == merged(copy.deepcopy(load_yaml(text, "params.yaml")), overlay)
    assert restored(change.after, "params.yaml", change) == text
    edited = change.after + "more: 1\n" if "more" not in data else change.after
    back = load_yaml(restored(edited, "params.yaml", change), "params.yaml")
    assert {key: value for key, value in back.items() if key in data} == load_yaml(text, "params.yaml")
