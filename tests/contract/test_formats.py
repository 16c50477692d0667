"""What is not exactly in DVC's format is a miss or an error, never a hit, and never a path out of the cache."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from dvc.schema import COMPILED_LOCK_FILE_STAGE_SCHEMA

from canon.dvc.entries import load_entry_here
from canon.dvc.hashes import hash_path
from canon.dvc.lockfile import format_lockfile, load_lockfile
from canon.dvc.objects import stored_files
from canon.dvc.runcache import load_entry, run_cache_key, run_cache_value
from canon.model.errors import CanonError
from canon.model.stage import Stage, stage_from_definition
from canon.output.yaml import format_yaml

MD5 = "0123456789abcdef" * 2
ITEM = {"path": "o", "hash": "md5", "md5": MD5, "size": 3}
ENTRY: dict[str, Any] = {
    "cmd": "x",
    "deps": [{**ITEM, "path": "d"}],
    "params": {"params.yaml": {"a": 1}},
    "outs": [ITEM],
}


def test_an_entry_in_the_format_is_a_hit() -> None:
    COMPILED_LOCK_FILE_STAGE_SCHEMA(ENTRY)
    key, value = run_cache_key(ENTRY), run_cache_value(ENTRY)
    assert load_entry(format_yaml(ENTRY), key=key, value=value) == ENTRY
    assert load_entry(format_yaml(ENTRY), key=value) is None
    assert load_entry(format_yaml(ENTRY), key=key, value=key) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"outs": [{"path": "o", "md5": MD5, "size": 3}]},  # DVC 2: line ends are hashed otherwise, the object lies elsewhere
        {"outs": [{**ITEM, "hash": "sha256"}]},
        {"outs": [{**ITEM, "md5": "../../../etc/passwd"}]},
        {"outs": [{**ITEM, "md5": MD5.upper()}]},
        {"outs": [{**ITEM, "md5": int("1" * 32)}]},
        {"outs": [{"path": "o", "hash": "md5", "etag": MD5}]},
        {"outs": [{"path": "o", "hash": "md5", "files": [{"relpath": "a", "md5": MD5}]}]},
        {"outs": [{**ITEM, "cloud": {"store": {"version_id": "1"}}}]},
        {"outs": [{"hash": "md5", "md5": MD5}]},
        {"outs": {"o": ITEM}},
        {"deps": [{"path": "ds://data", "dataset": {"rev": "1"}}]},
        {"deps": [{"path": "s3://b/k", "etag": "1"}]},
        {"params": {"params.yaml": ["a"]}},
        {"cmd": None},
        {"schema": "3.0"},
    ],
    ids=str,
)  # fmt: skip
def test_an_entry_in_another_format_is_a_miss(changed: dict[str, Any]) -> None:
    assert load_entry(format_yaml({**ENTRY, **changed})) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "text", "cmd: x\ncmd: y\n", "{", "cmd: !!python/tuple [x]\n", "\x00", "a: &a [*a]\n"]
)
def test_what_is_no_entry_is_a_miss(text: str) -> None:
    assert load_entry(text, key="0" * 64) is None


@pytest.mark.parametrize("value", [{1, 2}, b"x", {1: "a", "b": 2}, float], ids=repr)
def test_a_param_that_json_cannot_hold_gives_an_error_and_no_key(value: object) -> None:
    with pytest.raises(CanonError, match="JSON cannot hold"):
        run_cache_key({"cmd": "x", "params": {"params.py": {"a": value}}})


def test_a_lock_is_read_and_written_alike() -> None:
    text = format_lockfile({"s": ENTRY, "empty": {"cmd": ["a: b", "1e3"]}})
    assert text.startswith("schema: '2.0'\nstages:\n  s:\n    cmd: x\n    deps:\n    - path: d\n")
    assert load_lockfile(text, "dvc.lock") == {"s": ENTRY, "empty": {"cmd": ["a: b", "1e3"]}}
    assert format_lockfile({}) == "schema: '2.0'\nstages: {}\n"


def stage(**definition: Any) -> Stage:
    return stage_from_definition("fit", {"cmd": "x", **definition})


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"deps": ["no"]}, r"dep `no` of stage `fit` is not there"),
        ({"deps": ["folder"]}, r"dep `folder` of stage `fit` is not there \(.*folder/broken\)"),
        ({"deps": ["pipe"]}, r"pipe is neither a file nor a folder"),
        ({"deps": ["held"]}, r"held/\.dvcignore lies in a folder that DVC hashes"),
        ({"deps": ["s3://bucket/key"]}, r"dep `s3://bucket/key` of stage `fit` is not on this machine"),
        ({"outs": ["left.tmp"]}, r"out `left.tmp` of stage `fit` is ignored by .dvcignore"),
        ({"params": ["a"]}, r"there is no params file .*params\.yaml"),
        ({"params": [{"folder": ["a"]}]}, r"folder is a folder where a params file is expected"),
        ({"params": [{"p.yaml": ["a.c"]}]}, r"p\.yaml has no key `a\.c`"),
        ({"params": [{"p.yaml": ["*"]}]}, r"p\.yaml: the key `\*` cannot be looked up"),
        ({"params": [{"list.json": None}]}, r"list\.json is tracked as a whole, but is no mapping"),
        ({"params": [{"bad.json": ["a"]}]}, r"bad\.json cannot be read as a params file"),
        ({"params": [{"bad.yaml": ["a"]}]}, r"bad\.yaml is not YAML"),
        ({"params": [{"latin.toml": ["a"]}]}, r"latin\.toml is not UTF-8 text"),
        ({"params": [{"bomb.yaml": ["a0"]}]}, r"bomb\.yaml.*aliases expand"),
        ({"params": [{"http://host/p.yaml": ["a"]}]}, r"params file http://host/p\.yaml is not in the repository"),
    ],
)  # fmt: skip
def test_what_cannot_be_an_entry_is_named_with_place_and_remedy(
    tmp_path: Path, definition: dict[str, Any], message: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/broken").symlink_to("nothing")
    (tmp_path / "held").mkdir()
    (tmp_path / "held/.dvcignore").write_text("a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ".dvcignore").write_text("*.tmp\n")
    (tmp_path / "left.tmp").write_text("")
    (tmp_path / "p.yaml").write_text("a: {b: 1}\nc: 2\n")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "bad.yaml").write_text("a: [")
    (tmp_path / "latin.toml").write_bytes("a = 'é'".encode("latin-1"))
    bomb = "".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 9))
    (tmp_path / "bomb.yaml").write_text(f"a0: &a0 [1]\n{bomb}")
    with pytest.raises(CanonError, match=message):
        load_entry_here(tmp_path, stage(**definition))


def test_files_of_an_out_are_found_by_hashes_that_are_hashes(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    listing = json.dumps([{"md5": "../../outside", "relpath": "a"}])
    (cache / MD5[:2]).mkdir(parents=True)
    (cache / MD5[:2] / f"{MD5[2:]}.dir").write_text(listing)
    with pytest.raises(CanonError, match=r"a has no md5 in DVC's format \('../../outside'\)"):
        list(stored_files({"path": "o", "md5": f"{MD5}.dir"}, cache, None))
    for out in ({"path": "o"}, {"path": "o", "md5": "/etc/passwd"}, {"path": "o", "md5": None}):
        with pytest.raises(CanonError, match="o has no md5 in DVC's format"):
            list(stored_files(out, cache, None))
    (cache / MD5[:2] / f"{MD5[2:]}.dir").write_text('["a"]')
    with pytest.raises(CanonError, match="is no list of files in DVC's format"):
        list(stored_files({"path": "o", "md5": f"{MD5}.dir"}, cache, None))


def test_a_folder_may_be_given_by_absolute_path_or_as_the_root(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").write_text("a")
    assert hash_path(tmp_path, str(tmp_path / "data")).nfiles == 1
    assert hash_path(tmp_path, ".").nfiles == 1
