"""Params files and keys are read as DVC reads them, held against its own reader on random files of all formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dvc.dependency.param import read_param_file
from dvc.exceptions import DvcException
from dvc.fs import localfs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canon.dvc.params import load_params, tracked_values
from canon.model.errors import CanonError
from tests.contract.values import PARAMS_FILES, keys_in

FILES = st.sampled_from(sorted(PARAMS_FILES)).flatmap(lambda suffix: st.tuples(st.just(suffix), PARAMS_FILES[suffix]))


@given(file=FILES, data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_files_and_keys_are_read_as_dvc_reads_them(tmp_path: Path, file: tuple[str, str], data: Any) -> None:
    suffix, text = file
    check_file(tmp_path / f"p{suffix}", text, data.draw(st.lists(st.sampled_from(keys_in(text)), max_size=2)))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", "null"),
        ("p.py", "class A:\n    def __init__(self):\n        x = 1\n        self.y = {'a': (1, 2)}\n    b: int\n"),
        ("p.toml", "b = '''\r\nx\r\n'''\r\nd.e = 1\r\n[f]\r\ng = 2\r\n[d2]\r\n[f.h]\r\nd.i = 3\r\n"),
        ("p.toml", "a = 2020-01-01\n"),
        ("p", "\ufeffa: 1\n"),
        ("p.YML", "a: 1_000\nb: 0o17\nc: 2020-01-01\nd: !!set {x}\ne: &x [1]\nf: *x\n"),
        ("p.yaml", "a: 1\n---\nb: 2\n"),
        ("p.yaml", ""),
    ],
)
def test_a_whole_file_is_read_as_dvc_reads_it(tmp_path: Path, name: str, text: str) -> None:
    check_file(tmp_path / name, text, [])


def check_file(path: Path, text: str, keys: list[str]) -> None:
    path.write_bytes(text.encode())
    try:
        expected = read_param_file(localfs, str(path), keys, flatten=True)
    except (DvcException, ValueError, TypeError):
        with pytest.raises(CanonError):
            tracked_values(load_params(path), tuple(keys), path.name)
        return
    if not keys:
        assert repr(load_params(path)) == repr(expected)
    elif set(keys) <= set(expected):
        assert repr(tracked_values(load_params(path), tuple(keys), path.name)) == repr(dict(sorted(expected.items())))
    else:
        with pytest.raises(CanonError, match="has no key"):
            tracked_values(load_params(path), tuple(keys), path.name)
