"""What `canon init` does in a folder: repositories where they are missing, then the project's own stages declared, or a first pipeline."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from canon.adoption.adopt import Adopted, adopt
from canon.adoption.found import NAME, dvc_root
from canon.adoption.hints import adoption_hints
from canon.adoption.names import name_from_text
from canon.adoption.scaffold import ignored_file, scaffold_files
from canon.adoption.settings import has_settings, settings_file
from canon.dvc.repository import open_repository
from canon.git import check_repository, is_checkout, run_git, try_git
from canon.model.errors import CanonError, Problem, UsageError, listed
from canon.model.project import load_settings
from canon.model.settings import Profile, Settings
from canon.output.files import RenderedFile, foreign_files

SETTINGS = Settings(default_profile="local", profiles={"local": Profile()})
"""Those of the table that is added."""


@dataclass(frozen=True, slots=True)
class Start:
    """What is to be written, and what is said of it.

    ``scaffolded``: name of the first pipeline; ``pipelines``: those that were declared before; ``elsewhere``: each dvc.yaml of another
    Git repository, with its folder; ``hints``: what could not run in a cluster as it is.
    """

    root: Path
    files: tuple[RenderedFile, ...]
    adopted: tuple[Adopted, ...] = ()
    scaffolded: str | None = None
    pipelines: tuple[str, ...] = ()
    without_stages: tuple[str, ...] = ()
    elsewhere: tuple[tuple[str, str], ...] = ()
    hints: tuple[Problem, ...] = ()


def missing_repositories(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """The root of the project that a folder is in, and the commands that make it one: of `git init`, `dvc init`.

    Raises CanonError for a folder in a Git checkout without DVC that is not its top, and for a Git repository that git does not read.
    """
    root = dvc_root(folder)
    if root is not None:
        return root, ()
    top = _top(folder)
    if top is not None and Path(top).resolve() != folder.resolve():
        raise CanonError(
            f"{folder} lies in the Git repository {top}, which is no DVC project; run `canon init` there, or make this folder a "
            "project of its own by `dvc init --subdir`"
        )
    if top is None and folder in {Path.home(), Path(folder.anchor)}:
        raise CanonError(f"{folder} is no place for a repository; make a folder, and run `canon init` there")
    return folder, ("dvc init",) if top is not None else ("git init", "dvc init")


def _top(folder: Path) -> str | None:
    """The top of the checkout that a folder is in; None where there is none. One that is broken, or another user's, is one."""
    try:
        return run_git(folder, "rev-parse", "--show-toplevel").decode("utf-8", "surrogateescape").removesuffix("\n")
    except CanonError as error:
        if os.path.lexists(folder / ".git"):
            check_repository(folder)
        elif "not a git repository" in str(error):
            return None
        raise


@contextlib.contextmanager
def made_repositories(root: Path, commands: Sequence[str]) -> Iterator[None]:
    """Run `git init` and `dvc init` for what follows; where that fails they are undone."""
    from dvc.repo import Repo

    if not commands:
        yield
        return
    if "git init" in commands and os.path.lexists(root / ".git"):  # or undoing it would take somebody's history
        raise CanonError(f"{root} has a .git that was not there before; run `canon init` again")
    ignore_was_there = (root / ".dvcignore").exists()
    try:
        if "git init" in commands:
            run_git(root, "init", "--quiet")
        try:
            logging.getLogger("dvc.repo.init").setLevel(logging.WARNING)  # it prints to stdout, where our results are
            Repo.init(os.fspath(root)).close()
        except Exception as error:  # noqa: BLE001  its Git libraries end with errors of their own
            raise CanonError(f"`dvc init` failed in {root}: {error}") from None
        yield
    except BaseException:
        with contextlib.suppress(CanonError, OSError):
            if "git init" in commands:
                shutil.rmtree(root / ".git", ignore_errors=True)
            else:
                run_git(root, "rm", "--quiet", "-r", "--cached", "--ignore-unmatch", "--", ".dvc", *([] if ignore_was_there else [".dvcignore"]))  # fmt: skip
            shutil.rmtree(root / ".dvc", ignore_errors=True)
            if not ignore_was_there:
                (root / ".dvcignore").unlink(missing_ok=True)
        raise


def plan_start(root: Path, name: str | None, only: Sequence[str] = (), *, force: bool = False) -> Start:
    """Return what makes a DVC repository a project of Canon's. Nothing is written.

    Raises ProblemsError and CanonError for what cannot be declared, and, without ``force``, for a dvc.yaml that Git does not have as
    it is; UsageError for names that fit nothing.
    """
    there = has_settings(root)
    settings = load_settings(root) if there else SETTINGS
    with open_repository(root) as repo:
        adoption = adopt(repo, settings, name, only)
    before = () if there else (settings_file(root),)
    pipelines = tuple(
        each.name
        for each in adoption.project.pipelines
        if each.name not in {done.pipeline for done in adoption.adopted}
    )
    if adoption.adopted:
        files = [done.dvc_file for done in adoption.adopted]
        if not force:
            _check_kept(root, adoption.adopted)
        left = set(foreign_files(root, adoption.files)) - {*files}
        return Start(
            root,
            (*before, *ignored_file(root), *(file for file in adoption.files if file.path not in left)),
            adopted=adoption.adopted,
            pipelines=pipelines,
            without_stages=adoption.without_stages,
            elsewhere=adoption.elsewhere,
            hints=adoption_hints(adoption.project, [done.pipeline for done in adoption.adopted]),
        )
    if pipelines or adoption.without_stages or adoption.elsewhere:
        return Start(
            root, before, pipelines=pipelines, without_stages=adoption.without_stages, elsewhere=adoption.elsewhere
        )
    return scaffold(root, name)


def scaffold(root: Path, name: str | None) -> Start:
    """Return what makes an empty folder a project that runs. Raises CanonError for files that are there, UsageError for the name."""
    chosen = name or name_from_text(root.name)
    if chosen != name_from_text(chosen):
        raise UsageError(
            f"--name {chosen}: a pipeline is called by small letters, digits and `-`, a letter first, at most 40: "
            f"`{name_from_text(chosen)}`"
        )
    files = scaffold_files(root, chosen)
    settings = () if has_settings(root) else (settings_file(root),)
    return Start(root, (*settings, *files), scaffolded=chosen)


def _check_kept(root: Path, adopted: Sequence[Adopted]) -> None:
    """What is overwritten has to be in Git as it is, or in the declaration, where Git never had the file, and without Git."""
    links = [each.dvc_file for each in adopted if (root / each.dvc_file).is_symlink()]
    if links:
        raise CanonError(f"{listed(links)}: a link; replace it by what it points to, then run `canon init` again")
    changed: list[str] = []
    for each in adopted:
        if not each.as_written and not _is_committed(root, each.dvc_file):
            changed.append(each.dvc_file)
            continue
        if not is_checkout(root):
            continue
        said = run_git(root, "status", "--porcelain", "--", each.dvc_file, env={"GIT_LITERAL_PATHSPECS": "1"})
        if said and not said.startswith((b"??", b"A")):
            changed.append(each.dvc_file)
    if changed:
        raise CanonError(
            f"{listed(changed)}: not committed as it is, and `canon render` writes another text there; commit it, or say --force"
        )


def _is_committed(root: Path, file: str) -> bool:
    """Git's own word on changes leaves out what it ignores, and what it was told to take for unchanged."""
    committed = try_git(root, "rev-parse", "--verify", "--quiet", f"HEAD:./{file}")
    return committed is not None and committed == try_git(root, "hash-object", "--", file)


def is_empty_of_stages(root: Path) -> bool:
    """Tell whether a folder that is no DVC project yet has no dvc.yaml either."""
    return next(root.rglob(NAME), None) is None
