from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from canon.model.errors import CanonError
from canon.output.files import (
    RenderedFile,
    changed_files,
    format_diff,
    load_text,
    write_bytes,
    write_files,
    write_text,
)

OLD, NEW = "old\n" * 1000, "new\n" * 50_000


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    files = [RenderedFile("a/b/dvc.yaml", "x: é\n"), RenderedFile("c.yaml", "y\n")]
    assert changed_files(tmp_path, files) == tuple(files)
    assert write_files(tmp_path, files) == ("a/b/dvc.yaml", "c.yaml")
    assert (tmp_path / "a/b/dvc.yaml").read_bytes() == "x: é\n".encode()
    assert changed_files(tmp_path, files) == ()
    assert names(tmp_path) == ["a", "c.yaml"]


def test_what_does_not_differ_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    assert write_text(path, "x\n")
    os.utime(path, ns=(1, 1))
    inode = path.stat().st_ino
    assert not write_text(path, "x\n")
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (1, inode)
    assert write_files(tmp_path, [RenderedFile("a.yaml", "x\n"), RenderedFile("b.yaml", "y\n")]) == ("b.yaml",)


@pytest.mark.parametrize("mode", [0o600, 0o755, 0o644, 0o664])
def test_the_mode_stays(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("old")
    path.chmod(mode)
    write_text(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path, umask: int, mode: int) -> None:
    former = os.umask(umask)
    try:
        write_text(tmp_path / "a.yaml", "new")
        assert os.umask(umask) == umask
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "a.yaml").stat().st_mode) == mode


# A process that is killed by its file system's limit, or by hand, in each of the steps of a write.
WRITER = """
import os, signal, sys
from pathlib import Path
from canon.output.files import write_bytes
step, path, text = sys.argv[1], Path(sys.argv[2]), sys.argv[3].encode() * 50_000
if step != "none":
    real = getattr(os, step)
    def die(*arguments, **named):
        if sys.argv[4] == "after":
            real(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(os, step, die)
write_bytes(path, text)
"""


@pytest.mark.parametrize(
    ("step", "when", "content"),
    [("fsync", "before", OLD), ("fsync", "after", OLD), ("chmod", "before", OLD), ("replace", "before", OLD), ("replace", "after", NEW), ("none", "", NEW)],
)  # fmt: skip
def test_a_process_that_is_killed_leaves_the_old_file_or_the_new(
    tmp_path: Path, step: str, when: str, content: str
) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text(OLD)
    done = subprocess.run([sys.executable, "-c", WRITER, step, path, "new\n", when], check=False)
    assert done.returncode == (0 if step == "none" else -signal.SIGKILL)
    assert path.read_text() == content


LIMITED = """
import resource, signal, sys
from pathlib import Path
from canon.output.files import write_bytes
from canon.model.errors import CanonError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
try:
    write_bytes(Path(sys.argv[1]), b"new\\n" * 50_000)
except CanonError as error:
    sys.exit(str(error))
"""


def test_a_file_system_that_is_full_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    path = tmp_path / "dvc.yaml"
    path.write_text(OLD)
    done = subprocess.run([sys.executable, "-c", LIMITED, path], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"cannot write {path}: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_text() == OLD
    assert names(tmp_path) == ["dvc.yaml"]


def test_a_folder_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").mkdir()
    for act in (lambda: write_text(tmp_path / "dvc.yaml", "x"), lambda: load_text(tmp_path / "dvc.yaml")):
        with pytest.raises(CanonError, match=r"dvc\.yaml"):
            act()
    (tmp_path / "file").write_text("")
    with pytest.raises(CanonError, match=r"cannot write .*/file/a\.yaml"):
        write_text(tmp_path / "file" / "a.yaml", "x")
    with pytest.raises(CanonError, match=r"a\.yaml"):
        load_text(tmp_path / "file" / "a.yaml")
    assert names(tmp_path) == ["dvc.yaml", "file"]


READ_ONLY = """
import os, sys
from pathlib import Path
from canon.output.files import write_bytes
from canon.model.errors import CanonError
os.chdir(sys.argv[1])
if os.geteuid() == 0:  # root may write everywhere
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    write_bytes(Path("a.yaml"), b"new")
except CanonError as error:
    sys.exit(str(error))
"""


def test_a_folder_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.yaml").write_text("old")
    folder.chmod(0o555)
    done = subprocess.run([sys.executable, "-c", READ_ONLY, folder], check=False, capture_output=True, text=True)
    said = "cannot write a.yaml: Permission denied; nothing was changed there: make room, or give the right to write\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert (folder / "a.yaml").read_text() == "old"
    assert names(folder) == ["a.yaml"]


def test_a_file_that_may_not_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("a.yaml")  # for root, too
    with pytest.raises(CanonError, match=r"a\.yaml: cannot be read"):
        load_text(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_bytes(b"a\xff")
    with pytest.raises(CanonError, match=r"b\.yaml:1: is not UTF-8 text \(byte 1\)"):
        load_text(tmp_path / "b.yaml")
    assert load_text(tmp_path / "none") is None


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text("theirs")
    outside.chmod(0o600)
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "dvc.yaml").symlink_to(outside)
    assert changed_files(repository, [RenderedFile("dvc.yaml", "theirs")])
    write_files(repository, [RenderedFile("dvc.yaml", "ours")])
    assert outside.read_text() == "theirs"
    assert not (repository / "dvc.yaml").is_symlink()
    assert (repository / "dvc.yaml").read_text() == "ours"
    (repository / "dangling").symlink_to("nowhere")
    write_bytes(repository / "dangling", b"x")
    assert names(repository) == ["dangling", "dvc.yaml"]


@pytest.mark.parametrize(
    "path", ["../a.yaml", "/srv/a.yaml", "sub/../../a.yaml", "link/a.yaml", "", ".", ".git/config", "a/.git/hooks/x"]
)
def test_a_rendered_file_outside_of_the_repository_is_refused(tmp_path: Path, path: str) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (repository / "link").symlink_to(tmp_path / "elsewhere")
    for act in (write_files, changed_files, format_diff):
        with pytest.raises(CanonError, match="outside of the repository"):
            act(repository, [RenderedFile("good.yaml", "x"), RenderedFile(path, "x")])
    assert names(repository) == ["link"]
    assert names(tmp_path) == ["elsewhere", "repository"]
    assert names(tmp_path / "elsewhere") == []


def test_a_diff_shows_what_would_change_and_applies(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("one\ntwo\nthree")
    (tmp_path / "same.yaml").write_text("x\n")
    files = [
        RenderedFile("a.yaml", "one\n2\nthree\n"),
        RenderedFile("sub/new.yaml", "n\u2028n\x0cn\n"),
        RenderedFile("same.yaml", "x\n"),
    ]
    diff = format_diff(tmp_path, files)
    assert "--- a/a.yaml\n+++ b/a.yaml\n" in diff
    assert "-two\n-three\n\\ No newline at end of file\n+2\n+three\n" in diff
    assert "--- /dev/null\n+++ b/sub/new.yaml\n" in diff
    assert "same.yaml" not in diff
    subprocess.run(["git", "apply", "-"], input=diff, text=True, cwd=tmp_path, check=True)
    assert changed_files(tmp_path, files) == ()


def test_folders_made_for_a_file_that_cannot_be_written_go_again(tmp_path: Path) -> None:
    with pytest.raises(CanonError, match="File name too long"):
        write_text(tmp_path / "a" / "b" / ("x" * 250), "x")
    assert names(tmp_path) == []
