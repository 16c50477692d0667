"""All that a run looked at which found nothing to do: DVC's part, the declarations with all that is generated, and the commit that rows may name."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from canon.adapters import has_others
from canon.dvc.looked_at import looked_at, walked_through
from canon.dvc.reproduction.reproduction import Reproduction
from canon.git import try_git
from canon.model.project import PIPELINES, Project
from canon.model.root import SETTINGS_FILE
from canon.results.session_files import SESSIONS
from canon.results.track import SPOOL, project_home
from canon.running.fresh import waits


@dataclass(frozen=True, slots=True)
class LookedAt:
    """Paths that a fingerprint has to hold; of ``shallow`` ones what is below does not count."""

    paths: frozenset[str]
    shallow: frozenset[str]


def all_looked_at(project: Project, work: Reproduction) -> LookedAt | None:
    """What a run looked at; None where a look at files does not tell whether it would find the same again, or there is more to do than stages."""
    paths = None if has_others() else looked_at(work.repo, work.planned.stages.values())
    if paths is None or waits(project_home(project.root)):
        return None
    return LookedAt(
        frozenset(paths | set(_declared(project))),
        frozenset(
            {
                *walked_through(work.repo),
                *_commit(project.root),
                *_adapters(),
                *_ignored(project.root),
                *_left(project.root),
            }
        ),
    )


def _declared(project: Project) -> Iterator[str]:
    yield from (SETTINGS_FILE, PIPELINES, "argo", "pipeline.schema.json")
    for pipeline in project.pipelines:
        yield pipeline.declaration.dvc_file
        yield from (str(file) for file in pipeline.declaration.params.values())


def _left(root: Path) -> Iterator[str]:
    """Where a command leaves what the next one has to see to: of a linked worktree that is in the main checkout."""
    home = project_home(root)
    yield from (str(home / SPOOL), str(home / SESSIONS))


def _adapters() -> Iterator[str]:
    """The folders of installed packages: one more, or another one, may render other files."""
    yield from (each for each in sys.path if each.startswith("/"))


def _ignored(root: Path) -> Iterator[str]:
    """What else than a .gitignore says which folders Git ignores: DVC looks for no dvc.yaml in those."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    yield try_git(root, "config", "--path", "core.excludesFile") or f"{home}/git/ignore"
    if place := try_git(root, "rev-parse", "--path-format=absolute", "--git-path", "info/exclude"):
        yield place


def _commit(root: Path) -> Iterator[str]:
    """What says which commit is checked out: the rows of results may name another one."""
    for name in ("HEAD", "packed-refs", try_git(root, "symbolic-ref", "--quiet", "HEAD")):
        if name:
            place = try_git(root, "rev-parse", "--path-format=absolute", "--git-path", name)
            if place:
                yield place
