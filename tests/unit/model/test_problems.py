from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from canon.model.declaration import Declaration
from canon.model.errors import CanonError, Problem, ProblemsError, UsageError, listed
from canon.model.problems import format_place, locate_toml, locate_yaml
from canon.model.project import declaration_files, load_declaration, load_project, load_settings
from canon.model.root import find_root
from canon.model.settings import Settings
from canon.output.yaml import compose_yaml

SETTINGS = Settings.model_validate({"default_profile": "local", "profiles": {"local": {}, "cluster": {}}})
GOOD = "name: co2\nstages:\n  train:\n    cmd: x\n"


def problems_of(text: str, file: str = "pipelines/co2.yaml") -> tuple[Problem, ...]:
    with pytest.raises(ProblemsError) as caught:
        load_declaration(text, file, SETTINGS)
    return caught.value.problems


def with_stage(line: str) -> str:
    return GOOD + f"    {line}\n"


@pytest.mark.parametrize(
    ("text", "line", "path", "message", "remedy"),
    [
        # unknown keys, the nearest known one named
        (with_stage("dep: [a]"), 5, "stages.train.dep", "unknown key `dep`", "did you mean `deps`?"),
        (with_stage("comand: x"), 5, "stages.train.comand", "unknown key `comand`", "did you mean `cmd`?"),
        (with_stage("pod: {memori: 1Gi}"), 5, "stages.train.pod.memori", "unknown key", "did you mean `memory`?"),
        (with_stage("pod: {gpu: {cound: 1}}"), 5, "stages.train.pod.gpu.cound", "unknown key", "did you mean `count`?"),
        (with_stage("outs: [{a: {cach: true}}]"), 5, "stages.train.outs[0].a.cach", "unknown key", "did you mean `cache`?"),
        (with_stage("plots: [{a: {titel: b}}]"), 5, "stages.train.plots[0].a.titel", "unknown key", "did you mean `title`?"),
        (with_stage("foreach: [1]\n    do: {cmd: x}"), 4, "stages.train.cmd", "unknown key `cmd`", "known keys here: do, foreach"),
        (GOOD + "stage: {}\n", 5, "stage", "unknown key `stage`", "did you mean `stages`?"),
        (GOOD + "qqq: 1\n", 5, "qqq", "unknown key `qqq`", "known keys here: artifacts, data,"),
        (GOOD + "enviroment: {}\n", 5, "enviroment", "unknown key", "did you mean `environment`?"),
        (GOOD + "data: {raw: {path: a, form: {local: b}}}\n", 5, "data.raw.form", "unknown key `form`", "did you mean `from`?"),
        (GOOD + "deploy: {a: {namespace: b, replica: 1}}\n", 5, "deploy.a.replica", "unknown key", "did you mean `replicas`?"),
        (GOOD + "1: a\n", 5, "1", "the key should be a text, not 1", "put quotes around"),
        # missing
        ("name: co2\n", 1, "stages", "the key `stages` is missing", "add the key"),
        ("stages: {a: {cmd: x}}\n", 1, "name", "the key `name` is missing", "add the key"),
        ("name: co2\nstages:\n  a:\n    deps: [x]\n", 3, "stages.a.cmd", "the key `cmd` is missing", "add the key"),
        ("name: co2\nstages:\n  a: {foreach: [1]}\n", 3, "stages.a.do", "the key `do` is missing", "add the key"),
        (GOOD + "data: {raw: {path: a}}\n", 5, "data.raw.from", "the key `from` is missing", "add the key"),
        # wrong types
        (GOOD + "track: yes\n", 5, "track", "should be a valid boolean, not 'yes'", "write true or false"),
        (with_stage("frozen: 1"), 5, "stages.train.frozen", "should be a valid boolean, not 1", "write true or false"),
        (with_stage("deps: a.py"), 5, "stages.train.deps", "should be a list, not 'a.py'", "lines that begin with `- `"),
        (with_stage("deps: [1]"), 5, "stages.train.deps[0]", "should be a text, not 1", "put quotes around"),
        (with_stage("outs: [3]"), 5, "stages.train.outs[0]", "should be a text, not 3", "put quotes around"),
        (with_stage("outs: [[a]]"), 5, "stages.train.outs[0]", "should be a text", "put quotes around"),
        (with_stage("outs: [{a: b}]"), 5, "stages.train.outs[0].a", "should be a mapping", "`key: value` lines"),
        (with_stage("matrix: [1]"), 5, "stages.train.matrix", "should be a mapping", "`key: value` lines"),
        (with_stage("matrix: {lr: 0.1}"), 5, "stages.train.matrix.lr", "should be a list, not 0.1", "lines that begin with `- `"),
        ("name: co2\nstages:\n  a: {foreach: 3, do: {cmd: x}}\n", 3, "stages.a.foreach", "should be a list, not 3", "lines that begin with `- `"),
        (with_stage("pod: {cpu: 0}"), 5, "stages.train.pod.cpu", "should be greater than 0, not 0", "more than 0"),
        (with_stage("pod: {retries: 1000}"), 5, "stages.train.pod.retries", "should be less than or equal to 100, not 1000", "at most 100"),
        (with_stage("pod: {retries: -1}"), 5, "stages.train.pod.retries", "should be greater than or equal to 0, not -1", "at least 0"),
        (with_stage("pod: {retries: 1.5}"), 5, "stages.train.pod.retries", "should be a valid integer", "write a whole number"),
        (with_stage("pod: {cpu: .nan}"), 5, "stages.train.pod.cpu", "", "number"),
        (with_stage("pod: []"), 5, "stages.train.pod", "should be a mapping", "`key: value` lines"),
        (GOOD + "stages2: []\n", 5, "stages2", "unknown key", "did you mean `stages`?"),
        ("name: co2\nparams: [p.yaml]\nstages: {a: {cmd: x}}\n", 2, "params", "should be a mapping", "is called `parameters` here"),
        ("name: co2\nstages: []\n", 2, "stages", "should be a mapping", "`key: value` lines"),
        ("name: co2\nstages: {}\n", 2, "stages", "at least 1 item", "add at least one"),
        ("name: co2\nstages:\n  a: x\n", 3, "stages.a", "should be a mapping", "`key: value` lines"),
        ("name: co2\nstages: {1: {cmd: x}}\n", 2, "stages.1", "should be a text, not 1", "put quotes around"),
        (GOOD + "plots: [{a: {y: 3}}]\n", 5, "plots[0].a.y", "should be a text, not 3", "put quotes around"),
        (GOOD + "artifacts: {a: b}\n", 5, "artifacts.a", "should be a mapping", "`key: value` lines"),
        # forms and limits
        ("name: CO2\nstages: {a: {cmd: x}}\n", 1, "name", "should have another form, not 'CO2'", "small letters"),
        (f"name: {'a' * 41}\nstages: {{a: {{cmd: x}}}}\n", 1, "name", "should have at most 40 characters", "shorter"),
        (with_stage("cmd2: ''"), 5, "stages.train.cmd2", "unknown key", "did you mean `cmd`?"),
        ("name: co2\nstages: {a: {cmd: ''}}\n", 2, "stages.a.cmd", "should have at least 1 character, not ''", "write something"),
        (with_stage("pod: {memory: 1 GB}"), 5, "stages.train.pod.memory", "should have another form, not '1 GB'", "`512Mi`"),
        (with_stage("pod: {timeout: 1 hour}"), 5, "stages.train.pod.timeout", "should have another form, not '1 hour'", "`1h30m`"),
        (with_stage("pod: {env: {1A: b}}"), 5, "stages.train.pod.env.1A", "should have another form", "variable"),
        (with_stage("pod: {volumes: [{mount: a}]}"), 5, "stages.train.pod.volumes[0].mount", "should have another form", "/"),
        (with_stage("pod: {tolerations: [{effect: x}]}"), 5, "stages.train.pod.tolerations[0].effect", "should be", "write 'NoSchedule'"),
        (GOOD + "dvc_file: a.yaml\n", 5, "dvc_file", "should have another form, not 'a.yaml'", "dvc.yaml"),
        (GOOD + "workflow: {group: all}\n", 5, "workflow.group", "should be 'chain', not 'all'", "write 'chain'"),
        (GOOD + "triggers: {schedule: {cron: daily, profile: cluster}}\n", 5, "triggers.schedule.cron", "should have another form", "five fields"),
        (GOOD + "triggers: {push: {'a b': cluster}}\n", 5, "triggers.push.a b", "should have another form", "branch"),
        (GOOD + "deploy: {A: {namespace: b}}\n", 5, "deploy.A", "should have another form", "small letters"),
        (GOOD + "deploy: {a: {namespace: b, gates: [rmse]}}\n", 5, "deploy.a.gates[0]", "should have another form, not 'rmse'", "METRIC <= NUMBER"),
        (GOOD + "environment: {image: a b}\n", 5, "environment.image", "should have another form", "white space"),
        (GOOD + "data: {a.b: {path: a, from: {local: b}}}\n", 5, "data.a.b", "should have another form", "letters, digits"),
        # what contradicts itself
        (GOOD.replace("co2", "co3"), 1, "name", "the pipeline is called `co3`, its file `co2`", "write `name: co2`"),
        (GOOD + "params: {gpu: a.yaml}\n", 5, "params.gpu", "there is no profile `gpu`", "[tool.canon.profiles.gpu]"),
        (GOOD + "data: {raw: {path: a, from: {cluster: b}}}\n", 5, "data.raw.from", "no source for the default profile `local`", "`local: PATH-OR-URL`"),
        (GOOD + "data: {sources: {path: a, from: {local: b}}}\n", 5, "data.sources", "`sources` is a key of the pins file itself", "rename"),
        ("name: co2\nstages: {track: {cmd: x}}\n", 2, "stages.track", "Canon generates a stage of this name", "rename the stage"),
        ("name: co2\nstages: {a@b: {cmd: x}}\n", 2, "stages.a@b", "DVC does not allow the stage name 'a@b'", "use letters"),
        (GOOD + "artifacts: {a: {path: ../b}}\n", 5, "artifacts.a.path", "`../b` leaves the repository", "below the repository's root"),
        (GOOD + "serving: {artifact: a}\n", 5, "serving.artifact", "there is no artifact `a`", "declare it"),
        (GOOD + "description: 'a {{x}}'\n", 5, "description", "`{{` would be expanded", "remove it"),
        (with_stage("pod: {env: {A: '{{x}}'}}"), 5, "stages.train.pod.env.A", "`{{` would be expanded", "remove it"),
        (GOOD + "dvc_file: ./a//dvc.yaml\n", 5, "dvc_file", "is not written plainly", "write `a/dvc.yaml`"),
        # no declaration at all
        ("", 1, "", "is no mapping", "begin with `name:`"),
        ("- a\n", 1, "", "is no mapping", "begin with `name:`"),
        ("a: [\n", 2, "", "is not YAML", "mend the line"),
    ],
)  # fmt: skip
def test_a_mistake_gives_one_problem_with_line_path_and_remedy(text: str, line: int, path: str, message: str, remedy: str) -> None:  # fmt: skip
    problems = problems_of(text)
    assert [(problem.line, problem.path) for problem in problems] == [(line, path)], problems
    assert problems[0].file == "pipelines/co2.yaml"
    assert message in problems[0].message
    assert remedy in problems[0].remedy
    # the words of pydantic's own machinery mean nothing to a user
    for word in ("Input", "pydantic", "dictionary", "tuple", "instance", "<text>", "<mapping>", "str_type"):
        assert word not in str(problems[0])


def test_all_mistakes_of_a_file_are_said_at_once_in_the_order_of_lines() -> None:
    text = "name: CO2\ntrak: true\nstages:\n  a:\n    deps: x\n    cmd: 3\n  b: {}\nworkflow: {paralelism: 1}\n"
    assert [(problem.line, problem.path) for problem in problems_of(text)] == [
        (1, "name"), (2, "trak"), (5, "stages.a.deps"), (6, "stages.a.cmd"), (7, "stages.b.cmd"), (8, "workflow.paralelism"),
    ]  # fmt: skip


def kinds_of(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("type"), str):
            yield schema["type"]
        for item in schema.values():
            yield from kinds_of(item)
    elif isinstance(schema, list | tuple):
        for item in schema:
            yield from kinds_of(item)


def test_the_list_of_mistakes_knows_every_kind_of_field() -> None:
    """A new kind of field gives new kinds of errors: add a case above, and a remedy."""
    known = {
        *("model", "model-fields", "model-field", "default", "nullable", "dict", "tuple", "list", "str", "int", "float", "bool", "any"),
        *("literal", "tagged-union", "definitions", "definition-ref", "union"),
    }  # fmt: skip
    models: list[type[BaseModel]] = [Declaration, Settings]
    found = {kind for model in models for kind in kinds_of(model.__pydantic_core_schema__)}
    assert found - known == set()


@pytest.mark.parametrize(
    ("table", "line", "path", "message", "remedy"),
    [
        ("", 0, "tool.canon.default_profile", "is missing", "add the key"),
        ('default_profile = "gpu"\n[tool.canon.profiles.local]\n', 2, "tool.canon.default_profile", "there is no profile `gpu`", "[tool.canon.profiles.gpu]"),
        ('default_profile = "local"\ntools = "x"\n[tool.canon.profiles.local]\n', 3, "tool.canon.tools", "unknown key `tools`", "did you mean `tools_image`?"),
        ('default_profile = "local"\n[tool.canon.profiles.local]\nremot = "a"\n', 4, "tool.canon.profiles.local.remot", "unknown key", "did you mean `remote`?"),
        ('default_profile = "local"\nexecutor = "x"\n[tool.canon.profiles.local]\n', 3, "tool.canon.executor", "should be", "write 'patch'"),
        ("default_profile = 1\n[tool.canon.profiles.local]\n", 2, "tool.canon.default_profile", "should be a text, not 1", "put quotes"),
        ('default_profile = "local"\n[tool.canon.profiles]\nlocal = {namespace = "A B"}\n', 4, "tool.canon.profiles.local.namespace", "another form, not 'A B'", "small letters"),
        ('default_profile = "local"\nprofiles = {}\n', 3, "tool.canon.profiles", "at least 1 item", "add at least one"),
        ("default_profile = \n", 0, "", "is not TOML", "mend the line"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_settings_is_said_with_its_line(
    tmp_path: Path, table: str, line: int, path: str, message: str, remedy: str
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.canon]\n" + table)
    with pytest.raises(ProblemsError) as caught:
        load_settings(tmp_path)
    problem = {each.path: each for each in caught.value.problems}[path]
    assert (problem.file, problem.line or line) == ("pyproject.toml", line or problem.line)
    assert message in problem.message
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    ("place", "line"),
    [((), 1), (("a",), 1), (("b",), 2), (("b", "c"), 3), (("b", "c", 1, "d"), 5), (("b", "c", 0), 4), (("b", "x"), 2), (("x",), 1), (("b", "c", 9), 3), (("b", "9", 1), 6), (("b", 9), 6)],
)  # fmt: skip
def test_a_place_in_yaml_has_the_line_of_the_deepest_key_on_the_way(place: tuple[str | int, ...], line: int) -> None:
    text = "a: 1\nb:\n  c:\n    - 1\n    - d: 2\n  9: [3]\n"
    assert locate_yaml(compose_yaml(text, "f"), place) == line


def test_a_place_in_an_empty_document_has_no_line() -> None:
    assert locate_yaml(compose_yaml("# nothing\n", "f"), ("a",)) == 0


TOML = """\
[project]
name = "x"  # [tool.canon]
text = '''
default_profile = "no"
[tool.canon.profiles.local]
'''

[tool.canon] # here
default_profile = "local"
git = { url = "u", branch = "b" }
"quoted.key" = 1
[tool.canon.profiles.local]
remote = "r"
[tool.canon.profiles."a.b"]
mlflow = "m"

[tool.canon.profiles.cluster]
tags = [
  "remote = 1",
]
remote = "s"
[[tool.other]]
remote = "t"
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("default_profile",), 9), (("git",), 10), (("git", "branch"), 10), (("profiles", "local"), 12), (("profiles", "local", "remote"), 13),
        (("profiles", "a.b", "mlflow"), 15), (("profiles", "cluster", "remote"), 21), (("profiles", "cluster", "x"), 17), (("nothing",), 8),
        (("quoted.key",), 11),
    ],
)  # fmt: skip
def test_a_place_in_toml_has_the_line_of_its_key_or_of_the_table_around_it(place: tuple[str, ...], line: int) -> None:
    tomllib.loads(TOML)
    assert locate_toml(TOML, ("tool", "canon", *place)) == line


def test_a_place_that_toml_does_not_hold_has_no_line() -> None:
    assert locate_toml("a = 1\n", ("tool", "canon")) == 0


def test_a_place_is_written_with_dots_and_brackets() -> None:
    assert format_place(("stages", "train", "deps", 0)) == "stages.train.deps[0]"
    assert format_place(()) == ""
    assert format_place((0, "a")) == "[0].a"
    assert format_place((1,)) == "[1]"


def test_a_problem_in_one_line_and_its_remedy_in_the_next() -> None:
    assert (
        str(Problem("a.yaml", "is wrong", path="b.c", line=3, remedy="mend it"))
        == "a.yaml:3: b.c: is wrong\n    remedy: mend it"
    )
    assert str(Problem("a.yaml", "is wrong")) == "a.yaml: is wrong"
    assert (CanonError("x").exit_code, UsageError("x").exit_code) == (1, 2)
    assert listed([*"abcdefg"]) == "a, b, c, d, e and 2 more"
    assert listed([*"abc"]) == "a, b, c"


def write_project(root: Path, **declarations: str) -> None:
    (root / "pyproject.toml").write_text('[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n')
    (root / "pipelines").mkdir()
    for name, text in declarations.items():
        (root / "pipelines" / f"{name}.yaml").write_text(text)


def test_the_problems_of_all_files_are_said_at_once(tmp_path: Path) -> None:
    write_project(tmp_path, one="name: one\n", two="name: two\nstages: 3\n", three="name: three\nstages: {a: {cmd: x}}\n", four="name: four\nstages: {a: {cmd: x}}\n")  # fmt: skip
    with pytest.raises(ProblemsError) as caught:
        load_project(tmp_path)
    assert [(problem.file, problem.path) for problem in caught.value.problems] == [
        ("pipelines/one.yaml", "stages"), ("pipelines/two.yaml", "stages"), ("pipelines/three.yaml", "dvc_file"),
    ]  # fmt: skip
    assert "dvc_file: pipelines/three/dvc.yaml" in caught.value.problems[-1].remedy


def test_a_project_is_found_from_a_folder_below_and_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CanonError, match=r"`canon init` .* adds `\[tool.canon\]`"):
        find_root(tmp_path)
    write_project(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(CanonError, match=r"`canon init` .* adds `\[tool.canon\]`"):
        find_root(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n')
    assert find_root(tmp_path / "pipelines") == tmp_path
    with pytest.raises(CanonError, match="there is no declaration"):
        load_project(tmp_path)
    (tmp_path / "pipelines" / "a.yaml").write_text("name: a\nstages: {a: {cmd: x}}\n")
    for other in ("a.pins.yaml", "a.environment.yaml", ".b.yaml", "c.yml"):
        (tmp_path / "pipelines" / other).write_text("")
    assert declaration_files(tmp_path) == ("pipelines/a.yaml",)
    assert [pipeline.name for pipeline in load_project(tmp_path).pipelines] == ["a"]
    with pytest.raises(CanonError, match=r"there is no pipeline `b` in pipelines/ \(there is: none\)"):
        load_project(tmp_path, ["b"])
    (tmp_path / "pipelines" / "a.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(CanonError, match="not UTF-8 text"):
        load_project(tmp_path)
