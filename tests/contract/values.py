"""Random values and params files in every format that DVC reads; YAML, TOML and Python that are not what they look like."""

from __future__ import annotations

import io
import json
from typing import Any

import tomlkit
from hypothesis import strategies as st
from ruamel.yaml import YAML


def dumped(document: object) -> str:
    """YAML text as ruamel.yaml writes it."""
    stream = io.StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.dump(document, stream)
    return stream.getvalue()


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value if item is not None]
    return value


TEXTS = st.text(
    st.one_of(
        st.sampled_from("ab:#'\"\\ {}[],&*!|>%@`-?~\n\t$"),
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]),
    ),
    max_size=12,
)
# Texts of a command: never blank, and nothing for DVC to fill in.
LINES = st.builds(
    "{}{}".format,
    st.sampled_from(["a", "run", "#", "'", "&", "- x", "é", "1e3"]),
    TEXTS.map(lambda text: text.replace("$", "")),
)
LONG = st.integers(1, 40).map(lambda words: "long words " * words)
_FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0.1, 1e-5, 1e22, 1e16, -0.0, 1.0, 5e-324])
)
_KEYS = st.text("abé_ 0", min_size=1, max_size=3)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**18), 10**18),
    _FLOATS,
    TEXTS,
    LONG,
    st.sampled_from(
        ["1e3", "1_000", "010", "on", "null", "12:30", "0x1f", "2020-01-01", "=", "<<", "", " ", "- a", "~"]
    ),
)
_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(_KEYS, st.just("size")), inner, max_size=3)
    ),
    max_leaves=6,
)
_DOCUMENTS = st.dictionaries(st.one_of(_KEYS, st.sampled_from(["lr", "size", "nfiles"])), _VALUES, max_size=4)
# YAML that is not what it looks like, or that a reader of 1.1 takes for something else.
_RAW_YAML = st.lists(
    st.sampled_from([
        "1_000", "0o17", "0x1F", "010", "0b11", "on", "No", "12:30", "1e3", "1e-3", "1.", ".5", "+1", ".inf", "-.INF", ".nan", "~",
        "!!str 1", "{1: one, true: yes}", "[a, [b]]", "|\n  two\n  lines", ">\n  folded\n  text", "'it''s'", "2020-01-01T", "{q: 1}",
        "2020-01-01", "2020-01-01 10:00:00Z", "!!set {a, b}", "!!binary aGk=", "{1: a, b: c}", "@bad", "{a: 1, a: 2}",
    ]),
    max_size=4,
).map(lambda values: "".join(f"k{index}: {value}\n" for index, value in enumerate(["&x {p: 1, size: 2}", "*x", "{<<: *x, q: 2}", *values])))  # fmt: skip
_RAW_TOML = st.sampled_from([
    "[b]\nz = 1\n[a]\nq = 2\n[b.c]\nw = 3\n[a.d]\ne = 1_000\n", "x = [1, {y = 'z'}]\n[[t]]\nn = 1\n[[t]]\nn = 2\n",
    "f = 1e5\ni = 0x1F\ns = '''\nmany\nlines'''\n", "a.b.c = 1\na.b.d = inf\n", "d.e = 1\n[f]\ng = 2\n[d2]\n[f.h]\nd.i = 3\n",
    "when = 2020-01-01\n", "broken = \n", "",
])  # fmt: skip
_RAW_PYTHON = st.sampled_from([
    "a = 1\nb: float = 0.5\nc: int\nd = e = 2\nf, g = 1, 2\nh = max(1, 2)\ni = (1, {'size': 3})\nj = -1\nk = 'x' 'y'\n",
    "class Train:\n    lr = 0.1\n    class Inner:\n        x = True\n    def __init__(self):\n        hidden = 3\n        self.opt = {'a': [1, None]}\n",
    "self.loose = 1\nother.loose = 2\nx[0] = 3\nif True:\n    y = 1\n", "def __init__():\n    self.z = 1\n", "async def f():\n    pass\nz = 1\n",
    "a = 1\na = {'b': {1: 'int', 'c': (1, 2)}}\n", "s = {1, 2}\n", "b = b'x'\n", "broken = (\n",
])  # fmt: skip
PARAMS_FILES = {
    ".yaml": st.one_of(_DOCUMENTS.map(dumped), _RAW_YAML),
    ".txt": st.one_of(_DOCUMENTS.map(dumped), st.sampled_from(["", "- a\n- b\n", "text\n", "# only a comment\n"])),
    ".json": st.one_of(
        _DOCUMENTS.map(json.dumps),
        st.sampled_from(['{"a": NaN, "a": 1}', "[1, 2]", "null", "{", '{"a": {"b": [1e5]}}']),
    ),
    ".TOML": st.one_of(_DOCUMENTS.map(_without_none).map(tomlkit.dumps), _RAW_TOML),
    ".py": st.one_of(
        _DOCUMENTS.map(
            lambda document: "".join(f"k{index} = {value!r}\n" for index, value in enumerate(document.values()))
        ),
        _RAW_PYTHON,
    ),
}
# Keys of the documents above; one that is not there, or that finds several, is an error to DVC and to Canon.
_PLACES = (
    "k0",
    "k1",
    "k1.p",
    "k2.q",
    "lr",
    "size",
    "a",
    "a.b",
    "b.z",
    "x.1.y",
    "t.0.n",
    "Train.lr",
    "Train.opt.a.0",
    "Train",
    "i.1",
    "d.e",
    "f.h",
    "k*",
    "no",
)


def keys_in(text: str) -> list[str]:
    """Those of the keys that a text may well have, without reading it."""
    return [key for key in _PLACES if key.partition(".")[0] in text] or ["no"]
