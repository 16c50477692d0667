"""`canon release`, `canon promote`, `canon rollback`: which image answers in an environment, as a commit that is pushed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from canon.cli.complete import complete_environment, complete_pipeline
from canon.cli.console import put, put_json, say
from canon.model.errors import CanonError, printable
from canon.model.project import load_project
from canon.model.root import find_root

if TYPE_CHECKING:
    from canon.model.gates import Health
    from canon.model.project import Project
    from canon.model.release import Release
    from canon.releases.publish import Decide, Order
    from canon.releases.state import Target

NameArgument = Annotated[str, typer.Argument(help="The pipeline.", autocompletion=complete_pipeline)]
EnvironmentArgument = Annotated[
    str, typer.Argument(metavar="ENV", help="The environment.", autocompletion=complete_environment)
]
WhyOption = Annotated[str | None, typer.Option(help="The reason, for the history.", show_default=False)]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the release, push nothing.")]
PlainOption = Annotated[
    bool, typer.Option("--plain-http", help="Speak to a registry without TLS; on loopback it is done anyway.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def release(
    name: NameArgument,
    environment: EnvironmentArgument,
    image: Annotated[
        str, typer.Option(help="The image: HOST/REPOSITORY@sha256:… or HOST/REPOSITORY:TAG.", show_default=False)
    ],
    why: WhyOption = None,
    branch: Annotated[
        str | None,
        typer.Option(
            help="Push to this new branch, for a pull request. The tags come with the next release after it is merged.",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRunOption = False,
    plain_http: PlainOption = False,
    json_: JsonOption = False,
) -> None:
    """Verify an image and release it: one commit and its tags, pushed to the declared repository. Your checkout stays as it is."""
    from canon.releases.commit import author_of
    from canon.releases.decide import decide_release
    from canon.releases.facts import gather_facts
    from canon.releases.images import released_reference
    from canon.releases.publish import check_review
    from canon.releases.scratch import opened_scratch
    from canon.releases.state import look

    project, target = _opened(branch)
    released_reference(image)
    author_of(project.root)
    check_review(project.root, target)
    with opened_scratch(project.root, target.remote) as scratch:
        look(scratch, target, name).check_declared(environment)  # before the image is read
        facts = gather_facts(project, name, image, scratch, target.declared, _tell, plain_http=plain_http)
    words = f"release {name} {environment} {facts.image} {branch or ''}"
    order = _order(name, environment, words, decide_release(facts, why))
    _publish(project, target, order, dry_run=dry_run, json_=json_)


def promote(
    name: NameArgument,
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="Where it is released.", autocompletion=complete_environment)
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="Where it goes, by its gates.", autocompletion=complete_environment)
    ],
    why: WhyOption = None,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            help="For gates on health: how the cluster is reached; by default as kubectl does.", show_default=False
        ),
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="A context of the kubeconfig; by default its current one.", show_default=False)
    ] = None,
    dry_run: DryRunOption = False,
    plain_http: PlainOption = False,
    json_: JsonOption = False,
) -> None:
    """Release in the next environment what another one has: the same image, if the declared gates let it through."""
    from functools import partial

    from canon.releases.decide import decide_promotion
    from canon.releases.images import check_in_registry

    project, place = _opened()
    check_image = partial(check_in_registry, plain_http=plain_http)
    health_of = partial(_health, project, kubeconfig, context)
    decide = decide_promotion(source, target, why, check_image, health_of, _tell)
    order = _order(name, target, f"promote {name} {source} {target}", decide)
    _publish(project, place, order, dry_run=dry_run, json_=json_)


def rollback(
    name: NameArgument,
    environment: EnvironmentArgument,
    to: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of the release to restore; by default the last one with another image.",
            show_default=False,
        ),
    ] = None,
    why: WhyOption = None,
    dry_run: DryRunOption = False,
    plain_http: PlainOption = False,
    json_: JsonOption = False,
) -> None:
    """Release an earlier image of an environment again, as a new commit; history stays."""
    from functools import partial

    from canon.releases.decide import decide_rollback
    from canon.releases.images import check_in_registry

    project, target = _opened()
    decide = decide_rollback(environment, to, why, partial(check_in_registry, plain_http=plain_http))
    order = _order(name, environment, f"rollback {name} {environment} {to or ''}", decide)
    _publish(project, target, order, dry_run=dry_run, json_=json_)


def _health(project: Project, kubeconfig: Path | None, context: str | None, release: Release) -> Health:
    """Who knows how long a release has been healthy: the cluster that it runs in."""

    def healthy(seconds: float) -> tuple[bool, str]:
        from canon.argocd.live_connection import Reach
        from canon.deployments.live import healthy_for

        try:
            reach = Reach(kubeconfig, context)
            found = healthy_for(project, release.pipeline, release.environment, seconds, release=release, reach=reach)
        except CanonError as error:
            return False, " ".join(str(error).split())
        return found.holds, found.says

    return healthy


def _opened(review: str | None = None) -> tuple[Project, Target]:
    from canon.git import check_repository
    from canon.releases.place import target_of

    root = find_root(Path.cwd())
    check_repository(root)
    project = load_project(root)
    return project, target_of(project, review)


def _order(name: str, environment: str, words: str, decide: Decide) -> Order:
    from canon.releases.publish import Order

    return Order(name, environment, words, decide)


def _tell(text: str) -> None:
    """Narrate what others' files and servers say, too."""
    say(printable(text))


def _publish(project: Project, target: Target, order: Order, *, dry_run: bool, json_: bool) -> None:
    from canon.model.release import format_release
    from canon.releases.publish import publish_release
    from canon.releases.rows import release_document

    project.pipeline(order.pipeline)
    done = publish_release(project.root, target, order, say=_tell, dry_run=dry_run)
    release = done.release
    if json_:
        put_json({"created": done.created and not dry_run, "release_commit": done.commit, "files": list(done.files),
                  **release_document(release)})  # fmt: skip
    elif dry_run and done.created:
        put(printable(format_release(release)).rstrip("\n"))
    else:
        put(release.tag)
    if not done.created:
        say(
            printable(
                f"canon: {release.image} is released already, as {release.tag}"
                + (f" (in {done.commit[:12]})" if done.commit else "")
            )
        )
    elif dry_run:
        say(f"canon: nothing was pushed; {', '.join(done.files)} would be in the commit")
    else:
        review = f" for review; merged to `{target.branch}` it counts" if target.review else ""
        say(f"canon: {done.commit[:12]} is pushed to `{target.review or target.branch}`{review}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(release)
    app.command()(promote)
    app.command()(rollback)
