"""`canon init` as a command: what it writes, says and refuses, and that it leaves all or nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.adoption.shapes import FILES
from tests.conftest import Run, git, once
from tests.e2e.faults import content, unchanged
from tests.e2e.projects import call, write

pytestmark = pytest.mark.usefixtures("quick")

DVC_YAML = "# mine\nstages:\n  a:\n    cmd: cat data.txt > a # copy\n    deps: [data.txt]\n    outs: [a]\n"


def _project(root: Path) -> None:
    write(root, {"dvc.yaml": DVC_YAML, "data.txt": "data\n", "sub/dvc.yaml": "stages:\n  b:\n    cmd: cat ../a > b\n    deps: [../a]\n    outs: [b]\n"})  # fmt: skip
    for command in ("git init -q", "dvc init -q", "dvc repro -q -P", "git add -A", "git commit -qm first"):
        call(root, os.environ, *command.split())


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """Two dvc.yaml, after their own `dvc repro`, committed."""
    root = tmp_path / "Köln 2"
    shutil.copytree(once(tmp_path_factory, "adoptable", _project), root, symlinks=True)
    return root


def test_a_project_is_in_with_one_command(project: Path, run: Run) -> None:
    (project / "pyproject.toml").write_text("[project]\nname = 'x' # keep\n")
    done = run(project, "canon", "init", "--json")
    said = json.loads(done.stdout)
    assert said["written"] == [
        "pyproject.toml",
        ".gitignore",
        "pipelines/koln-2.yaml",
        "pipelines/sub.yaml",
        "dvc.yaml",
        "sub/dvc.yaml",
    ]
    assert [(each["dvc_file"], each["pipeline"], each["stages"], each["as_written"]) for each in said["adopted"]] == [
        ("dvc.yaml", "koln-2", 1, True), ("sub/dvc.yaml", "sub", 1, True),
    ]  # fmt: skip
    assert said["hints"] == [] == said["ran"]
    assert (project / "pyproject.toml").read_text().startswith("[project]\nname = 'x' # keep\n\n[tool.canon]\n")
    assert (project / "pipelines" / "koln-2.yaml").read_text().endswith(DVC_YAML)
    assert "up to date" in run(project, "dvc", "status").stdout
    assert git(project, "status", "--porcelain", "dvc.lock", "sub/dvc.lock") == ""
    with unchanged(project):
        again = run(project, "canon", "init")
        assert (again.stdout, again.stderr) == ("", "canon: declared already: koln-2, sub\n")
        assert run(project / "sub", "canon", "render").stderr == "canon: all generated files are up to date\n"
    assert (project / ".gitignore").read_text() == "/a\nmlflow.db\n.mlflow.db.lock\nmlartifacts/\n"
    assert "warning" not in run(project, "canon", "check").stderr


def test_a_dry_run_prints_the_difference_and_writes_nothing(project: Path, run: Run) -> None:
    with unchanged(project):
        done = run(project, "canon", "init", "--dry-run")
    assert "+++ b/pipelines/koln-2.yaml" in done.stdout
    assert "-    cmd: cat data.txt > a # copy\n" in done.stdout
    assert "+    cmd: cat data.txt > a\n" in done.stdout
    assert "dvc.yaml would be generated from pipelines/koln-2.yaml: 1 stage, the same as before" in done.stderr


def test_files_and_names_are_chosen(project: Path, run: Run) -> None:
    assert run(project / "sub", "canon", "init", "dvc.yaml", "--name", "mine").stdout.splitlines() == [
        "pyproject.toml", ".gitignore", "pipelines/mine.yaml", "sub/dvc.yaml",
    ]  # fmt: skip
    assert (project / "dvc.yaml").read_text() == DVC_YAML
    git(project, "add", "-A")
    git(project, "commit", "-qm", "half")
    run(project, "canon", "init", "--name", "other")
    assert "from pipelines/other.yaml" in (project / "dvc.yaml").read_text()
    assert "up to date" in run(project, "dvc", "status").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--name", "No Name"], 2, "--name No Name"),
        (["nowhere/dvc.yaml"], 2, "nowhere/dvc.yaml is no dvc.yaml that could be adopted; there is: dvc.yaml, sub/dvc.yaml"),
        (["--name", "x", "sub/dvc.yaml", "--hook", "--json", "extra"], 2, "extra is no dvc.yaml"),
    ],
)  # fmt: skip
def test_wrong_usage_is_said(project: Path, run: Run, arguments: list[str], code: int, words: str) -> None:
    with unchanged(project):
        assert words in run(project, "canon", "init", *arguments, code=code).stderr


def test_a_text_that_is_not_committed_is_overwritten_on_request_only(project: Path, run: Run) -> None:
    (project / "dvc.yaml").write_text(DVC_YAML + "# new\n")
    with unchanged(project):
        done = run(project, "canon", "init", code=1)
    assert "dvc.yaml: not committed as it is" in done.stderr
    git(project, "rm", "-q", "--cached", "sub/dvc.yaml")
    git(project, "commit", "-qm", "no longer")
    assert "sub/dvc.yaml" in run(project, "canon", "init", "sub/dvc.yaml").stdout, (
        "its text is in the declaration: nothing is lost"
    )
    run(project, "canon", "init", "--force")
    assert (project / "pipelines" / "koln-2.yaml").read_text().endswith("# new\n")


@pytest.mark.parametrize("where", ["nowhere", "no_scm", "skipped"])
def test_comments_that_no_declaration_takes_are_not_lost(project: Path, run: Run, where: str) -> None:
    """Git has no such text, whatever `git status` says: there is none, or it was told not to look."""
    file = project / "sub" / "dvc.yaml"
    file.write_text(f"# mine\n{file.read_text()}metrics:\n- >-\n  m.json\n")  # a block cannot be changed in place
    if where == "skipped":
        git(project, "update-index", "--skip-worktree", "sub/dvc.yaml")
    else:
        shutil.rmtree(project / ".git")
        shutil.rmtree(project / ".dvc")
        if where == "no_scm":
            run(project, "dvc", "init", "--no-scm", "-q", "-f")
    with unchanged(project):
        assert "sub/dvc.yaml: not committed as it is" in run(project, "canon", "init", code=1).stderr
    assert "without its comments" in run(project, "canon", "init", "--force").stderr


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"sub/dvc.yaml": "stages:\n  a: {cmd: x, live: {}}\n"}, ["sub/dvc.yaml: DVC does not take it: extra keys not allowed @ data['stages']['a']['live']"]),
        ({"sub/dvc.yaml": "stages:\n  a: {cmd: 'x ${no}'}\n"}, ["sub/dvc.yaml: DVC does not take it: failed to parse", "Could not find 'no'"]),
        ({"sub/dvc.yaml": "stages: [\n"}, ["sub/dvc.yaml: DVC does not take it", "line"]),
        ({"sub/dvc.lock": "schema: '1.0'\n"}, ["sub/dvc.yaml: DVC does not take it", "dvc.lock"]),
        ({"sub/dvc.yaml": "stages:\n  b: {cmd: x, outs: [../a]}\n"}, ["sub/dvc.yaml: stages.b.outs: `a` is an out of `a`, too"]),
        ({"pipelines/other.yaml": "some: [thing]\n"}, ["pipelines/other.yaml", "takes each pipelines/*.yaml for a declaration", "move it elsewhere"]),
        ({"pipelines/sub.yaml": "name: sub\nstages: {x: {cmd: x}}\ndvc_file: x/dvc.yaml\n", "pipelines/b-sub.yaml": "{}\n"}, ["pipelines/b-sub.yaml"]),
        ({"pyproject.toml": "tool = {}\n"}, ["cannot be added to pyproject.toml"]),
    ],
    ids=["schema", "template", "syntax", "lock", "graph", "foreign", "broken declaration", "settings"],
)  # fmt: skip
def test_what_cannot_be_adopted_leaves_everything_as_it_was(
    project: Path, run: Run, files: dict[str, str], words: list[str]
) -> None:
    write(project, files)
    git(project, "add", "-A")
    git(project, "commit", "-qm", "broken")
    with unchanged(project):
        done = run(project, "canon", "init", code=1)
    assert [word for word in words if word not in done.stderr] == []
    assert "Traceback" not in done.stderr


def test_a_write_that_fails_leaves_everything_as_it_was(project: Path, run: Run) -> None:
    (project / "pipelines").write_text("in the way")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "file")
    with unchanged(project):
        assert "pipelines" in run(project, "canon", "init", code=1).stderr


@pytest.mark.parametrize("in_git", [False, True])
def test_repositories_that_were_made_for_nothing_are_gone_again(tmp_path: Path, run: Run, *, in_git: bool) -> None:
    write(tmp_path, {"dvc.yaml": "stages: [\n", "x": "x"})
    if in_git:
        git(tmp_path, "init", "-q")
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-qm", "first")
    with unchanged(tmp_path):
        assert "dvc.yaml: DVC does not take it" in run(tmp_path, "canon", "init", code=1).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ([".git"] if in_git else []) + ["dvc.yaml", "x"]
    write(tmp_path, {"dvc.yaml": DVC_YAML, "data.txt": "x"})
    if in_git:
        assert "not committed as it is" in run(tmp_path, "canon", "init", code=1).stderr
        assert "run `dvc init` first" in run(tmp_path, "canon", "init", "--dry-run", code=1).stderr
        git(tmp_path, "commit", "-qam", "second")
    assert "canon: ran `dvc init`\n" in run(tmp_path, "canon", "init", "--name", "x").stderr
    assert run(tmp_path, "canon", "render").stderr == "canon: all generated files are up to date\n"


@pytest.mark.parametrize("fault", ["owner", "broken", "inside"])
def test_a_repository_that_git_does_not_read_is_left_as_it_is(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    write(tmp_path, {"dvc.yaml": "stages: [\n"})
    git(tmp_path, "init", "-q")
    words, place = {"owner": "does not trust", "broken": "mend", "inside": "work tree"}[fault], tmp_path
    if fault == "owner":
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    elif fault == "broken":
        (tmp_path / ".git" / "HEAD").unlink()
    else:
        place = tmp_path / ".git"
    before = sorted(tmp_path.rglob("*"))
    assert words in run(place, "canon", "init", code=1).stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["pyproject.toml", ".gitignore"])
def test_a_link_to_elsewhere_stays_one(tmp_path: Path, repository: Path, run: Run, name: str) -> None:
    (tmp_path / "other").write_text("")
    (repository / name).unlink(missing_ok=True)
    (repository / name).symlink_to(tmp_path / "other")
    assert f"{name} is a link" in run(repository, "canon", "init", code=1).stderr
    assert (repository / name).is_symlink()
    assert git(repository, "ls-files", "--others", "--exclude-standard").split() in ([], [name])


def test_a_link_is_not_overwritten_and_an_ignored_declaration_is_a_hint(project: Path, run: Run) -> None:
    (project / "sub" / "dvc.yaml").rename(project / "sub" / "real.yaml")
    (project / "sub" / "dvc.yaml").symlink_to("real.yaml")
    write(project, {".gitignore": "a\npipelines/\n"})
    git(project, "add", "-A")
    git(project, "commit", "-qm", "link")
    with unchanged(project):
        assert "sub/dvc.yaml: a link; replace it" in run(project, "canon", "init", code=1).stderr
    done = run(project, "canon", "init", "dvc.yaml")
    assert "hint: pipelines/koln-2.yaml: Git ignores it; take the pattern out of .gitignore" in done.stderr


def test_an_interrupted_init_is_finished_by_the_next_one(project: Path, run: Run) -> None:
    twin = project.with_name("twin")
    shutil.copytree(project, twin / project.name, symlinks=True)
    run(twin / project.name, "canon", "init")
    for file in ("pyproject.toml", "pipelines/koln-2.yaml"):  # what stands there when it is killed in between
        write(project, {file: (twin / project.name / file).read_text()})
    run(project, "canon", "init")
    ours, theirs = ({key: value for key, value in content(each).items() if ".git" not in str(key) and ".dvc/" not in str(key)} for each in (project, twin / project.name))  # fmt: skip
    assert ours == theirs


def test_stages_that_could_not_run_in_a_cluster_are_hints(tmp_path: Path, run: Run) -> None:
    write(tmp_path, {"dvc.yaml": "stages:\n  a:\n    cmd: touch a\n    always_changed: true\n    deps: [/etc/hostname]\n    outs: [a: {persist: true}]\n  b:\n    cmd: 'true'\n"})  # fmt: skip
    run(tmp_path, "dvc", "init", "-q", "--no-scm")
    done = run(tmp_path, "canon", "init", "--name", "x", "--json")
    found = [(hint["path"], hint["message"]) for hint in json.loads(done.stdout)["hints"]]
    assert len(found) == 6
    for path, words in (("a", "`always_changed`"), ("a", "`/etc/hostname` lies outside"), ("a", "persist"), ("b", "no outs"), ("b", "neither deps nor params")):  # fmt: skip
        assert any(place == f"stages.{path}" and words in message for place, message in found), (path, found)
    assert run(tmp_path, "canon", "render").stderr == "canon: all generated files are up to date\n"
    said = run(tmp_path, "canon", "check", code=1).stderr
    assert [line for line in said.splitlines() if "leaves the repository" in line] == [
        "warning: pipelines/x.yaml:7: stages.a.deps: `/etc/hostname` leaves the repository"
    ]


def test_a_part_of_a_git_repository_is_adopted_and_told_what_it_misses(tmp_path: Path, run: Run) -> None:
    write(tmp_path, {"ml/dvc.yaml": DVC_YAML, "ml/data.txt": "x", "dvc.yaml": "stages: {not: ours}\n"})
    git(tmp_path, "init", "-q")
    assert (
        f"{tmp_path / 'ml'} lies in the Git repository {tmp_path}"
        in run(tmp_path / "ml", "canon", "init", code=1).stderr
    )
    run(tmp_path / "ml", "dvc", "init", "-q", "--subdir")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    run(tmp_path / "ml", "dvc", "repro", "-q")
    assert "the repository begins at" in run(tmp_path / "ml", "canon", "init", "--hook", code=1).stderr
    done = run(tmp_path / "ml", "canon", "init")
    assert "hint: .git: the project is a part of the Git repository" in done.stderr
    assert "up to date" in run(tmp_path / "ml", "dvc", "status").stdout


def test_a_dvc_yaml_in_pipelines_and_one_without_stages(tmp_path: Path, run: Run) -> None:
    write(tmp_path, {**{f"pipelines/{file}": text for file, text in FILES.items()}, "pipelines/dvc.yaml": DVC_YAML, "dvclive/dvc.yaml": "metrics: [m.json]\n"})  # fmt: skip
    run(tmp_path, "dvc", "init", "-q", "--no-scm")
    run(tmp_path, "dvc", "repro", "-q", "-P")
    done = run(tmp_path, "canon", "init")
    assert "canon: dvclive/dvc.yaml has no stages, and stays as it is\n" in done.stderr
    assert "dvc_file: pipelines/dvc.yaml\n" in (tmp_path / "pipelines" / "pipelines.yaml").read_text()
    assert run(tmp_path, "canon", "render").stderr == "canon: all generated files are up to date\n"
    assert "up to date" in run(tmp_path, "dvc", "status").stdout
    shutil.rmtree(tmp_path / "pipelines")
    assert "nothing to adopt; write pipelines/NAME.yaml" in run(tmp_path, "canon", "init").stderr


def test_a_thousand_stages(tmp_path: Path, run: Run) -> None:
    stages = "".join(f"  s{index}: # {index}\n    cmd: touch {index}\n    outs: [o{index}]\n" for index in range(1000))
    write(tmp_path, {"sub/dvc.yaml": f"stages:\n{stages}"})
    run(tmp_path, "dvc", "init", "-q", "--no-scm")
    said = run(tmp_path, "canon", "init").stderr
    assert "sub/dvc.yaml is generated from pipelines/sub.yaml: 1000 stages, the same as before" in said
    assert "hint: pipelines/sub.yaml (s0, s1, s2, s3, s4 and 995 more): cannot run as a pod" in said
    assert (tmp_path / "pipelines" / "sub.yaml").read_text().count("    wdir: sub\n") == 1000


def test_an_empty_folder_becomes_a_project_that_runs(tmp_path: Path, run: Run) -> None:
    root = tmp_path / "first"
    root.mkdir()
    dry = run(root, "canon", "init", "--dry-run")
    assert "+name: first\n" in dry.stdout
    assert "would run `git init`" in dry.stderr
    assert list(root.iterdir()) == []
    done = run(root, "canon", "init")
    assert "canon: ran `git init`\ncanon: ran `dvc init`\n" in done.stderr
    assert done.stdout.splitlines()[-2:] == ["pipelines/first.yaml", "dvc.yaml"], (
        "an interrupted one is finished by the next"
    )
    assert run(root, "canon", "render").stderr == "canon: all generated files are up to date\n"
    run(root, "dvc", "repro", "-q")
    assert (
        1
        < json.loads(run(root, "dvc", "metrics", "show", "--json").stdout)[""]["data"]["metrics/first.json"]["data"][
            "rmse"
        ]
        < 3
    )
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    assert git(root, "status", "--porcelain") == ""
    assert run(root, "canon", "check").stdout == "ok\n"
    assert "already logged" in run(root, "canon", "log").stdout
    with unchanged(root):
        assert run(root, "canon", "init", "--name", "again").stderr == "canon: declared already: first\n"


def test_what_is_there_is_kept_by_the_first_pipeline(repository: Path, run: Run) -> None:
    write(repository, {".gitignore": "*.log", "params/mine.yaml": "a: 1\n"})
    with unchanged(repository):
        done = run(repository, "canon", "init", "--name", "mine", code=1)
    assert "params/mine.yaml: there already, and nothing is overwritten" in done.stderr
    run(repository, "canon", "init", "--name", "other")
    assert (repository / ".gitignore").read_text().startswith("*.log\nmlflow.db\n")
    assert (repository / "README.md").read_text() == "hello\n"
    run(repository, "dvc", "repro", "-q", "evaluate")


def test_a_home_is_no_project(run: Run) -> None:
    home = Path(os.environ["HOME"])
    assert "is no place for a repository" in run(home, "canon", "init", code=1).stderr
    assert not (home / ".git").exists()


def test_the_oldest_python_of_a_stage_runs_the_first_pipeline() -> None:
    """Its code needs no library, and nothing that Python 3.8 lacks."""
    folder = Path(__file__).parents[2] / "plugins" / "canon" / "adoption" / "template"
    for file in folder.glob("*.py.txt"):
        done = subprocess.run(["ruff", "check", "--isolated", "--target-version", "py38", "--stdin-filename", file.stem, "-"], input=file.read_text(), text=True, capture_output=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_a_file_in_a_folder_without_any_is_refused_by_a_dry_run_too(tmp_path: Path, run: Run) -> None:
    assert "run `dvc init` first" in run(tmp_path, "canon", "init", "x/dvc.yaml", "--dry-run", code=1).stderr
    assert "x/dvc.yaml is no dvc.yaml" in run(tmp_path, "canon", "init", "x/dvc.yaml", code=2).stderr
    assert list(tmp_path.iterdir()) == []
