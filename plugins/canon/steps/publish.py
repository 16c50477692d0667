"""A result in Git: an experiment on the revision, pushed to the declared repository. What is there is never replaced."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from canon.dvc.experiments import NAMES, Experiment, experiment_ref, numbered_names, save_experiment
from canon.git import clean_url, run_git
from canon.model.errors import CanonError, ExperimentExistsError

ATTEMPTS = 5
"""How often a race may be lost."""


def publish_experiment(root: Path, url: str, name: str, *, result: str, generated: Iterable[str]) -> Experiment:
    """Save a checkout as an experiment and push it; the same content that is there already is left as it is.

    Another experiment of that name, also one that is pushed at the same moment, gives it a number: `<name>-2`. Raises CanonError where
    nothing can be pushed.
    """
    files = tuple(generated)
    folder = experiment_ref(run_git(root, "rev-parse", "HEAD").decode().strip(), "")
    for _ in range(ATTEMPTS):
        # What others have pushed goes before what an earlier attempt has left here.
        run_git(root, "fetch", "--quiet", "--no-tags", "--end-of-options", url, f"+{folder}*:{folder}*")
        saved = _save(root, name, result, files)
        try:
            _push(root, url, saved.ref)
        except CanonError:
            if not _is_there(root, url, saved.ref):
                raise
        else:
            return saved
    raise CanonError(
        f"{clean_url(url)} got another experiment `{name}` at each of {ATTEMPTS} attempts; run the workflow anew"
    )


def _save(root: Path, name: str, result: str, files: tuple[str, ...]) -> Experiment:
    for each in numbered_names(name):
        try:
            return save_experiment(root, each, result=result, generated=files)
        except ExperimentExistsError:
            continue
    raise CanonError(f"there are {NAMES} experiments `{name}` with other content; remove those that nobody needs")


def _push(root: Path, url: str, ref: str) -> None:
    """Push without force: a server takes a ref that it has already only where it is this one."""
    try:
        run_git(root, "push", "--quiet", "--no-verify", "--end-of-options", url, f"{ref}:{ref}")
    except CanonError as error:
        words = " ".join(str(error).split())
        raise CanonError(
            f"the experiment cannot be pushed to {clean_url(url)} ({words}); look at the rights of the Secret `git-write`: it writes refs/exps/"
        ) from None


def _is_there(root: Path, url: str, ref: str) -> bool:
    return bool(run_git(root, "ls-remote", "--end-of-options", url, ref).strip())
