"""`canon sweep`: a pipeline at every point of a space of params."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canon.cli.complete import complete_pipeline, complete_profile
from canon.cli.console import put, put_json, put_table, say
from canon.model.errors import UsageError
from canon.model.project import Project, load_project
from canon.model.root import find_root

if TYPE_CHECKING:
    from canon.sweeps.local import PlannedSweep, PointResult
    from canon.sweeps.points import Asked
    from canon.workflows.submit import Order


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
    submit: Annotated[
        bool, typer.Option("--submit", help="In the cluster of the profile, as one workflow; HEAD must be pushed.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="With --submit: show it until it has ended.")] = False,
    server: Annotated[
        str | None,
        typer.Option(
            help="Argo Server, HOST:PORT or a URL; else ARGO_SERVER, else `argo` of the profile.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the points and what would run, run nothing.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Run a pipeline of HEAD at every point: the stages that points share once, each result an experiment and a row below the sweep's own."""
    from canon.sweeps.local import plan_sweep
    from canon.sweeps.points import Asked
    from canon.workspaces.profiles import applied_profile

    if (watch or server) and not submit:
        raise UsageError("--watch and --server are about a workflow; add --submit")
    if submit and fail_fast:
        raise UsageError(
            "--fail-fast: in a cluster points run side by side; leave it out, and stop the workflow if need be"
        )
    root, asked = find_root(Path.cwd()), Asked(tuple(settings or ()), samples, seed, max_points)
    if submit:
        from canon.workflows.submit import Order

        order = Order(name, profile, allow_dirty=allow_dirty)
        _submit(root, order, asked, server, watch=watch, dry_run=dry_run, json_=json_)
        return
    project = load_project(root)
    project.pipeline(name)
    planned = plan_sweep(project, name, profile or applied_profile(project), asked, say, allow_dirty=allow_dirty)
    if dry_run:
        _put_plan(planned, json_=json_)
    else:
        _run(project, planned, fail_fast=fail_fast, json_=json_)


def _submit(
    root: Path, order: Order, asked: Asked, server: str | None, *, watch: bool, dry_run: bool, json_: bool
) -> None:
    from canon.argo.status import task_path
    from canon.cli.submit import connected, submit_and_say, watch_to_its_end
    from canon.model.cluster import PLAN
    from canon.workflows.sweeps import prepared_sweep

    if dry_run and watch:
        raise UsageError("--dry-run submits nothing that --watch could show; leave one out")
    with prepared_sweep(root, order, asked, say) as ready:
        if dry_run:
            _put_plan(ready.planned, json_=json_, manifest=ready.submission.manifest)
            return
        argo = connected(server, ready.server, required=True)
    assert argo is not None  # noqa: S101  it was required
    created = submit_and_say(argo, ready.submission, json_=json_)
    if watch:
        rows = [(PLAN, PLAN), *((task_path(node.name), node.name) for node in ready.layout.nodes)]
        raise typer.Exit(watch_to_its_end(argo, created, rows))


def _run(project: Project, planned: PlannedSweep, *, fail_fast: bool, json_: bool) -> None:
    from canon.sweeps.local import run_sweep

    results: list[PointResult] = []
    try:
        for result in run_sweep(project, planned, say, fail_fast=fail_fast):
            results.append(result)
            if not json_ and result.apart is not None:
                put(result.apart.experiment.name)
    except (KeyboardInterrupt, SystemExit):
        say(
            f"canon: interrupted; {len(results)} of {len(planned.points)} points have ended, the same command runs the rest"
        )
        raise
    finally:  # what was done before is said
        if json_:
            put_json({**_document(planned), "results": [_result_document(result) for result in results]})
    failed = sum(result.apart is None for result in results)
    say(f"canon: {len(results) - failed} of {len(planned.points)} points are done; `dvc exp show` compares them")
    if failed:
        raise typer.Exit(1)


def _put_plan(planned: PlannedSweep, *, json_: bool, manifest: Mapping[str, Any] | None = None) -> None:
    if json_:
        put_json({**_document(planned), **({"manifest": manifest} if manifest else {})})
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
