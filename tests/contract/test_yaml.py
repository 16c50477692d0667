"""YAML as its other readers understand it: ruamel.yaml 1.2 (DVC), PyYAML 1.1 (kubectl, MLflow, users' own code)."""

from __future__ import annotations

import datetime as dt
import json
import math
import subprocess
import sys
import warnings
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from canon.model.errors import ProblemsError
from canon.output.limits import MAX_BYTES
from canon.output.yaml import format_yaml, load_yaml

# Texts that one version of YAML or the other reads as something else, or that its emitters get wrong.
TRAPS = [
    *("", " ", "~", "null", "Null", "NULL", "nUll", "true", "True", "TRUE", "tRue", "false", "yes", "no", "on", "Off", "y", "N"),
    *("0", "-0", "+1", "010", "-010", "08", "0o17", "0x1F", "+0x1f", "0b11", "1_000", "1__0", "1_", "-_1", "+_", "_1", "12:30", "1:2:3"),
    *("190:20:30.15", "1.", ".5", "-.5", "+.5", ".5e3", ".5e+3", "1e3", "1e-3", "1E5", "1.0_1", "0.1_1e3", "1_0e3", "1e400", "._", "0o", "0x"),
    *(".inf", "+.inf", "-.Inf", ".nan", ".NaN", "-.nan", "9" * 30, "1,000", "2020-01-01", "2020-1-1", "2001-12-14t21:59:43.10-05:00"),
    *("=", "<<", "-", "--", "- a", "---", "...", "? a", "?", ":", "a:", "a: b", "a #b", "#a", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a"),
    *("{a}", "[a]", "{", "}", "]", ",", "a, b", "'", '"', "it's", '"a"', "\\", "\\n", "a\\b", " a", "a ", "\ta", "a\t", "a\tb", "\n", "a\n"),
    *("a\nb", "a\nb\n", "a\n\nb\n\n", "\na", " a\nb", "a \nb", "a\n b\n", "# a\nb", "a\r\nb", "a\rb", "\x00", "\x07", "\x1b", "\x7f", "\x85"),
    *("\xa0", "\u2028", "\u2029", "\ufeff", "a\ufeffb", "\ud7ff", "\ue000", "\ufffd", "\U0001f600", "é", "日本", "a\u2028b\n", "\x85\n", "x" * 300),
    *("word " * 40, "${item.a}", "{{x}}", "a\n\tb\n", "a\n#b\n", "a\n---\nb", "a\n...\n"),
]  # fmt: skip
TEXTS = st.one_of(st.sampled_from(TRAPS), st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
                  st.text("0123456789+-_.eExobaf:nlN~", max_size=6))  # fmt: skip
SCALARS = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


def ruamel(text: str, *, pure: bool = True) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return YAML(typ="safe", pure=pure).load(text)


def pyyaml(text: str) -> Any:
    return yaml.safe_load(text)


def plain(value: Any) -> Any:
    """Comparable with type and order: NaN equals itself, 1 is not True, -0.0 is not 0.0; a date is its text."""
    if isinstance(value, dict):
        return ["map", [[plain(key), plain(item)] for key, item in value.items()]]
    if isinstance(value, list | tuple):
        return ["list", [plain(item) for item in value]]
    return [type(value).__name__, repr(value)]


def read_or_none(reader: Any, text: str) -> tuple[Any] | None:
    try:
        return (reader(text),)
    except (YAMLError, ProblemsError, ValueError):
        return None


def has_date(value: Any) -> bool:
    if isinstance(value, dict):
        return any(has_date(item) for pair in value.items() for item in pair)
    return any(has_date(item) for item in value) if isinstance(value, list) else isinstance(value, dt.date)


@settings(max_examples=100)
@given(VALUES)
def test_every_reader_finds_what_was_written(value: Any) -> None:
    text = format_yaml(value)
    assert plain(load_yaml(text, "f")) == plain(value)
    assert plain(ruamel(text)) == plain(value)
    assert plain(ruamel(text, pure=False)) == plain(value)
    assert plain(pyyaml(text)) == plain(value)
    assert format_yaml(load_yaml(text, "f")) == text


def test_every_reader_finds_a_tricky_text_as_key_value_and_item() -> None:
    for text in TRAPS:
        value = {text: text, "in": [text, {text: [text]}]}
        written = format_yaml(value)
        for read in (load_yaml(written, "f"), ruamel(written), ruamel(written, pure=False), pyyaml(written)):
            assert plain(read) == plain(value), text


def test_a_plain_scalar_is_what_dvc_takes_it_for() -> None:
    compared = 0
    for text in TRAPS:
        if text.isprintable() and text.strip() == text:
            expected = read_or_none(lambda text: ruamel(text, pure=False), f"- {text}")
            if expected is not None and not has_date(expected[0]):
                compared += 1
                assert plain(load_yaml(f"- {text}", "f")) == plain(expected[0]), text
    assert compared > 60


def test_a_date_is_a_text_and_stays_one() -> None:
    assert load_yaml("since: 2020-01-01", "f") == {"since": "2020-01-01"}
    assert ruamel(format_yaml({"since": "2020-01-01"})) == {"since": "2020-01-01"}


# Documents as text: plain scalars in block and flow collections, with comments, anchors, merges, and white space.
WORDS = st.one_of(
    st.text("0123456789+-_.eExobt", min_size=1, max_size=5),
    st.sampled_from(["a", "b", "null", "~", "true", "on", "1e3", "0o7", ".inf", "'q'", '"\\u0041"', "''", "x y", "&k 1", "*k", "|-\n   z", "2020-01-01"]),
)  # fmt: skip
KEYS = st.sampled_from(["a", "b", "c", "1", "0x1", "true", "null", "'a'", "1.0", "<<", "on"])
FLOWS = st.recursive(
    st.one_of(st.integers(-9, 99).map(str), st.sampled_from(["a", "null", "1_0", "~", "'x'", "0o7", "1e1"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(KEYS, inner), max_size=3).map(lambda pairs: f"{{{', '.join(f'{key}: {item}' for key, item in pairs)}}}"),
    ),
    max_leaves=6,
)  # fmt: skip


@st.composite
def documents(draw: st.DrawFn, indent: str = "", depth: int = 2) -> str:
    kind = draw(st.sampled_from("msw"))
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        head = f"{draw(KEYS)}:" if kind != "s" else "-"
        below = depth and draw(st.booleans())
        tail = f"\n{draw(documents(indent + '  ', depth - 1))}" if below else f" {draw(st.one_of(WORDS, FLOWS))}"
        lines.append(f"{indent}{head}{tail}{draw(st.sampled_from(['', ' # why', '']))}")
    return "\n".join(lines)


@settings(max_examples=100)
@example("a: {<<: {b: 1, c: 2}, b: 3}\n")
@example("<<: [{a: 1}, {a: 2, b: 3}]\nc: 1\n")
@example("{1: a, 0x1: b}")
@example("1: 0\n0x1: 0\n<<: []")
@example("<<: {a: 1}\n<<: {b: 1}")
@example("<<: {1: a}\n0x1: b")
@example("<<: {<<: {a: 0}, <<: {b: 0}}")
@example("x: &x {<<: {a: 1}, a: 2}\nc: {<<: *x, b: 3}")
@given(documents())
def test_a_document_means_what_dvc_reads_in_it(text: str) -> None:
    ours, theirs = read_or_none(lambda text: load_yaml(text, "f"), text), read_or_none(ruamel, text)
    if theirs is None or ours is None:
        assert ours is None, "we read what DVC refuses"
        # ruamel.yaml lets a key stand twice beside `<<`, and a node hold itself.
        assert theirs is None or "<<" in text or "&" in text, "we refuse what DVC reads"
    elif not has_date(theirs[0]):
        assert plain(ours[0]) == plain(theirs[0])


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "stands twice in one mapping, first in line 1"),
        ("a:\n  b: 1\n  'b': 3\n", 3, "stands twice in one mapping, first in line 2"),
        ("1: a\n0x1: b\n", 2, "stands twice in one mapping, first in line 1"),
        ("true: a\n1: b\n", 2, "stands twice in one mapping, first in line 1"),
        ("<<: {x: 1}\na: 1\na: 2\n", 3, "stands twice in one mapping, first in line 2"),
        ("a: [1\nb: 2\n", 2, "is not YAML"),
        ("a: b: c\n", 1, "is not YAML"),
        ("a: *b\n", 1, "undefined alias"),
        ("a: !python/object:os.system x\n", 1, "could not determine a constructor"),
        ("a: 1\n---\nb: 2\n", 2, "expected a single document"),
        ("? [a]\n: 1\n", 1, "unhashable"),
        ("<<: {b: 1}\n? [a]\n: 1\n", 2, "unhashable"),
        ("a: &a [*a]\n", 1, "hold themselves"),
        ("a:\n  [" + "[" * 200_000 + "]" * 200_000, 2, "nests more than"),
        ("- " * 200_000 + "a", 1, "nests more than"),
        ("? " * 200_000 + "a", 1, "nests more than"),
        ("".join(f"{' ' * n}a:\n" for n in range(120)), 101, "nests more than"),
        ("".join(f"{' ' * n}a:\n{' ' * n}-\n" for n in range(60)), 101, "nests more than"),
        (f"- &a0 {'[' * 60}{']' * 60}\n" + "".join(f"- &a{n} {'[' * 60}*a{n - 1}{']' * 60}\n" for n in range(1, 30)), 1, "nests more than"),
        ("a: {b: " * 20 + "[" * 81, 1, ""),
        ("a: " + "9" * 5000 + "\n", 1, "cannot be read"),
        ("b: 1\na: !!int z\n", 2, "cannot be read"),
        ("b: é\na: \x00\n", 2, "is not YAML"),
        ("\r" + "- " * 200_000 + "a", 2, "nests more than"),
        ("a: !!set {b}\n", 1, "could not determine a constructor"),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_read_is_said_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        load_yaml(text, "pipelines/co2.yaml")
    (problem,) = caught.value.problems
    assert problem.file == "pipelines/co2.yaml"
    assert problem.line == line
    assert said in problem.message
    assert problem.remedy


def test_a_hundred_levels_are_read() -> None:
    value: Any = 1
    for _ in range(50):
        value = [{"a": value}]
    assert load_yaml(format_yaml(value), "f") == value
    assert load_yaml("[" * 100 + "]" * 100, "f") is not None


def test_anchors_that_explode_are_refused_before_they_do() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ProblemsError, match="aliases expand to more than"):
        load_yaml("\n".join(lines), "f")
    with pytest.raises(ProblemsError, match="at most"):
        load_yaml("# " + "x" * MAX_BYTES, "f")


def test_aliases_and_merges_are_read_and_written_out() -> None:
    value = load_yaml("base: &b {cpu: 1, memory: 1Gi}\nbig: {<<: *b, cpu: 4}\nagain: *b\n", "f")
    assert value == {"base": {"cpu": 1, "memory": "1Gi"}, "big": {"cpu": 4, "memory": "1Gi"}, "again": {"cpu": 1, "memory": "1Gi"}}  # fmt: skip
    assert "&" not in format_yaml(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": (1, 2.5)}, "b: 1\na:\n- 1\n- 2.5\n"),
        ({"lr": 1e-05, "big": 1e16, "zero": -0.0, "i": math.inf}, "lr: 1.0e-05\nbig: 1.0e+16\nzero: -0.0\ni: .inf\n"),
        ({"s": "1e-05", "t": "on", "u": "010", "v": "2020-01-01"}, "s: '1e-05'\nt: 'on'\nu: '010'\nv: '2020-01-01'\n"),
        ({"cmd": "a\nb\n"}, "cmd: |\n  a\n  b\n"),
        ({"empty": {}, "none": None, "list": []}, "empty: {}\nnone: null\nlist: []\n"),
        ({"é": "日本"}, "é: 日本\n"),
    ],
)
def test_text_is_for_people_to_read_too(value: Any, text: str) -> None:
    assert format_yaml(value) == text


def test_a_long_line_is_folded_so_that_it_reads_back() -> None:
    command = "python train.py " + " ".join(f"--option-{n} value" for n in range(20)) + "  two  spaces: # no comment"
    text = format_yaml({"cmd": command})
    assert load_yaml(text, "f") == ruamel(text) == pyyaml(text) == {"cmd": command}


HERA = """
import json, sys
import hera.workflows, hera.shared.serialization
from canon.output.yaml import format_yaml, load_yaml
value = json.load(sys.stdin)
assert load_yaml(value["text"], "f") == value["value"]
sys.stdout.write(format_yaml(value["value"]))
"""


def test_importing_hera_changes_nothing() -> None:
    value = {"a": "x\ny\n", "b": ["on", "1e3", None, {"c": 1.0}], "d": "a: b", "e": "- a\n- b\n"}
    text = format_yaml(value)
    done = subprocess.run([sys.executable, "-c", HERA], input=json.dumps({"text": text, "value": value}),
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout == text
