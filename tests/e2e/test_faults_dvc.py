"""DVC takes whatever is rendered: odd, but legal declarations, read by DVC itself and compared stage by stage."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from canon.adapters import render_project
from canon.dvc.render import resolve_pipeline
from canon.model.project import load_project
from canon.output.files import write_files
from tests.conftest import Run, git
from tests.e2e.faults import declare, write

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # pygtrie, below DVC

PARAMS = """\
lr: 1
models: {a: {x: 1}, b: {x: 2}}
list: [1, 2.5, c, true, null]
empty: []
nested: {deep: {er: 3}}
"""
LEGAL = {
    "names": 'a_b: {cmd: x}\na.b: {cmd: x}\né: {cmd: x}\na b: {cmd: x}\n-x: {cmd: x}\n"1": {cmd: x}\n"a*b\'c#": {cmd: x}\n"on": {cmd: x}',
    "commands": 'a: {cmd: [x, "y\\nz"]}\nb: {cmd: "1"}\nc: {cmd: "x\\n  y\\n"}\nd: {cmd: "#x: y"}\ne: {cmd: []}\nf: {cmd: "\\\\${HOME} $HOME"}',
    "wdir": 'a: {cmd: x, wdir: sub, deps: [i, ../j], outs: [o/]}\nb: {cmd: x, wdir: ., outs: [o]}\nc: {cmd: x, wdir: "sub${lr}", outs: [o]}',
    "foreach": 'a: {foreach: {x: {v: 1}, y: {v: 2}}, do: {cmd: "${item.v} ${key}", outs: ["a${key}"]}}\n'
    'b: {foreach: [{v: 1}, {v: 2}], do: {cmd: "x ${item.v}", wdir: sub, outs: ["b${item.v}"]}}\nc: {foreach: "${models}", do: {cmd: "x ${item.x}"}}\n'
    'd: {foreach: [], do: {cmd: x}}\ne: {foreach: "${empty}", do: {cmd: x}}\nf: {foreach: [1, 2.5, "c d", true, null, a/b, "a:b", é], do: {cmd: "x ${item}"}}\n'
    "g: {foreach: [1, 1], do: {cmd: x}}",
    "matrix": 'a: {matrix: {m: [a, b], n: [1, 2.5]}, cmd: "${item.m} ${item.n}", outs: ["a/${key}"]}\nb: {matrix: {m: []}, cmd: x}\n'
    'c: {matrix: {m: "${list}"}, cmd: "x ${item.m}"}\nd: {matrix: {m: abc}, cmd: "x ${item.m}"}\ne: {matrix: {m: [{x: 1}, [1, 2]]}, cmd: x}',
    "params": "a: {cmd: x, params: [lr, nested.deep.er, {params/toy.yaml: [train.lr]}, {x.toml: null}, {y.json: []}]}\n"
    "b: {cmd: x, params: [{params.yaml: [lr], params/toy.yaml: [train]}, lr, {}]}\nc: {cmd: x, params: [], deps: [], outs: [], metrics: [], plots: []}",
    "outs": "a: {cmd: x, outs: [{o: {cache: false, persist: true, desc: d, type: t, labels: [l], meta: {a: 1}, push: true}}, {p: {}, q: {cache: false}}, {}]}\n"
    "b: {cmd: x, metrics: [{m: {cache: false}}, n/], plots: [{r: {x: a, y: b, template: linear, title: t, header: false, x_label: x, y_label: y}}]}\n"
    'c: {cmd: x, outs: ["é/ü b", "c\'d", "#e", "!f", "*g", "[h]", -i, "~", a%b, "a$b", "1.5", "on", "null", "0x1", "1e3", "a ", "a\\\\b"]}',
    "flags": "a: {cmd: x, always_changed: true, frozen: true, desc: d, meta: {a: [1, {b: null}]}}\nb: {cmd: x, desc: null, meta: null, deps: null, outs: null, wdir: null}",
    "deps": 'a: {cmd: x, deps: [i, "s3://b/x", "https://e.x/y", "1", "1.5", "true", "null", "~x"], outs: [o]}\nb: {cmd: x, deps: [o/p, ./q], outs: [r]}',
    "templated keys": 'a: {cmd: x, outs: [{"o${lr}": {cache: false}}], params: [{"params.yaml": ["nested.deep"]}]}\nb: {cmd: "x ${nested}", vars: [{z: 3}], outs: ["o${z}"]}',
}
HEADS = {
    "vars": 'vars: [{a: 1, b: {c: [1, 2]}}, params/toy.yaml]\nplots: [p.csv, {q.csv: {x: a, y: b}}, {my id: {x: a, y: {q.csv: [a, b], r.csv: c}}}, {n: null}]\n'
    'metrics: ["m${lr}.json"]\nparameters: [params.yaml]\nartifacts: {m1: {path: o, type: model, desc: d, labels: [a], meta: {x: 1}}}\n'
    "datasets: [{name: x, url: s3://b/x, type: url}]\n",
    "description": 'description: "one\\ntwo: {\\a} --- # é\\u0085three"\n',
    "empty": "vars: []\nplots: []\nmetrics: []\nartifacts: {}\n",
    "environment": "environment: {image: x, requirements: requirements.lock}\n",
    "data": "data: {raw: {path: raw.csv, from: {local: data/source.csv}}, there: {path: there, materialize: false, from: {local: data}}}\n",
}  # fmt: skip


def compare(root: Path) -> None:
    """What Canon resolves is what DVC loads of the file that was rendered."""
    from dvc.repo import Repo

    project = load_project(root)
    write_files(root, render_project(project))
    ours = [stage for pipeline in project.pipelines for stage in resolve_pipeline(project, pipeline)[1]]
    with Repo(os.fspath(root)) as repo:
        assert repo.index.graph is not None
        theirs = {stage.addressing: stage for stage in repo.index.stages}
        assert {stage.name if stage.file == "dvc.yaml" else f"{stage.file}:{stage.name}" for stage in ours} == set(
            theirs
        )
        for stage in ours:
            loaded = theirs[stage.name if stage.file == "dvc.yaml" else f"{stage.file}:{stage.name}"]
            assert loaded.cmd == (stage.cmd if isinstance(stage.cmd, str) else list(stage.cmd))
            assert Counter(out.def_path for out in loaded.outs) == Counter(out.path for out in stage.outs)
            plain = {dep.def_path for dep in loaded.deps if not getattr(dep, "params", None) is not None}
            assert plain == set(stage.deps)


@pytest.fixture
def empty_toy(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project without its pipeline, and with params to fill in."""
    (toy / "dvc.yaml").unlink()
    write(toy, "params.yaml", PARAMS)
    monkeypatch.chdir(toy)
    return toy


@pytest.mark.parametrize(
    ("name", "folder"),
    [*((name, "") for name in LEGAL), *((name, "sub/") for name in ("wdir", "foreach", "outs", "templated keys"))],
)
def test_dvc_loads_odd_stages_as_they_were_meant(empty_toy: Path, name: str, folder: str) -> None:
    declare(empty_toy, LEGAL[name], head=f"dvc_file: {folder}dvc.yaml\n" + ("vars: [params.yaml]\n" if folder else ""))
    compare(empty_toy)


@pytest.mark.parametrize("name", HEADS)
def test_dvc_loads_what_stands_beside_the_stages(empty_toy: Path, name: str) -> None:
    declare(
        empty_toy,
        "a: {cmd: x, deps: [raw.csv, there], outs: [o]}\nb: {cmd: x, wdir: sub, environment: false, deps: [../o]}",
        head=HEADS[name],
    )
    compare(empty_toy)


def test_dvcs_commands_have_nothing_to_say_about_it(empty_toy: Path, run: Run) -> None:
    (empty_toy / "pipelines/toy.yaml").unlink()
    for number, name in enumerate(("names", "commands", "flags", "params", "foreach")):  # no two of them write one file
        head = f"dvc_file: p{number}/dvc.yaml\nvars: [params.yaml]\ntrack: false\n"
        declare(empty_toy, LEGAL[name], head=head, name=f"p{number}")
    assert len(run(empty_toy, "canon", "render").stdout.split()) == 5
    git(empty_toy, "add", "--all")
    listed = run(empty_toy, "dvc", "stage", "list", "--all", "--name-only")
    drawn = run(empty_toy, "dvc", "dag", "--dot")
    assert "ERROR" not in listed.stderr + drawn.stderr
    assert {"p0/dvc.yaml:é", "p1/dvc.yaml:f", "p4/dvc.yaml:f@a/b"} <= set(listed.stdout.splitlines())
