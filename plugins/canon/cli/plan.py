"""`canon plan`: what of a pipeline would run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canon.cli.complete import complete_pipeline, complete_profile
from canon.cli.console import put_json, put_table, say
from canon.model.errors import CanonError
from canon.model.project import Project, load_project
from canon.model.root import find_root

if TYPE_CHECKING:
    from canon.planning.pipelines import Plan


def plan(
    name: Annotated[str, typer.Argument(help="The pipeline.", autocompletion=complete_pipeline)],
    rev: Annotated[
        str | None,
        typer.Option(
            help="A commit, branch, tag or experiment; by default the workspace as it is.", show_default=False
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="The profile whose data, params and remote are meant; by default the workspace's.",
            show_default=False,
            autocompletion=complete_profile,
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Say of every stage whether it would run, or which result of the remote's run-cache stands for it. No data is moved."""
    from canon.planning.pipelines import plan_pipeline, planned_project
    from canon.remotes.opening import remote_of_checkout
    from canon.results.revisions import resolve_revision
    from canon.workspaces.profiles import applied_profile

    project = load_project(find_root(Path.cwd()))
    project.pipeline(name)
    chosen = profile or applied_profile(project)
    commit = resolve_revision(project.root, rev) if rev else None
    with planned_project(project, chosen, commit) as (there, of):
        remote = remote_of_checkout(project.root, there.settings.profiles[chosen].remote)
        found = plan_pipeline(there, there.pipeline(name), chosen, of, remote, _belief(there, name, chosen))
    if of is not None and commit is None:
        say(f"canon: the workspace has another profile: planned is the commit {of[:12]} with `{chosen}`")
    if json_:
        put_json(_document(found))
        return
    put_table(
        ("stage", "", "why"),
        (
            (key, "hit" if planned.hit else "run", planned.why or (planned.hit.value[:12] if planned.hit else ""))
            for key, planned in found.stages.items()
        ),
    )
    running = sum(planned.hit is None for planned in found.stages.values())
    say(f"{running} of {len(found.stages)} stages would run")


def _belief(project: Project, name: str, profile: str) -> Any:  # noqa: ANN401  loaded late
    """Which entries the profile believes: what the settings say, else those of pods where images are baked."""
    from canon.planning.lookup import Belief

    settings = project.settings.profiles[profile]
    accept = settings.believed
    environment = project.pipeline(name).declaration.environment
    if accept == "pods" and (environment is None or environment.image is None):
        raise CanonError(
            f"profile `{profile}` accepts results of pods alone, and {name} declares no `environment.image` that they ran in"
        )
    return Belief(accept, (environment.image or "") if environment else "")


def _document(plan: Plan) -> dict[str, Any]:
    return {
        "pipeline": plan.pipeline,
        "profile": plan.profile,
        "commit": plan.commit,
        "stages": [
            {
                "stage": key,
                "run": planned.hit is None,
                "why": planned.why,
                "key": planned.key or None,
                "value": planned.hit.value if planned.hit else None,
            }
            for key, planned in plan.stages.items()
        ],
        "tasks": plan.runs,
    }


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(plan)
