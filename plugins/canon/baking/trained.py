"""What is baked: the result of a workspace or of a commit, the stored files of its model, and params files as they were applied."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from canon.baking.base import Code
from canon.baking.provenance import BakedModel
from canon.baking.serving import served
from canon.dvc.objects import StoredFile, known_cache_folder
from canon.dvc.track_stage import result_path
from canon.git import run_git, tree_entries
from canon.image.descriptors import Descriptor
from canon.model.declaration import TRACK
from canon.model.errors import CanonError, DataMissingError, listed
from canon.model.project import Pipeline, Project
from canon.model.result import Result, result_from_text
from canon.model.tree import is_source
from canon.results.changes import changed_inputs
from canon.results.locks import declared_stages, load_lock, load_result_of_lock
from canon.results.log import fetch_data, load_revision, workspace_result
from canon.results.rows import recorded_artifact, recorded_outs

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BakedLayer:
    """A model, and the layer that was made of it."""

    model: BakedModel
    layer: Descriptor


@dataclass(frozen=True)
class Trained:
    """A result and its model's files. ``applied``: path from the root → bytes of a params file that is not the commit's."""

    result: Result
    artifact: str
    path: str
    files: tuple[StoredFile, ...]
    applied: Mapping[str, bytes]
    cache: Path
    baked: BakedLayer | None = None
    """The layer with this very model, which the target has: ``files`` are not looked at."""


def load_trained(
    project: Project, pipeline: Pipeline, code: Code, revision: str | None, remote: str | None, say: Say
) -> Trained:
    """The result of the workspace's dvc.lock, or of a commit's or an experiment's; what is not here is fetched by DVC.

    Raises CanonError where that is not a result of the code, DataMissingError where cache and remote lack it.
    """
    _, path = served(pipeline)
    try:
        return _load(project, pipeline, code, revision)
    except DataMissingError:
        say(f"fetching what {pipeline.name} needs of the remote")
        own = [] if revision else [path, *([result_path(pipeline.name)] if pipeline.declaration.track else [])]
        fetch_data(project.root, revision, remote, own)
    try:
        return _load(project, pipeline, code, revision)
    except DataMissingError as error:
        raise DataMissingError(f"{error} (the remote does not have it either: were the data pushed?)") from None


def _load(project: Project, pipeline: Pipeline, code: Code, revision: str | None) -> Trained:
    cache = known_cache_folder(project.root)
    if revision is None:
        lock = load_lock(project.root, pipeline)
        result = workspace_result(project, pipeline, lock, cache)
        changed = changed_inputs(project.root, declared_stages(project, pipeline), result.entries, folders=True)
        if changed:
            raise CanonError(f"{listed(changed)} changed since the result of {pipeline.name} was made; run `dvc repro`")
        applied: Mapping[str, bytes] = {}
        then, root = pipeline, project.root
    else:
        loaded = load_revision(project, revision)
        then = loaded.project.pipeline(pipeline.name)
        found = loaded.locks.get(pipeline.name)
        if found is None or TRACK not in found.entries:
            raise CanonError(f"the commit {revision[:12]} holds no result of {pipeline.name}")
        content, _ = load_result_of_lock(then, found, cache, None)
        result = result_from_text(content, f"{result_path(pipeline.name)} of {revision[:12]}")
        written = {path for _, path, _ in recorded_outs(then, result.entries)} | {result_path(pipeline.name)}
        written |= {each.pins_file for each in loaded.project.pipelines if each.name != pipeline.name}
        applied = applied_params(project.root, code, revision, result, written)
        root = None
    serving, path = served(pipeline)
    artifact = then.declaration.artifacts.get(serving.artifact)
    if artifact is None or artifact.path != path:
        raise CanonError(f"the commit {str(revision)[:12]} has no artifact `{serving.artifact}` at {path}")
    files = recorded_artifact(artifact, then, result.entries, cache, root)
    return Trained(result, serving.artifact, path, files, applied, cache)


def applied_params(root: Path, code: Code, revision: str, result: Result, written: Collection[str]) -> dict[str, bytes]:
    """Params files of a commit that differ from the code's: path → bytes. ``written``: paths that an experiment's commit may have as well.

    Raises CanonError where anything else differs: its model was made by other code.
    """
    ours = _source_files(root, code.listed, code.env)
    theirs = _source_files(root, revision, {})
    different = {path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)}
    params = {posixpath.normpath(file) for file in result.params}
    different = {path for path in different if path in params or not _is_written(path, written)}
    other = sorted(path for path in different if path not in params or path not in theirs)
    if other:
        raise CanonError(
            f"{revision[:12]} was made by other code than that of HEAD: {listed(other)}; check it out, or `dvc exp apply` it and commit"
        )
    return {path: run_git(root, "cat-file", "blob", f"{revision}:{path}") for path in sorted(different)}


def _is_written(path: str, written: Collection[str]) -> bool:
    """Tell whether a path is, or lies in, what stages and DVC write: metrics that Git keeps, and the lines of .gitignore."""
    return posixpath.basename(path) == ".gitignore" or any(
        path == each or path.startswith(f"{each}/") for each in written
    )


def _source_files(root: Path, tree: str, env: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    listing = run_git(root, "ls-tree", "-r", "-z", "--full-tree", tree, env=env)
    return {entry.path: (entry.mode, entry.oid) for entry in tree_entries(listing) if is_source(entry.path)}
