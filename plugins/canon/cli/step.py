"""`canon step`: what the pods of a generated Workflow run beside the stages' own commands. Nobody calls it by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from canon.cli.console import say
from canon.model.cluster import DELIVER, NEXT, PLAN

step_app = typer.Typer(
    help="What the pods of a generated Workflow run beside the stages' own commands.", no_args_is_help=True
)
TaskArgument = Annotated[str, typer.Argument(help="The task of the Workflow, as its template names it.")]


@step_app.command()
def plan() -> None:
    """Fetch the code, make sure of the image that the stages run in, and find out what has to run."""
    from canon.steps.places import load_pod
    from canon.steps.planner import plan_workflow

    plan_workflow(load_pod(PLAN), say)


@step_app.command()
def sweep() -> None:
    """Plan all points of a sweep: what each has to run, and what they share."""
    from canon.steps.places import load_pod
    from canon.steps.sweep import plan_sweep

    plan_sweep(load_pod(PLAN), say)


@step_app.command(name="next")
def next_block() -> None:
    """Between two blocks of a large sweep: say what can still run."""
    from canon.steps.places import load_pod
    from canon.steps.sweep import plan_next

    plan_next(load_pod(NEXT), say)


@step_app.command()
def pull(task: TaskArgument) -> None:
    """Look the task's stages up; bring what the first one that runs needs, and write the script of the container `main`."""
    from canon.steps.places import load_pod
    from canon.steps.pull import pull_task

    pull_task(load_pod(task), say)


@step_app.command()
def push(task: TaskArgument) -> None:
    """Wait for each stage of the task, save what it made, and record which result stands for it."""
    from canon.steps.places import load_pod
    from canon.steps.push import push_task

    push_task(load_pod(task), say)


@step_app.command()
def deliver() -> None:
    """Put the result together and make it known: an experiment in Git, the image that serves the model, its row in MLflow."""
    from canon.steps.deliver import deliver_workflow
    from canon.steps.places import load_pod

    deliver_workflow(load_pod(DELIVER), say)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(step_app, name="step")
