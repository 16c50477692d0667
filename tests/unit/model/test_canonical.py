from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canon.model.canonical import format_canonical, sha256_of
from canon.model.result import data_inputs

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


def test_the_text_of_a_value_is_written_out() -> None:
    value = {"z": [1, 1.0, -0.0, 1e-07, 1e22, True, None], "é": {"b": "\n\u2028", "a": "☃"}, "A": (), "n": float("nan"), "i": -float("inf")}  # fmt: skip
    text = '{"A":[],"i":"-inf","n":"nan","z":[1,1.0,-0.0,1e-07,1e+22,true,null],"é":{"a":"☃","b":"\\n\u2028"}}'
    assert format_canonical(value) == text.encode()
    assert sha256_of(value) == hashlib.sha256(text.encode()).hexdigest()
    # printf '%s' '{"a":[true],"b":1}' | sha256sum
    assert sha256_of({"b": 1, "a": [True]}) == "708747538ba81fd60b5aac8c646370de5e24abf70ab1872f67458a5a4f3af05d"


@given(VALUES, st.randoms())
def test_equal_values_have_equal_bytes_whatever_the_order_of_their_keys(value: Any, chance: Any) -> None:
    def stirred(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: stirred(item[key]) for key in chance.sample(list(item), len(item))}
        return tuple(map(stirred, item)) if isinstance(item, list) else item

    assert format_canonical(stirred(value)) == format_canonical(value)


@given(st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
                    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)), max_leaves=8))  # fmt: skip
def test_json_reads_back_what_was_written(value: Any) -> None:
    assert json.loads(format_canonical(value)) == value


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), (0, -0.0), ("1", 1), (None, "null"), ([], {}), ({"a": 1}, {"a": "1"})]
)
def test_values_of_other_types_have_other_bytes(one: object, other: object) -> None:
    assert format_canonical(one) != format_canonical(other)


def test_the_inputs_of_the_data_hash_are_told_apart_by_their_kind() -> None:
    pins = {
        "raw": {"sha256": "a" * 64, "md5": "b" * 32, "size": 1},
        "images": {"sha256": "c" * 64, "md5": "d" * 32 + ".dir", "size": 2, "nfiles": 3},
        "data/x.csv": {"md5": "e" * 32, "size": 4},
    }
    assert list(data_inputs(pins)) == [
        ("raw", "file", "sha256:" + "a" * 64),
        ("images", "folder", "sha256:" + "c" * 64),
        ("data/x.csv", "dvc", "md5:" + "e" * 32),
    ]
