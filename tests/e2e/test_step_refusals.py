"""What a stage leaves, and what lies in a remote, that may not become a result. What `canon step plan` refuses is in `test_step_plan.py`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from canon.model.errors import CanonError
from tests.conftest import S3, once
from tests.e2e.planned import add_remote, write_project
from tests.e2e.test_steps import Workflow

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def workflow(s3: S3, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    root = shutil.copytree(once(tmp_path_factory, "planned", write_project), tmp_path / "planned", symlinks=True)
    add_remote(root, s3)
    return Workflow(root, tmp_path / "pods", s3, "one")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ('out.rmdir(); out.parent.rmdir(); out.parent.symlink_to("../../private")', "is a link that leads out of it"),
        ('(out / "mine").symlink_to("../../../../private/state.json")', "is a link that leads out of it"),
        ('(out / "mine").symlink_to("../../../../private")', "is a link that leads out of it"),
        ('(out / "mine").hardlink_to("../private/state.json")', r"another name \(a hard link\) of a file that lies elsewhere"),
        ('__import__("os").mkfifo(out / "mine")', "is neither a file nor a folder"),
        ('__import__("shutil").rmtree("data"); pathlib.Path("data").symlink_to("../private")', "a link that leads out of the workspace"),
    ],
)  # fmt: skip
def test_an_out_that_leads_to_the_files_of_push(workflow: Workflow, s3: S3, code: str, says: str) -> None:
    """Nothing of it is sent: in a pod push could read what the stage may not."""
    file = workflow.project / "prepare.py"
    lines = file.read_text().splitlines()
    lines = [line for line in lines if "rmdir" not in code or "write_text" not in line]
    file.write_text("\n".join([*lines, code]))
    workflow.run("data-raw")
    before = _objects(s3)
    with pytest.raises(CanonError, match=f"data/prepared.*{says}"):
        workflow.run("prepare")
    assert _objects(s3) - before == {"dvc/canon/workflows/one/tasks/prepare.json"}


def _objects(s3: S3) -> set[str]:
    return {item["Key"] for item in s3.client.list_objects_v2(Bucket=s3.bucket)["Contents"]}


@pytest.mark.soak
def test_a_planted_entry(workflow: Workflow, s3: S3) -> None:
    """An entry that is not what its name says: who reads from the stage is told, and the stage itself does not believe it."""
    for task in ("data-raw", "prepare"):
        workflow.run(task)
    content = {key: s3.client.get_object(Bucket=s3.bucket, Key=key)["Body"].read() for key in _objects(s3)}
    (name,) = (key for key, found in content.items() if "/runs/" in key and b"prepare.py" in found)
    genuine = content[name]
    md5 = genuine.split(b"outs:")[1].split(b"md5: ")[1].split(b"\n")[0]
    s3.put(name, genuine.replace(md5, b"0" * 32 + b".dir"))
    with pytest.raises(CanonError, match="has no entry of `prepare`, which this task reads from, or it is not what it is called"):  # fmt: skip
        workflow.run("fit--40a")
    assert workflow.run("prepare", attempt=2) == 0
    assert "prepare: runs" in workflow.said
    assert s3.client.get_object(Bucket=s3.bucket, Key=name)["Body"].read() == genuine
    assert workflow.run("fit--40a", attempt=2) == 0


def test_a_planted_list_of_files_leads_nowhere(workflow: Workflow, s3: S3) -> None:
    """The list of a folder's files that somebody exchanged: its hash is its name."""
    for task in ("data-raw", "prepare"):
        workflow.run(task)
    (key,) = (key for key in _objects(s3) if key.endswith(".dir"))
    s3.put(key, b'[{"md5": "d41d8cd98f00b204e9800998ecf8427e", "relpath": "../../../private/state.json"}]')
    with pytest.raises(CanonError, match="is not the list of files that it is called"):
        workflow.run("fit--40a")
