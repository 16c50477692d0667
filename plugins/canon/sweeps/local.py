"""A sweep on this machine: one point after the other, each in a workspace of its own; what points share runs once, by DVC's run-cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from canon.git import clean_urls, commit_source_tree, head_commit, remote_url
from canon.mlflow.sweeps import join_sweep
from canon.model.errors import CanonError, StoreUnavailableError, UsageError
from canon.model.project import Project
from canon.planning.pipelines import planned_project
from canon.results.track import tracking_store
from canon.sweeps.points import Asked, Sweep, load_sweep, sweep_hash
from canon.sweeps.rows import sweep_record
from canon.sweeps.variants import PointStages, load_points
from canon.workspaces.apart import Apart, run_apart
from canon.workspaces.committed import check_committed

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PlannedSweep:
    """A sweep over a commit with a profile, and the stages of each of its points."""

    pipeline: str
    profile: str
    commit: str
    sweep: Sweep
    points: tuple[PointStages, ...]

    @property
    def owners(self) -> tuple[dict[str, int], ...]:
        """For each point, key of a stage → the first point that runs it."""
        first: dict[tuple[str, str], int] = {}
        return tuple(
            {key: first.setdefault((key, variant), number) for key, variant in point.variants.items()}
            for number, point in enumerate(self.points)
        )


@dataclass(frozen=True, slots=True)
class PointResult:
    """What became of a point: ``apart`` is None where it failed, and ``why`` says it then."""

    point: int
    apart: Apart | None
    why: str = ""


def plan_sweep(
    project: Project, name: str, profile: str, asked: Asked, say: Say, *, allow_dirty: bool = False
) -> PlannedSweep:
    """Find out the points of a sweep over HEAD with a profile, and what they share. Raises UsageError, CanonError, ProblemsError."""
    commit = head_commit(project.root)
    if commit is None:
        raise CanonError(f"{project.root} has no commit yet that could be swept over; commit first")
    check_committed(project, "a sweep", say, allow_dirty=allow_dirty)
    with planned_project(project, profile, commit) as (there, _):
        pipeline = there.pipeline(name)
        sweep = load_sweep(there.root, pipeline, asked)
        return PlannedSweep(name, profile, commit, sweep, load_points(there, pipeline, sweep.points))


def run_sweep(project: Project, planned: PlannedSweep, say: Say, *, fail_fast: bool = False) -> Iterator[PointResult]:
    """Run the points one after the other; yield what becomes of each. One that fails is said, and the others go on."""
    sweep, root = planned.sweep, project.root
    tree = commit_source_tree(root, planned.commit)
    digest = sweep_hash(planned.pipeline, planned.profile, tree, sweep.points)
    record = sweep_record(
        planned.pipeline, planned.profile, digest, sweep.space, commit=planned.commit, tree=tree, url=remote_url(root)
    )
    for number, point in enumerate(sweep.points):
        say(f"canon: point {number + 1} of {len(sweep.points)}: {sweep.name(point)}")
        if head_commit(root) != planned.commit:
            raise CanonError(
                f"HEAD is not {planned.commit[:12]} any more; run the command again, it goes on with what is known"
            )
        try:
            apart = run_apart(project, planned.pipeline, planned.profile, point, say)
        except UsageError:
            raise
        except CanonError as error:
            say(f"canon: point {number + 1} failed: {error}")
            yield PointResult(number, None, str(error))
            if fail_fast:
                return
            continue
        if apart.tracked.run_id is not None:
            try:
                join_sweep(
                    record, {apart.tracked.run_id: apart.experiment.name}, *tracking_store(project, planned.profile)
                )
            except StoreUnavailableError as error:
                say(f"canon: {clean_urls(str(error))}; the row stands without its sweep: run the command again")
        yield PointResult(number, apart)
