"""A DVC project that knew nothing of Canon: declared as it is, its dvc.lock stays what it was."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import Run, once
from tests.e2e.projects import call, write

DVC_YAML = """\
vars:
  - conf/more.yaml
  - extra: 5
stages:
  prep:
    cmd:
      - mkdir -p out
      - cp data/raw.txt out/p.txt
    deps: [data/raw.txt]
    outs:
      - out/p.txt
  fit:
    matrix:
      size: ${sizes}
    cmd: python src/train.py out/fit-${item.size}.txt ${lr} ${extra}
    deps: [src/train.py, src/util.py, out/p.txt]
    params: [lr, model]
    outs:
      - out/fit-${item.size}.txt
  each:
    foreach: {a: {x: 1}, b: {x: 2}}
    do:
      wdir: sub
      cmd: >-
        python ../src/train.py ${key}.json '{"m":' ${item.x} '}' && echo x > ${key}.csv && echo y > ${key}.bin
      deps: [../src/train.py, ../src/util.py]
      metrics:
        - ${key}.json: {cache: false}
      plots:
        - ${key}.csv
      outs:
        - ${key}.bin
  last:
    cmd: cat out/fit-1.txt out/fit-2.txt > out/last.csv
    deps: [out/fit-1.txt, out/fit-2.txt]
    plots:
      - out/last.csv: {x: a, y: b, template: linear}
    desc: the last
plots:
  - out/last.csv: {x: a}
artifacts:
  small: {path: sub/a.bin, type: model}
  given: {path: data/raw.txt, type: model}
  code: {path: src/util.py}
"""
FILES = {
    "dvc.yaml": DVC_YAML,
    "params.yaml": "lr: 1e-3\nmodel: {depth: 3, name: x}\nsizes: [1, 2]\n",
    "conf/more.yaml": "b: 1\n",
    "src/train.py": "import sys\nimport util\nopen(sys.argv[1], 'w').write(util.joined(sys.argv[2:]))\n",
    "src/util.py": "def joined(words):\n    return ' '.join(words)\n",
    "data/raw.txt": "raw\n",
    "sub/.gitignore": "",
}


pytestmark = pytest.mark.usefixtures("quick")


def own_repro(root: Path) -> None:
    """Make the project: after its own `dvc repro`, committed."""
    write(root, FILES)
    for command in (
        "git init -q",
        "dvc init -q",
        "dvc add -q data/raw.txt",
        "dvc repro -q",
        "git add -A",
        "git commit -qm first",
    ):
        call(root, os.environ, *command.split())


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """The project, declared: what its dvc.yaml said stands in a declaration, word for word."""
    root = tmp_path / "project"
    shutil.copytree(once(tmp_path_factory, "foreign", own_repro), root, symlinks=True)
    write(root, {
        "pipelines/foreign.yaml": f"name: foreign\ntrack: false\n{DVC_YAML}",
        "pyproject.toml": '[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n',
        ".gitignore": "mlflow.db\n.mlflow.db.lock\nmlartifacts\n",
    })  # fmt: skip
    return root


def test_a_dvc_yaml_that_canon_did_not_write_is_overwritten_on_request_only(project: Path, run: Run) -> None:
    done = run(project, "canon", "render", code=1)
    assert "dvc.yaml was not written by Canon" in done.stderr
    assert "--force" in done.stderr
    assert (project / "dvc.yaml").read_text() == DVC_YAML
    assert "dvc.yaml: was not written by Canon" in run(project, "canon", "check", code=1).stderr


def test_declared_as_it_is_everything_stays_up_to_date_and_its_result_is_logged_on_request(
    project: Path, run: Run
) -> None:
    lock = (project / "dvc.lock").read_bytes()
    run(project, "canon", "render", "--force")
    assert "up to date" in run(project, "dvc", "status").stdout
    assert (project / "dvc.lock").read_bytes() == lock
    assert run(project, "canon", "check").stdout.startswith("ok")
    done = run(project, "canon", "log")
    assert "  logged" in done.stdout
    for name, path in (
        ("given", "data/raw.txt"),
        ("code", "src/util.py"),
    ):  # DVC keeps one, Git the other; no stage makes them
        assert f"the artifact `{name}` ({path}) is left out of the result and its row: no stage makes it" in done.stderr
    logged = {path.relative_to(project / "mlartifacts").as_posix().split("/artifacts/")[1] for path in
              (project / "mlartifacts").rglob("artifacts/**/*") if path.is_file()}  # fmt: skip
    assert {"plots/sub/a.csv", "plots/out/last.csv", "models/small/a.bin"} <= logged
    assert not [path for path in logged if "given" in path]


def test_a_generated_file_without_its_declaration_is_named(project: Path, run: Run) -> None:
    run(project, "canon", "render", "--force")
    (project / "pipelines/foreign.yaml").unlink()
    stages = "stages: {a: {cmd: echo a > sub/a.txt, outs: [sub/a.txt]}}\n"
    (project / "pipelines/other.yaml").write_text(f"name: other\ndvc_file: sub/dvc.yaml\ntrack: false\n{stages}")
    assert (
        "dvc.yaml: is generated, but no declaration makes it any more" in run(project, "canon", "check", code=1).stderr
    )
