"""What we write of random declarations is DVC's own: its schema takes it, it loads it, and it means what was declared."""

from __future__ import annotations

import copy
import os
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from dvc import schema as dvc_schema
from dvc.repo import Repo
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from canon.dvc.render import build_document, local_sources, render_pipelines, resolve_document
from canon.model.errors import ProblemsError
from canon.model.pins import Pins
from canon.model.project import Pipeline, Project, load_declaration
from canon.model.settings import Settings
from canon.output.yaml import format_yaml, load_yaml
from tests.conftest import git

SETTINGS = Settings.model_validate({"default_profile": "local", "profiles": {"local": {}, "cluster": {}}})


WORD = st.from_regex(r"\A[a-z][a-z0-9_-]{0,6}\Z")
TEXT = st.one_of(
    WORD,
    st.sampled_from(
        ["on", "1e3", "0o17", "010", "a: b", "- x", "#", "é", "x\ny\n", "{a}", "'", "2020-01-01", "~", " x "]
    ),
)
META = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(TEXT, inner, max_size=2)),
    max_leaves=4,
)  # fmt: skip
FLAGS = {
    "desc": TEXT, "type": TEXT, "labels": st.lists(TEXT, max_size=2), "meta": META, "cache": st.booleans(), "persist": st.booleans(),
    "remote": WORD, "push": st.booleans(),
}  # fmt: skip
PLOT_FLAGS = {
    "template": WORD,
    "x": TEXT,
    "y": TEXT,
    "x_label": TEXT,
    "y_label": TEXT,
    "title": TEXT,
    "header": st.booleans(),
}
PODS = st.fixed_dictionaries(
    {},
    optional={
        "cpu": st.sampled_from([1, 0.5, "500m"]),
        "memory": st.just("1Gi"),
        "gpu": st.sampled_from([1, {"count": 2}]),
        "retries": st.sampled_from([0, {"limit": 3, "backoff": {"duration": "5s"}}]),
        "timeout": st.just("1h"),
        "env": st.just({"A": "b"}),
        "tolerations": st.just([{"key": "gpu", "operator": "Exists"}]),
    },
)


@st.composite
def outs(draw: st.DrawFn, prefix: str, *, plots: bool = False) -> list[Any]:
    flags = {**FLAGS, **(PLOT_FLAGS if plots else {})}
    items: list[Any] = []
    for index in range(draw(st.integers(0, 2))):
        path = f"{prefix}{index}.{draw(st.sampled_from(['csv', 'json', 'é', 'a b']))}"
        given_flags = draw(st.one_of(st.none(), st.fixed_dictionaries({}, optional=flags)))
        items.append(path if given_flags is None else {path: given_flags})
    return items


@st.composite
def stages(draw: st.DrawFn, name: str, inputs: list[str]) -> dict[str, Any]:
    """A stage with any of DVC's keys, in any order; its paths are relative to its `wdir`."""
    wdir = draw(st.sampled_from([None, ".", "src", "src/deep"]))
    up = posixpath.relpath(".", wdir) if wdir else "."
    here = [
        posixpath.normpath(posixpath.join(up, path))
        for path in draw(st.lists(st.sampled_from([*inputs, "code", "lib/x.py"]), unique=True))
    ]
    template = draw(st.sampled_from(["plain", "plain", "filled", "matrix", "foreach"]))
    member = {"plain": "", "filled": "${name}-${grid.a}", "matrix": "${key}", "foreach": "${item}"}[template]
    prefix = f"out/{name}/{member}"
    own: dict[str, Any] = {
        "wdir": wdir,
        "deps": draw(st.one_of(st.none(), st.just(here))),
        "params": draw(
            st.lists(
                st.sampled_from(["lr", "train.depth", {"conf/p.yaml": ["a", "b"]}, {"conf/q.json": None}]), max_size=3
            )
        ),
        "outs": draw(outs(f"{prefix}/o")),
        "metrics": draw(outs(f"{prefix}/m")),
        "plots": draw(outs(f"{prefix}/p", plots=True)),
        "frozen": draw(st.booleans()),
        "always_changed": draw(st.booleans()),
        "desc": draw(TEXT),
        "meta": draw(META),
        "pod": draw(PODS),
        "environment": draw(st.booleans()),
        "cmd": draw(st.one_of(TEXT, st.lists(TEXT, min_size=1, max_size=2))),
    }
    if template != "plain":
        own["vars"] = [{f"extra_{name}": draw(st.integers())}]
        own["cmd"] = f"run {member} \\${{HOME}}"
    if template == "matrix":
        own["matrix"] = {"a": draw(st.one_of(st.just("${grid.b}"), st.just([1, "on", 2.5]))), "b": [True, "x"]}
    kept = ["cmd", *draw(st.lists(st.sampled_from(sorted(set(own) - {"cmd", "wdir", "vars", "matrix"})), unique=True))]
    kept += [key for key in ("wdir", "vars", "matrix") if key in own]
    definition = {key: own[key] for key in draw(st.permutations(kept)) if own[key] is not None}
    if template == "foreach":
        return {"foreach": draw(st.sampled_from([[1, 2], ["a", "b"], "${grid.b}"])), "do": definition}
    return definition


@st.composite
def declarations(draw: st.DrawFn) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name in draw(st.lists(WORD.filter(lambda name: name not in {"sources", "profiles"}), max_size=3, unique=True)):
        data[name] = {
            "path": f"data/{name}",
            "from": {"local": draw(st.sampled_from(["samples/a.csv", "s3://bucket/a", "https://example.com/a"]))},
            "materialize": draw(st.booleans()),
        }
    declared: dict[str, Any] = {
        "name": "fuzz",
        "description": draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(lambda text: "{{" not in text)),
        "dvc_file": draw(st.sampled_from(["dvc.yaml", "src/dvc.yaml", "a/b/dvc.yaml"])),
        "data": data,
        "vars": [{"name": draw(WORD), "grid": {"a": 1, "b": ["x", "y"]}}],
        "stages": {name: draw(stages(name, [item["path"] for item in data.values()])) for name in draw(st.permutations(["one", "two", "three"]))},
        "metrics": ["m.json", "src/m.json"],
        "parameters": ["conf/p.yaml"],
        "plots": ["a.csv", {"src/b.csv": {"x": "a", "y": ["b", "c"]}}, {"two": {"y": {"c.csv": "a", "src/d.csv": ["b"]}}}, {"e.csv": None}],
        "artifacts": {"thing": {"path": "src/thing", "type": "model", "labels": ["a"], "meta": draw(META)}},
        "environment": draw(st.sampled_from([{"image": "python:3"}, {"requirements": "req/lock.txt"}, {"image": "a@sha256:b", "requirements": "r.txt"}])),
        "track": draw(st.booleans()),
        "workflow": {"group": "chain"},
    }  # fmt: skip
    optional = [
        "description",
        "dvc_file",
        "data",
        "metrics",
        "parameters",
        "plots",
        "artifacts",
        "environment",
        "track",
        "workflow",
    ]
    kept = {"name", "vars", "stages", *draw(st.lists(st.sampled_from(optional), unique=True))}
    return {key: declared[key] for key in draw(st.permutations(sorted(kept)))}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of Git and DVC with one source of data in it."""
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "-q")
    (folder / "samples").mkdir()
    (folder / "samples" / "a.csv").write_text("1\n")
    Repo.init(os.fspath(folder)).close()
    return folder


def project_of(root: Path, raw: Mapping[str, Any]) -> Project:
    declaration, read = load_declaration(format_yaml(raw), "pipelines/fuzz.yaml", SETTINGS)
    return Project(root, SETTINGS, (Pipeline("pipelines/fuzz.yaml", declaration, read, Pins()),))


FUZZ = settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)


@FUZZ
@given(raw=declarations())
def test_what_is_declared_is_kept_and_dvc_takes_the_rest(root: Path, raw: dict[str, Any]) -> None:
    project = project_of(root, raw)
    files = {file.path: file.text for file in render_pipelines(project)}
    assert files == {file.path: file.text for file in render_pipelines(project_of(root, copy.deepcopy(raw)))}
    file = raw.get("dvc_file", "dvc.yaml")
    emitted = load_yaml(files[file], file)
    dvc_schema.COMPILED_MULTI_STAGE_SCHEMA(copy.deepcopy(emitted))
    folder = posixpath.dirname(file)

    def at(path: str) -> str:
        return posixpath.normpath(posixpath.join(folder, path))

    own = [f"data-{name}" for name, data in raw.get("data", {}).items() if data["materialize"]]
    last = ["track"] if raw.get("track", True) else []
    assert list(emitted["stages"]) == [*own, *raw["stages"], *last]
    for name, stage in raw["stages"].items():
        found = emitted["stages"][name]
        if "do" in stage:
            assert found["foreach"] == stage["foreach"]
            stage, found = stage["do"], found["do"]  # noqa: PLW2901  a stage of a group
        check_stage(raw, stage, found, at)
    assert emitted["vars"] == raw["vars"]
    assert [at(path) for path in emitted.get("metrics", [])] == raw.get("metrics", [])
    assert [at(path) for path in emitted.get("params", [])] == raw.get("parameters", [])
    assert emitted.get("artifacts", {}).keys() == raw.get("artifacts", {}).keys()
    for name, artifact in raw.get("artifacts", {}).items():
        assert {**emitted["artifacts"][name], "path": artifact["path"]} == artifact
        assert at(emitted["artifacts"][name]["path"]) == artifact["path"]
    if "plots" in raw:
        flat, line, several, bare = emitted["plots"]
        assert (at(flat), {at(*line): line[next(iter(line))]}) == (raw["plots"][0], raw["plots"][1])
        assert {at(path): columns for path, columns in several["two"]["y"].items()} == raw["plots"][2]["two"]["y"]
        assert {at(path): plot for path, plot in bare.items()} == raw["plots"][3]


def check_stage(raw: Mapping[str, Any], stage: Mapping[str, Any], found: Mapping[str, Any], at: Any) -> None:
    """All that the user wrote is there, in the order in which it was written; what is more is Canon's."""
    wdir = stage.get("wdir") or "."
    assert at(found.get("wdir") or ".") == posixpath.normpath(wdir)
    written = {
        key: value for key, value in stage.items() if key not in {"pod", "environment", "wdir"} and value is not None
    }

    def seen(path: str) -> str:
        return posixpath.relpath(path, wdir)

    environment = raw.get("environment", {}) if stage.get("environment") is not False else {}
    deps, params = [], []
    if "requirements" in environment:
        deps.append(seen(environment["requirements"]))
    if "image" in environment:
        params.append({seen("pipelines/fuzz.environment.yaml"): ["environment.image"]})
    left = {seen(data["path"]): name for name, data in raw.get("data", {}).items() if not data["materialize"]}
    read = sorted(left[dep] for dep in written.get("deps", ()) if dep in left)
    if read:
        params.append({seen("pipelines/fuzz.pins.yaml"): read})
    kept = [dep for dep in written.get("deps", ()) if dep not in left]
    assert found.get("deps", []) == kept + deps
    assert found.get("params", []) == [*written.get("params", []), *params]
    order = [key for key in found if key in written and key not in {"deps", "params"}]
    assert order == [key for key in written if key not in {"deps", "params"}]
    assert {key: found[key] for key in order} == {key: written[key] for key in order}
    assert set(found) <= {*written, "wdir", "deps", "params"}


@settings(FUZZ, max_examples=12, phases=[Phase.reuse, Phase.generate])  # to shrink a failure would take minutes
@given(raw=declarations())
def test_dvc_loads_the_stages_that_we_think_it_does(root: Path, raw: dict[str, Any]) -> None:
    project = project_of(root, raw)
    (pipeline,) = project.pipelines
    written = render_pipelines(project)
    ours = {
        stage.name: stage
        for stage in resolve_document(root, pipeline, build_document(pipeline, local_sources(project, pipeline)))
    }
    try:
        for file in written:
            (root / file.path).parent.mkdir(parents=True, exist_ok=True)
            (root / file.path).write_text(file.text)
        with Repo(os.fspath(root)) as repo:
            theirs = {stage.name: stage for stage in repo.index.stages}
            assert set(theirs) - set(ours) == ({"track"} if raw.get("track", True) else set())
            for name, stage in ours.items():
                their = theirs[name]
                assert [their.cmd] == [list(stage.cmd) if isinstance(stage.cmd, tuple) else stage.cmd]
                assert Path(their.wdir) == (root / stage.folder)
                assert (their.frozen, their.always_changed) == (stage.frozen, stage.always_changed)
                assert {Path(out.fs_path) for out in their.outs} == {root / path for path in stage.out_paths}
                read = {root / path for path in stage.dep_paths} | {root / path for path, _ in stage.param_paths}
                assert {Path(dep.fs_path) for dep in their.deps} == read
                for dep in their.deps:
                    if hasattr(dep, "params"):
                        tracked = dict(stage.param_paths)[Path(dep.fs_path).relative_to(root).as_posix()]
                        assert set(dep.params) == set(tracked)
                for out, their_out in zip(
                    sorted(stage.outs, key=lambda out: out.path),
                    sorted(their.outs, key=lambda out: out.def_path),
                    strict=True,
                ):
                    assert (out.cache, out.persist, out.push) == (
                        their_out.use_cache,
                        their_out.persist,
                        their_out.can_push,
                    )
                    assert (out.kind == "metrics", out.kind == "plots") == (
                        bool(their_out.metric),
                        bool(their_out.plot),
                    )
            if "track" in theirs:
                seen = {Path(dep.fs_path) for dep in theirs["track"].deps}
                outs_of_all = {root / path for stage in ours.values() for path in stage.out_paths}
                assert all(path in seen or any(parent in seen for parent in path.parents) for path in outs_of_all)
    finally:
        for file in written:
            (root / file.path).unlink()


@settings(FUZZ, max_examples=8)
@given(raw=declarations())
def test_settings_of_pods_change_nothing_that_dvc_sees(root: Path, raw: dict[str, Any]) -> None:
    without = copy.deepcopy(raw)
    for stage in without["stages"].values():
        stage.pop("pod", None)
        stage.get("do", {}).pop("pod", None)
    without.pop("workflow", None)
    assert [file.text for file in render_pipelines(project_of(root, raw))] == [
        file.text for file in render_pipelines(project_of(root, without))
    ]


def test_a_literal_dollar_brace_stays_literal_in_the_last_stage(root: Path) -> None:
    project = project_of(root, {"name": "fuzz", "stages": {"a": {"cmd": "x", "outs": ["\\${a}.txt"]}}})
    (file,) = render_pipelines(project)
    assert load_yaml(file.text, "f")["stages"]["track"]["deps"] == ["\\${a}.txt"]


def test_an_environment_that_a_filled_in_folder_cannot_name_is_refused(root: Path) -> None:
    raw = {
        "name": "fuzz", "environment": {"requirements": "r.txt"}, "vars": [{"deep": "a/b", "flat": "a"}],
        "stages": {"one": {"cmd": "x", "wdir": "${flat}", "outs": ["o"]}, "two": {"cmd": "x", "wdir": "${deep}", "outs": ["o"]}},
    }  # fmt: skip
    with pytest.raises(
        Exception, match=r"stages\.two\.wdir: `\$\{deep\}` is a/b once it is filled in, from where r\.txt"
    ) as caught:
        render_pipelines(project_of(root, raw))
    assert "stages.one" not in str(caught.value)


@pytest.mark.parametrize("key", ["vars", "parameters", "metrics", "plots"])
def test_a_key_with_nothing_after_it_is_none(root: Path, key: str) -> None:
    raw = {"name": "fuzz", "stages": {"a": {"cmd": "x"}}}
    assert render_pipelines(project_of(root, {**raw, key: None})) == render_pipelines(project_of(root, raw))


@pytest.mark.parametrize(
    "changed",
    [{"data": {"raw": {"path": "${x}", "from": {"local": "a"}}}}, {"artifacts": {"a": {"path": "${x}/a"}}}, {"environment": {"requirements": "${x}"}}],
    ids=str,
)  # fmt: skip
def test_a_template_where_nobody_fills_it_in_is_refused(root: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(ProblemsError, match="is a template"):
        project_of(root, {"name": "fuzz", "vars": [{"x": "a"}], "stages": {"a": {"cmd": "x"}}, **changed})
