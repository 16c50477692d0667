"""What DVC would refuse of a dvc.yaml when it loads it, found without loading DVC: what is written, DVC must take."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from canon.dvc.ignore import IgnoreRules
from canon.model.errors import Problem
from canon.model.graph import build_graph, graph_problems
from canon.model.paths import is_url, leaves_repository, out_finding
from canon.model.stage import Stage


def refusals(
    root: Path, stages: Sequence[Stage], files: Mapping[str, str], untracked: Collection[str] = ()
) -> Iterator[Problem]:
    """Yield what makes a cycle, is written twice, or has a path that is no place for an out.

    ``stages``: of all pipelines, resolved, those that Canon generates among them; ``files``: dvc.yaml → its declaration;
    ``untracked``: dvc.yaml files of pipelines with `track: false`, whose outs may lie outside of the repository, as DVC allows.
    """
    yield from graph_problems(build_graph(stages), files)
    rules = IgnoreRules(root)
    for stage in stages:
        for path in stage.out_paths:
            if is_url(path):
                continue
            finding = out_finding(path, tuple(files), outside=stage.file in untracked)
            if finding is None and not leaves_repository(path) and rules.is_ignored(path):
                finding = (
                    f"`{path}` is ignored by .dvcignore and cannot be an out",
                    "write elsewhere, or change .dvcignore",
                )
            if finding:
                yield _problem(stage, files, ".outs", *finding)


def _problem(stage: Stage, files: Mapping[str, str], path: str, message: str, remedy: str) -> Problem:
    return Problem(
        file=files.get(stage.file, stage.file),
        path=f"stages.{stage.name.partition('@')[0]}{path}",
        message=message,
        remedy=remedy,
    )
