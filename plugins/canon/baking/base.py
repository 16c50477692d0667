"""The image for experiments: the declared one, the environment, and the code of a commit."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from canon.baking.code import SOURCE, SourceCommit, code_members, source_commit
from canon.baking.environment import ENVIRONMENT, environment_members
from canon.baking.interpreter import DEFAULT_PATH, find_interpreter
from canon.git import clean_url, commit_source_tree, head_commit, run_git
from canon.image.append import append_layer, append_layers, origins, whole
from canon.image.images import Edits, Image, load_image, variables
from canon.image.layers import Member
from canon.image.stores import Progress, Source, Store, no_progress
from canon.model.errors import CanonError, listed
from canon.model.project import Pipeline, Project
from canon.source_state import changed_files

OCI = "org.opencontainers.image"
TREE = "canon.source-tree"
"""Label with the hash of the source tree, as `canon track` records it."""
BASE = "canon.base"
"""Label that says whether the image below is the declared one, by its digest, or another one in its place."""


@dataclass(frozen=True)
class Base:
    """A base that was made: its manifest's digest, the code in it, and its layers with where each came from."""

    digest: str
    commit: str
    tree: str
    layers: tuple[tuple[str, int, str], ...]


def make_base(
    project: Project,
    pipeline: Pipeline,
    source: Source,
    digest: str | None,
    target: Store,
    *,
    write: bool = True,
    progress: Progress = no_progress,
) -> Base:
    """Put environment and code of HEAD on top of an image of a layout; the same inputs give the same digest everywhere.

    Raises CanonError for changes that are not committed, and for whatever a layer cannot hold. A layout that was new is gone then.
    """
    root = project.root
    commit = _clean_commit(root)
    code = source_commit(root, commit)
    image = load_image(source, source.name, digest)
    tree = commit_source_tree(root, commit)
    edits = _edits(project, pipeline, code, tree, image)
    store = target if write else None
    with tempfile.TemporaryDirectory(prefix="canon-image-") as scratch, whole(target):
        layers = [
            append_layer(store, members, top, says, progress)
            for says, top, members in [
                *_environment(root, pipeline, code, source, image, Path(scratch)),
                ("code", SOURCE, code_members(root, commit)),
            ]
        ]
        made = append_layers(store, source, image, layers, edits, progress=progress)
    return Base(
        digest=made.descriptor.digest,
        commit=code.changed,
        tree=tree,
        layers=tuple((blob.digest, blob.size, says) for blob, says in origins(image, layers, made)),
    )


def _clean_commit(root: Path) -> str:
    commit = head_commit(root)
    if commit is None:
        raise CanonError(f"{root} has no commit yet, and an image holds the code of one; commit first")
    changed = changed_files(root)
    if changed:
        raise CanonError(
            f"the image would not hold what is not committed: {listed(changed)}; commit, or put it into .gitignore"
        )
    return commit


def _environment(
    root: Path, pipeline: Pipeline, code: SourceCommit, source: Source, image: Image, scratch: Path
) -> list[tuple[str, str, Sequence[Member]]]:
    declared = pipeline.declaration.environment
    if declared is None or declared.requirements is None:
        return []
    interpreter = find_interpreter(source, image)
    if interpreter is None:
        raise CanonError(
            f"{image.name} has no python3 on its PATH for the packages of {declared.requirements}; take an image with Python, or leave"
            " `environment.requirements` out where the image holds its environment"
        )
    requirements = run_git(root, "show", f"{code.commit}:{declared.requirements}")
    members = environment_members(requirements, interpreter, image.platform, scratch)
    return [("environment", ENVIRONMENT, members)]


def _edits(project: Project, pipeline: Pipeline, code: SourceCommit, tree: str, image: Image) -> Edits:
    declared = pipeline.declaration.environment
    env = {}
    if declared is not None and declared.requirements is not None:
        known = variables(image)
        env["PATH"] = f"/{ENVIRONMENT}/bin:{known.get('PATH', DEFAULT_PATH)}"
        env["PYTHONPATH"] = ":".join(filter(None, (f"/{ENVIRONMENT}", known.get("PYTHONPATH"))))
    url = project.settings.git.url if project.settings.git is not None else None
    as_declared = declared is not None and (declared.image or "").endswith(f"@{image.digest}")
    labels = {
        f"{OCI}.revision": code.changed,
        f"{OCI}.base.digest": image.digest,
        TREE: tree,
        BASE: "declared" if as_declared else "replaced",
    }
    if url:  # the declared one: a remote is written differently in each clone
        labels[f"{OCI}.source"] = clean_url(url)
    return Edits(time=code.time, env=env, labels=labels, settings={"WorkingDir": f"/{SOURCE}"})
