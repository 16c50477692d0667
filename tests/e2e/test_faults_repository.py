"""Repositories that are not as they should be, and settings that are wrong."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from canon.model.errors import CanonError
from canon.model.project import load_project
from canon.model.root import find_root
from tests.conftest import git
from tests.e2e.faults import SETTINGS, STALE, assert_said, canon, commit, unchanged, write


def test_without_git_what_needs_it_says_so_and_the_rest_works(toy: Path, tmp_path: Path) -> None:
    shutil.rmtree(toy / ".git")
    remedy = f"{toy} is not in a Git repository; run `git init` there, and commit"
    with unchanged(toy):
        assert_said(canon(toy, "render", code=1).stderr, remedy)
        done = canon(toy, "check", code=1)
        assert_said(done.stderr, f"error: .git: {remedy}", "canon: 1 error")
        assert_said(canon(toy, "profile", "cluster", "--into", str(tmp_path / "ws"), code=1).stderr, remedy)
        assert_said(canon(toy, "log", code=1).stderr, remedy)
    canon(toy, "data", "get")
    assert (toy / "raw.csv").read_text() == "a,b\n1,2\n"
    write(toy, ".git", "gitdir: /nowhere\n")
    with unchanged(toy):
        assert_said(
            canon(toy, "check", code=1).stderr, "/nowhere", f"mend {toy / '.git'}, or clone the repository anew"
        )


def test_a_repository_without_a_commit_is_checked_and_is_no_baseline(toy: Path, tmp_path: Path) -> None:
    shutil.rmtree(toy / ".git")
    git(toy, "init", "-q")
    with unchanged(toy):
        assert_said(canon(toy, "check").stderr, "warning: .git: there is no commit yet", "remedy: commit")
        done = canon(toy, "profile", "cluster", "--into", str(tmp_path / "ws"), code=1)
    assert_said(done.stderr, f"{toy} has no commit yet to check out; commit first")
    assert not (tmp_path / "ws").exists()


@pytest.mark.parametrize("kind", ["detached", "shallow", "worktree"])
def test_other_checkouts_work_like_any(toy: Path, tmp_path: Path, kind: str) -> None:
    if kind == "detached":
        git(toy, "checkout", "-q", "--detach")
    elif kind == "shallow":
        git(toy, "commit", "-q", "--allow-empty", "-m", "second")
        toy = shutil.copytree(toy, tmp_path / "origin").parent / "clone"
        git(tmp_path, "clone", "-q", "--depth", "1", f"file://{tmp_path / 'origin'}", "clone")
    else:
        git(toy, "worktree", "add", "-q", str(tmp_path / "linked"))
        toy = tmp_path / "linked"
    with unchanged(toy):
        assert canon(toy, "check").stdout == "ok\n"
    canon(toy, "data", "get")
    canon(toy, "profile", "cluster")
    assert git(toy, "status", "--porcelain").splitlines() == ["M params/toy.yaml", " M pipelines/toy.pins.yaml"]
    if kind == "shallow":
        done = canon(toy, "log", "HEAD~1", code=1)
        assert_said(done.stderr, "Git knows no commit 'HEAD~1'", "a shallow clone needs `git fetch --unshallow`")


def test_without_dvc_what_needs_it_says_so(toy: Path) -> None:
    shutil.rmtree(toy / ".dvc")
    with unchanged(toy):
        assert_said(
            canon(toy, "check", code=1).stderr, "error: .dvc: this is no DVC repository\n    remedy: run `dvc init`"
        )
        assert_said(
            canon(toy, "profile", "cluster", code=1).stderr, f"{toy} is no DVC repository; run `dvc init` there"
        )
        write(toy, "pipelines/toy.yaml", "name: toy\nstages: {a: {foreach: [1], do: {cmd: x}}}\n")
        assert_said(canon(toy, "render", code=1).stderr, f"{toy} is no DVC repository, which `${{…}}`")
        git(toy, "checkout", "-q", "pipelines/toy.yaml")


def test_settings_that_dvc_cannot_read_are_named(toy: Path) -> None:
    write(toy, ".dvc/config", "[core\n[more\n")
    with unchanged(toy):
        said = canon(toy, "log", code=1).stderr
        assert_said(said, f"DVC cannot read its settings in {toy}/.dvc (", "; mend them")
        assert len(said.splitlines()) == 1


def test_a_project_in_a_subfolder_is_told_to_move(toy: Path) -> None:
    inside = toy / "sub"
    inside.mkdir()
    for path in list(toy.iterdir()):
        if path.name not in {".git", "sub"}:
            path.rename(inside / path.name)
    with unchanged(toy):
        done = canon(inside, "check", code=1)
        canon(inside, "render", "--check")
    assert_said(
        done.stderr,
        f"error: .git: pyproject.toml with [tool.canon] lies in {inside}, but the repository begins at {toy}; move it there",
    )
    assert "stale" not in done.stderr


def test_a_command_runs_from_any_folder_of_the_project(toy: Path) -> None:
    with unchanged(toy):
        assert canon(toy / "data", "check").stdout == "ok\n"
    canon(toy / "data", "data", "get")
    assert (toy / "raw.csv").exists()


SETTINGS_FAULTS: dict[str, tuple[str | bytes | None, tuple[str, ...]]] = {
    "no file": (None, ("nor a folder above it has a pyproject.toml with [tool.canon]; run `canon init` at the root",)),
    "no table": ("[project]\nname = 'x'  # no [tool.canon]\n", ("nor a folder above it has a pyproject.toml with [tool.canon]",)),
    "no TOML": ("[tool.canon\n", ("pyproject.toml:1: is not TOML: Expected ']'", "remedy: mend the line")),
    "no UTF-8": (b"\n# \xe9\n[tool.canon]\n", ("pyproject.toml:2: is not UTF-8 text (byte 3)",)),
    "no tables": ("tool = 3  # tool.canon\n", ("pyproject.toml:1: tool: is no table\n    remedy: write `[tool.canon]`",)),
    "deep": (f"{SETTINGS}[x]\na = {'[' * 5000}{']' * 5000}\n", ("pyproject.toml: is nested too deep",)),
    "wrong keys": (
        '[tool.canon]\ndefault_profil = "local"\nexecutor = "x"\n[tool.canon.profiles.local]\nremot = 3\nmlflow = 3\n[tool.canon.profiles."b c"]\n',
        ("pyproject.toml:2: tool.canon.default_profil: unknown key `default_profil`\n    remedy: did you mean `default_profile`?",
         "pyproject.toml:3: tool.canon.executor: should be 'patch', 'supervisor' or 'none', not 'x'",
         "pyproject.toml:5: tool.canon.profiles.local.remot: unknown key `remot`\n    remedy: did you mean `remote`?",
         "pyproject.toml:6: tool.canon.profiles.local.mlflow: should be a text, not 3", "pyproject.toml:7: tool.canon.profiles.b c"),
    ),
    "unknown default, text for Argo": (
        '[tool.canon]\ndefault_profile = "locl"\n[tool.canon.profiles.local]\nmlflow = "http://{{x}}"\n',
        ("pyproject.toml:2: tool.canon.default_profile: there is no profile `locl`\n    remedy: add [tool.canon.profiles.locl]",
         "pyproject.toml:4: tool.canon.profiles.local.mlflow: `{{` would be expanded by Argo's"),
    ),
}  # fmt: skip


def put_settings(root: Path, name: str) -> tuple[str, ...]:
    text, sentences = SETTINGS_FAULTS[name]
    if text is None:
        (root / "pyproject.toml").unlink()
    else:
        write(root, "pyproject.toml", text)
    return sentences


@pytest.mark.parametrize("name", ["no file", "no TOML", "wrong keys"])
def test_a_command_refuses_settings_that_are_wrong(toy: Path, name: str) -> None:
    sentences = put_settings(toy, name)
    with unchanged(toy):
        assert_said(canon(toy, "render", code=1).stderr, *sentences)


@pytest.mark.parametrize("name", SETTINGS_FAULTS)
def test_settings_that_are_wrong_are_problems_with_their_lines(toy: Path, name: str) -> None:
    sentences = put_settings(toy, name)
    with pytest.raises(CanonError) as caught:
        load_project(find_root(toy))
    assert_said(str(caught.value), *sentences)


OVERLAYS: dict[str, tuple[str | bytes | None, str]] = {
    "list": ("- 1\n", "params/list.yaml is no mapping; write the keys of the params file that it changes"),
    "unknown": ("nope: 1\n", "the key `nope` stands in no YAML params file of the pipeline (params/toy.yaml)"),
    "below": ("train: {lr: {a: 1}}\n", "params/toy.yaml has no mapping `train.lr`, which the overlay changes"),
    "latin": (b"train: \xe9\n", "params/latin.yaml:1: is not UTF-8 text (byte 7)\n    remedy: save it as UTF-8"),
    "broken": ("a: [\n", "params/broken.yaml:2: is not YAML"),
    "double": ("train: {lr: 1, lr: 2}\n", "params/double.yaml:1: lr: key 'lr' stands twice"),
    "myself": ("train: &t {lr: *t}\n", "params/myself.yaml:1: its aliases expand"),
    "missing": (None, "there is no overlay params/missing.yaml\n    remedy: write it, or take it out of `params` in pipelines/toy.yaml"),
}  # fmt: skip


def test_overlays_that_fit_no_params_file_are_found_before_they_are_applied(toy: Path) -> None:
    declared = (toy / "pipelines/toy.yaml").read_text()
    names = ", ".join(f"{name}: params/{name}.yaml" for name in OVERLAYS)
    write(toy, "pyproject.toml", SETTINGS + "".join(f"[tool.canon.profiles.{name}]\n" for name in OVERLAYS))
    sources = ", ".join(f"{name}: data/other.csv" for name in (*OVERLAYS, "cluster"))
    text = declared.replace("params: {cluster: params/toy.cluster.yaml}", f"params: {{{names}}}")
    write(toy, "pipelines/toy.yaml", text.replace("cluster: data/other.csv", sources))
    for name, (overlay, _) in OVERLAYS.items():
        if overlay is not None:
            write(toy, f"params/{name}.yaml", overlay)
    canon(toy, "data", "pin", "--profile", "unknown")
    canon(toy, "data", "pin", "--profile", "missing")
    commit(toy)
    with unchanged(toy):
        done = canon(toy, "check", code=1)
        assert_said(
            done.stderr, *(sentence for _, sentence in OVERLAYS.values()), "pipelines/toy.yaml:4: params.below: "
        )
        for name in ("unknown", "missing"):
            assert_said(canon(toy, "profile", name, code=1).stderr, OVERLAYS[name][1])


def test_a_damaged_state_of_the_workspace_is_said(toy: Path) -> None:
    write(toy, ".dvc/tmp/canon/profile.json", '{"profile": 3, "replaced": [1], "journal": 3}')
    with unchanged(toy):
        for command in (("check",), ("profile", "cluster")):
            done = canon(toy, *command, code=1)
            assert_said(
                done.stderr,
                ".dvc/tmp/canon/profile.json: is damaged\n    remedy: remove it, and restore params and pins",
            )


SECRET = "hunter2-secret"


def test_a_password_in_a_remotes_url_is_nowhere(toy: Path) -> None:
    git(toy, "remote", "add", "origin", f"https://user:{SECRET}@example.invalid/x.git")
    subprocess.run(
        ("dvc", "remote", "add", "-d", "store", f"https://user:{SECRET}@example.invalid/store"),
        cwd=toy,
        check=True,
        capture_output=True,
    )
    write(
        toy,
        "pyproject.toml",
        f"{SETTINGS}remote = 'store'\nmlflow = 'http://user:{SECRET}@example.invalid'\nendpoint = 3\n",
    )
    write(toy, "pyproject.toml", f"{SETTINGS}mlflow = 'http://user:{SECRET}@example.invalid'\nendpoint = 3\n")
    said = [canon(toy, "check", code=1)]
    write(toy, "pyproject.toml", f"{SETTINGS}remote = 'store'\n")
    write(toy, "dvc.yaml", STALE)
    said += [canon(toy, *command) for command in (("render",), ("check", "--json"), ("data", "pin"), ("data", "get"))]
    uri = f"https://u:{SECRET}@example.invalid/x"
    write(
        toy,
        "pipelines/toy.yaml",
        f"name: toy\ndata: {{raw: {{path: raw.csv, from: {{local: '{uri}'}}}}}}\nstages: {{a: {{cmd: x}}}}\n",
    )
    said += [canon(toy, *command, code=1) for command in (("check",), ("data", "pin"))]
    assert all("credentials" in done.stderr for done in said[-2:])
    assert not [done.args for done in said if SECRET in done.stdout + done.stderr]
    holding = {
        path.relative_to(toy).as_posix()
        for path in toy.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    }
    assert holding == {".git/config", ".dvc/config", "pipelines/toy.yaml"}
