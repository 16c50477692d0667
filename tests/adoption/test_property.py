"""Any stages that DVC's schema takes, and DVC loads, are adopted to the same stages: random ones, written in several ways."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from dvc import schema as dvc_schema
from dvc.repo import Repo
from dvc.utils.serialize import dumps_yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.adoption.loaded import adopted, loaded
from tests.adoption.shapes import FILES
from tests.e2e.projects import write

WORD = st.from_regex(r"\A[a-z][a-z0-9_-]{0,6}\Z")
TEXT = st.one_of(WORD, st.sampled_from(["on", "1e3", "0o17", "010", "a: b", "- x", "#", "é", "x\ny\n", "{a}", "'", '"', "2020-01-01", "~", " x ", "", "\\${a}", "a # b"]))  # fmt: skip
CMD = TEXT.filter(lambda text: text != "")
META = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(TEXT, inner, max_size=2)),
    max_leaves=4,
)  # fmt: skip
ANNOTATIONS = {"desc": TEXT, "type": TEXT, "labels": st.lists(TEXT, max_size=2), "meta": META}
FLAGS = {**ANNOTATIONS, "cache": st.booleans(), "persist": st.booleans(), "checkpoint": st.booleans(), "remote": WORD, "push": st.booleans()}  # fmt: skip
PLOT_FLAGS = {**FLAGS, "template": WORD, "x": TEXT, "y": TEXT, "x_label": TEXT, "y_label": TEXT, "title": TEXT, "header": st.booleans()}  # fmt: skip
COLUMNS = st.one_of(TEXT, st.lists(TEXT, max_size=2))
PATH = st.sampled_from(["p.csv", "./p.csv", "deep/p.csv", "deep/../q.csv", "${fill}.csv", "../p.csv", "deep/"])
PLOT = st.fixed_dictionaries(
    {},
    optional={
        "x": st.one_of(TEXT, st.dictionaries(PATH, TEXT, min_size=1, max_size=2)),
        "y": st.one_of(TEXT, st.lists(TEXT, max_size=2), st.dictionaries(PATH, COLUMNS, min_size=1, max_size=2)),
        "x_label": TEXT,
        "title": TEXT,
        "template": WORD,
    },
)


@st.composite
def out_lists(draw: st.DrawFn, prefix: str, flags: dict[str, Any]) -> list[Any]:
    items: list[Any] = []
    for index in range(draw(st.integers(0, 2))):
        path = f"{draw(st.sampled_from(['', './', 'o/']))}{prefix}{index}{draw(st.sampled_from(['.csv', '.é', ' b', '/']))}"
        given_flags = draw(st.one_of(st.none(), st.fixed_dictionaries({}, optional=flags)))
        items.append(path if given_flags is None else {path: given_flags})
    return items


@st.composite
def stages(draw: st.DrawFn, name: str) -> dict[str, Any]:
    kind = draw(st.sampled_from(["plain", "plain", "filled", "matrix", "foreach"]))
    member = {"plain": "", "filled": "${fill}", "matrix": "${key}", "foreach": "${key}"}[kind]
    own: dict[str, Any] = {
        "wdir": draw(st.sampled_from([".", "deep", "./deep", "deep/..", "..", "deep/${fill}/..", "${fill}"])),
        "deps": draw(st.lists(st.sampled_from(["data.txt", "src", "../x", "/etc/hostname", "s3://b/k", "${fill}.txt", "./src/a.py"]), unique=True)),
        "params": draw(st.lists(st.sampled_from(["lr", "model.depth", {"conf/p.json": ["a"]}, {"conf/p.toml": None}, {"params.yaml": ["sizes"]}]), max_size=3)),
        "outs": draw(out_lists(f"{name}{member}o", FLAGS)), "metrics": draw(out_lists(f"{name}{member}m", FLAGS)),
        "plots": draw(out_lists(f"{name}{member}p", PLOT_FLAGS)),
        "frozen": draw(st.booleans()), "always_changed": draw(st.booleans()), "desc": draw(TEXT), "meta": draw(META),
        "vars": draw(st.lists(st.just({f"own_{name}": {"a": draw(META)}}), max_size=1)),
    }  # fmt: skip
    kept = draw(st.lists(st.sampled_from(sorted(own)), unique=True))
    definition = {"cmd": draw(st.one_of(CMD, st.lists(CMD, min_size=1, max_size=2))), **{key: own[key] for key in kept}}
    definition = {key: definition[key] for key in draw(st.permutations(list(definition)))}
    if kind == "matrix":
        definition["matrix"] = {
            "a": draw(st.one_of(st.just("${sizes}"), st.just([1, "on", 2.5]))),
            "b": [True, {"x": 1}],
        }
    if kind == "foreach":
        return {
            "foreach": draw(st.sampled_from([[1, 2], ["a", "b"], "${sizes}", "${grid}", {"k": {"v": 1}, "l": 2}])),
            "do": definition,
        }
    return definition


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.one_of(WORD, st.sampled_from(["a b", "é/x", "a:b", "1", "track", "data-x", "on"])), min_size=1, max_size=3, unique=True))  # fmt: skip
    whole: dict[str, Any] = {
        "vars": [{"fill": "deep"}, *draw(st.lists(st.sampled_from(["./conf/more.yaml", "conf/more.yaml:extra"]), max_size=1))],
        "metrics": draw(st.lists(PATH, max_size=2)), "params": draw(st.lists(PATH, max_size=2)),
        "plots": draw(st.lists(st.one_of(PATH, st.dictionaries(st.one_of(PATH, TEXT), st.one_of(st.none(), PLOT), min_size=1, max_size=1)), max_size=3)),
        "artifacts": draw(st.dictionaries(WORD, st.fixed_dictionaries({"path": st.sampled_from(["deep/a", "./a", "b"])}, optional=ANNOTATIONS), max_size=2)),
    }  # fmt: skip
    kept = [
        "vars",
        "stages",
        *draw(st.lists(st.sampled_from(["metrics", "params", "plots", "artifacts"]), unique=True)),
    ]
    whole["stages"] = {name: draw(stages(f"s{index}")) for index, name in enumerate(names)}
    return {key: whole[key] for key in draw(st.permutations(kept))}


WRITERS = {
    "ruamel": dumps_yaml,
    "json": lambda document: json.dumps(document, ensure_ascii=False),
    "windows": lambda document: dumps_yaml(document).replace("\n", "\r\n"),
    "comments": lambda document: "# first\n---\n" + dumps_yaml(document).replace("\nstages:\n", "\nstages: # all\n# of them\n"),
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository") / "project"
    folder.mkdir()
    Repo.init(os.fspath(folder), no_scm=True).close()
    for place in ("", "sub", "sub/a b"):
        write(folder / place, FILES)
    return folder


def check(root: Path, document: dict[str, Any], writer: str, place: str) -> bool:
    """Tell whether DVC loads it; then what it loads stays."""
    file = root / place / "dvc.yaml"
    try:
        dvc_schema.COMPILED_MULTI_STAGE_SCHEMA(copy.deepcopy(document))
        file.write_bytes(WRITERS[writer](document).encode())
        try:
            before = loaded(root)
        except Exception:  # noqa: BLE001  whatever DVC ends with: it loads no such file
            return False
        (done,) = adopted(root).adopted
        assert loaded(root) == before
        assert done.stages == len(before) - 1
        return True
    finally:
        file.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(root / "pipelines")


FUZZ = settings(
    max_examples=12,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate],  # to shrink a failure would take minutes
)  # fmt: skip
CASES = {"document": documents(), "writer": st.sampled_from(sorted(WRITERS)), "place": st.sampled_from(["", "sub", "sub/a b"])}  # fmt: skip


@FUZZ
@given(**CASES)
def test_random_stages_are_adopted_to_what_dvc_loads_before(
    root: Path, document: dict[str, Any], writer: str, place: str
) -> None:
    check(root, document, writer, place)


@pytest.mark.soak
@settings(FUZZ, max_examples=300)
@given(**CASES)
def test_many_random_stages_are_adopted_to_what_dvc_loads_before(
    root: Path, document: dict[str, Any], writer: str, place: str
) -> None:
    check(root, document, writer, place)


def test_most_random_stages_are_such_that_dvc_loads_them(root: Path) -> None:
    taken: list[bool] = []

    @settings(FUZZ, max_examples=10, database=None, derandomize=True)
    @given(**CASES)
    def count(document: dict[str, Any], writer: str, place: str) -> None:
        taken.append(check(root, document, writer, place))

    count()
    assert sum(taken) >= len(taken) / 2
