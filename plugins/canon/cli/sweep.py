"""`canon sweep`: a pipeline at every point of a space of params."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canon.cli.complete import complete_pipeline, complete_profile
from canon.cli.console import put, put_json, put_table, say
from canon.model.project import find_root, load_project

if TYPE_CHECKING:
    from canon.sweeps.local import PlannedSweep, PointResult


def sweep(
    name: Annotated[str, typer.Argument(help="The pipeline.", autocompletion=complete_pipeline)],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set-param",
            "-S",
            metavar="[FILE:]KEY=VALUES",
            help="`0.1,0.01`, `choice(a,b)`, `range(1,10,2)`, `interval(0,1)` or `tag(log, interval(0.001,1))`, as Hydra has them.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="The profile; by default the workspace's.", show_default=False, autocompletion=complete_profile
        ),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="How many points are drawn from the intervals.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the drawing: the same seed, the same points.")] = 0,
    max_points: Annotated[int, typer.Option(min=1, help="More points than these are refused.")] = 200,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="End with the first point that fails.")] = False,
    allow_dirty: Annotated[bool, typer.Option("--allow-dirty", help="Leave out what is not committed.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the points and what would run, run nothing.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Run a pipeline of HEAD at every point: the stages that points share once, each result an experiment and a row below the sweep's own."""
    from canon.sweeps.local import plan_sweep, run_sweep
    from canon.workspaces.profiles import applied_profile

    project = load_project(find_root(Path.cwd()))
    project.pipeline(name)
    planned = plan_sweep(
        project, name, profile or applied_profile(project), settings or (),
        samples=samples, seed=seed, most=max_points, allow_dirty=allow_dirty, say=say,
    )  # fmt: skip
    if dry_run:
        _put_plan(planned, json_=json_)
        return
    results: list[PointResult] = []
    try:
        for result in run_sweep(project, planned, say, fail_fast=fail_fast):
            results.append(result)
            if not json_ and result.apart is not None:
                put(result.apart.experiment.name)
    finally:  # what was done before an interruption is said
        if json_:
            put_json({**_document(planned), "results": [_result_document(result) for result in results]})
    failed = sum(result.apart is None for result in results)
    say(f"canon: {len(results) - failed} of {len(planned.points)} points are done; `dvc exp show` compares them")
    if failed:
        raise typer.Exit(1)


def _put_plan(planned: PlannedSweep, *, json_: bool) -> None:
    if json_:
        put_json(_document(planned))
        return
    put_table(
        ("point", "params", "runs", "shared"),
        (
            (
                number + 1,
                planned.sweep.name(point),
                " ".join(key for key, owner in owners.items() if owner == number),
                " ".join(f"{key} ({owner + 1})" for key, owner in owners.items() if owner != number),
            )
            for number, (point, owners) in enumerate(zip(planned.sweep.points, planned.owners, strict=True))
        ),
    )
    runs, stages = _counts(planned)
    say(
        f"canon: {len(planned.points)} points have {stages} stages, of which {runs} are different; what is known already is not run again"
    )


def _counts(planned: PlannedSweep) -> tuple[int, int]:
    runs = sum(owner == number for number, owners in enumerate(planned.owners) for owner in owners.values())
    return runs, sum(len(owners) for owners in planned.owners)


def _document(planned: PlannedSweep) -> dict[str, Any]:
    runs, stages = _counts(planned)
    return {
        "pipeline": planned.pipeline,
        "profile": planned.profile,
        "commit": planned.commit,
        "space": planned.sweep.space,
        "stages": stages,
        "runs": runs,
        "points": [
            {"set": point, "stages": [{"stage": key, "point": owner} for key, owner in owners.items()]}
            for point, owners in zip(planned.sweep.points, planned.owners, strict=True)
        ],
    }


def _result_document(result: PointResult) -> dict[str, Any]:
    if result.apart is None:
        return {"point": result.point, "failed": result.why}
    return {
        "point": result.point,
        "experiment": result.apart.experiment.name,
        "commit": result.apart.experiment.commit,
        "result": result.apart.tracked.result,
        "run_id": result.apart.tracked.run_id,
    }


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sweep)
