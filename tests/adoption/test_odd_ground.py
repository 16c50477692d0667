"""`canon init` where others are: their repositories within ours, and their editors at the same time."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from canon.adoption.written import Edit, write_all
from canon.model.errors import CanonError
from canon.output.files import RenderedFile
from tests.conftest import Run, git
from tests.e2e.faults import unchanged
from tests.e2e.projects import call, write

STAGE = "stages:\n  {0}:\n    cmd: touch {0}\n    outs: [{0}]\n"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["submodule", "nested"])
def test_a_dvc_yaml_of_another_repository_is_not_adopted(tmp_path: Path, run: Run, kind: str) -> None:
    other, root = tmp_path / "other", tmp_path / "mine"
    write(other, {"deep/dvc.yaml": STAGE.format("theirs"), "dvc.yaml": "metrics: [m.json]\n"})
    call(other, os.environ, "git", "init", "-q")
    call(other, os.environ, "git", "add", "-A")
    call(other, os.environ, "git", "commit", "-qm", "first")
    write(root, {"dvc.yaml": STAGE.format("ours")})
    for command in ("git init -q", "dvc init -q"):
        call(root, os.environ, *command.split())
    if kind == "submodule":
        git(root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "third/lib")
        git(root, "add", "-A")
        git(root, "commit", "-qm", "first")
    else:
        (root / "third").mkdir()
        other.rename(root / "third" / "lib")
    with unchanged(root / "third" / "lib"):  # Git's view of it, too
        named = run(root, "canon", "init", "third/lib/deep/dvc.yaml", code=2).stderr
        assert named == "canon: third/lib/deep/dvc.yaml lies in the Git repository third/lib, which is a project of its own\n"  # fmt: skip
        done = run(root, "canon", "init", "--dry-run", "--json")
        assert json.loads(done.stdout)["elsewhere"] == {"third/lib/deep/dvc.yaml": "third/lib"}
        done = run(root, "canon", "init")
    assert done.stdout.splitlines() == ["pyproject.toml", ".gitignore", "pipelines/mine.yaml", "dvc.yaml"]
    assert (
        "third/lib/deep/dvc.yaml lies in the Git repository third/lib, another project, and stays as it is\n"
        in done.stderr
    )
    assert "has no stages" not in done.stderr
    (root / "dvc.yaml").unlink()
    (root / "pipelines" / "mine.yaml").unlink()
    assert "nothing to adopt" in run(root, "canon", "init").stderr, "a project of others is no empty folder"


@pytest.mark.parametrize("was", ["mine\n", None])
def test_what_was_edited_since_it_was_read_is_not_overwritten(tmp_path: Path, was: str | None) -> None:
    (tmp_path / "first").write_text("as it was\n")
    (tmp_path / "dvc.yaml").write_text("edited\n")
    files = [RenderedFile("first", "new\n"), RenderedFile("new", "new\n"), Edit("dvc.yaml", "rendered\n", was=was)]
    with pytest.raises(
        CanonError, match=r"^dvc.yaml has changed since it was read; nothing was written: run `canon init` again"
    ):
        write_all(tmp_path, files)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "first": "as it was\n",
        "dvc.yaml": "edited\n",
    }
    files[-1] = Edit("dvc.yaml", "rendered\n", was="edited\n")
    assert write_all(tmp_path, files) == ("first", "new", "dvc.yaml")


def test_an_edit_during_the_last_look_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put back after a failure is what was written, and nothing that somebody saved since."""
    (tmp_path / "first").write_text("as it was\n")
    (tmp_path / "second").write_text("as it was\n")
    real = os.replace

    def replace(source: str, target: Path) -> None:
        if target.name == "second":
            monkeypatch.setattr(os, "replace", real)
            (tmp_path / "first").write_text("edited\n")
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(CanonError, match="No space left"):
        write_all(tmp_path, [RenderedFile("first", "new\n"), RenderedFile("second", "new\n")])
    assert [(tmp_path / name).read_text() for name in ("first", "second")] == ["edited\n", "as it was\n"]


@pytest.mark.usefixtures("quick")
def test_hints_of_one_kind_are_one_line(tmp_path: Path, run: Run) -> None:
    outs = "".join(f"    - o{index}: {{cache: false}}\n" for index in range(8))
    write(tmp_path, {"dvc.yaml": f"stages:\n  a:\n    cmd: x\n    deps: [data.txt]\n    outs:\n{outs}"})
    run(tmp_path, "dvc", "init", "-q", "--no-scm")
    said = run(tmp_path, "canon", "init", "--name", "x").stderr
    why = "cannot run as a pod: its out `o0` is `cache: false`; let DVC cache it, or make it a metric or a plot"
    hint = f"hint: pipelines/x.yaml (a): {why}; likewise `o1`, `o2`, `o3`, `o4`, `o5` and 2 more"
    assert [line for line in said.splitlines() if line.startswith("hint")] == [hint]
    assert "dvc.yaml is generated from pipelines/x.yaml: 1 stage, the same as before\n" in said
