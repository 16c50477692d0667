"""The image for experiments: the declared one, the environment, and the code of a commit."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from canon.baking.cache import BuildCache, open_cache
from canon.baking.code import SOURCE, SourceCommit, code_members, source_commit
from canon.baking.environment import ENVIRONMENT, environment_layer
from canon.baking.interpreter import DEFAULT_PATH, Interpreter, find_interpreter
from canon.baking.labels import BASE, BASE_DIGEST, BASE_NAME, DIRTY, PYTHON, REVISION, SOURCE_URL, TREE
from canon.git import check_repository, clean_url, commit_source_tree, head_commit, run_git
from canon.image.append import append_layer, append_layers, origins, whole
from canon.image.contents import final_paths
from canon.image.descriptors import Descriptor
from canon.image.images import Edits, Image, image_of, variables
from canon.image.layout import Layout
from canon.image.stores import Progress, Source, Store, no_progress
from canon.model.errors import CanonError, UnreadableLayerError, listed
from canon.model.project import Pipeline, Project
from canon.model.settings import Settings
from canon.model.tree import source_tree
from canon.source_state import changed_files, secret_files, staged_checkout


@dataclass(frozen=True)
class Code:
    """The code that goes into an image: the source tree of a commit, or that of a checkout with changes.

    ``tree`` is the hash of the source tree, ``listed`` the Git tree that it is read from with ``env``.
    """

    commit: SourceCommit
    tree: str
    dirty: bool
    listed: str
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Base:
    """A base that was made, the code in it, and its layers with where each came from."""

    image: Image
    commit: str
    tree: str
    dirty: bool
    layers: tuple[tuple[Descriptor, str], ...]
    variant: str
    """What its tag and those of images on it have of it: the source tree, and the image below where that is not the declared one."""


@contextlib.contextmanager
def open_code(root: Path, *, allow_dirty: bool = False) -> Iterator[Code]:
    """The code of HEAD; with ``allow_dirty`` that of the checkout, without files whose name says secret.

    Raises CanonError where there is no commit, and for changes that are not committed unless they are allowed.
    """
    check_repository(root)
    commit = head_commit(root)
    if commit is None:
        raise CanonError(f"{root} has no commit yet, and an image holds the code of one; commit first")
    changed = changed_files(root)
    if not changed:
        yield Code(source_commit(root, commit), commit_source_tree(root, commit), dirty=False, listed=commit)
        return
    if not allow_dirty:
        raise CanonError(
            f"the image would not hold what is not committed: {listed(changed)}; commit, put it into .gitignore,"
            " or say --allow-dirty, which marks the image"
        )
    from canon.git import tree_entries

    with staged_checkout(root, secret_files(root)) as env:
        tree = source_tree(tree_entries(run_git(root, "ls-files", "-s", "-z", env=env)))
        written = run_git(root, "write-tree", env=env).decode().strip()
        yield Code(source_commit(root, commit), tree, dirty=True, listed=written, env=env)


def make_base(
    project: Project,
    pipeline: Pipeline,
    code: Code,
    source: Source,
    image: Image,
    target: Store,
    *,
    write: bool = True,
    progress: Progress = no_progress,
) -> Base:
    """Put environment and code on top of an image, which lies in ``source``; the same inputs give the same digest everywhere.

    What the store has already is not written again. Raises CanonError for whatever a layer cannot hold; nothing that a tag points
    to is left half made, and a layout that was new is gone then.
    """
    root = project.root
    store = target if write else None
    variant = _variant(code, image, pipeline)
    with tempfile.TemporaryDirectory(prefix="canon-image-") as scratch, whole(target):
        cache = open_cache(Path(scratch) / "cache")
        layers = []
        requirements = _requirements(root, pipeline, code)
        interpreter = _interpreter(cache, source, image, needed=requirements is not None)
        if requirements is not None:
            if interpreter is None:
                raise CanonError(
                    f"{image.name} has no python3 on its PATH for the packages of {_requirements_file(pipeline)}; take an image with Python,"
                    " or leave `environment.requirements` out where the image holds its environment"
                )
            into = Path(scratch) / "install"
            into.mkdir()
            layers.append(environment_layer(store, cache, requirements, interpreter, image.platform, into, progress))
        members = code_members(root, code.listed, code.env)
        layers.append(append_layer(store, members, SOURCE, "code", progress))
        python = interpreter.path if interpreter is not None else None
        edits = base_edits(project.settings, pipeline, code, image, python, declared=is_declared(pipeline, image))
        if write and isinstance(target, Layout):  # small, and `canon image verify` has it at hand
            content, _ = source.manifest(source.find(image.digest))
            target.write_blob(content, image.manifest.media_type)
            target.copy(source, image.manifest.config)
        made = append_layers(store, source, image, layers, edits, f"base-{variant}", progress)
    return Base(
        image=image_of(made, target.name),
        commit=code.commit.changed,
        tree=code.tree,
        dirty=code.dirty,
        layers=origins(image, layers, made),
        variant=variant,
    )


def is_declared(pipeline: Pipeline, image: Image) -> bool:
    """Tell whether an image is the one that the declaration names by its digest."""
    declared = pipeline.declaration.environment
    name = (declared.image or "") if declared is not None else ""
    return name.endswith((f"@{image.digest}", f"@{image.found}"))


def _variant(code: Code, image: Image, pipeline: Pipeline) -> str:
    replaced = "" if is_declared(pipeline, image) else f"-{image.digest.removeprefix('sha256:')[:12]}"
    return f"{code.tree[:12]}{replaced}"


def _interpreter(cache: BuildCache, source: Source, image: Image, *, needed: bool) -> Interpreter | None:
    """The image's Python; to look for it means to read all layers, and what was found of a digest stays true.

    Where nothing is installed for it, layers of a kind that cannot be read are as good as none with a Python.
    """
    key = image.digest.removeprefix("sha256:")
    known = cache.recall("interpreters", key)
    if isinstance(known, dict) and known.keys() == {"version", "path"}:
        return Interpreter(str(known["version"]), str(known["path"])) if known["path"] else None
    try:
        found = find_interpreter(final_paths(source, image), image)
    except UnreadableLayerError:
        if needed:
            raise
        return None
    cache.keep("interpreters", key, {"version": found.version if found else "", "path": found.path if found else ""})
    return found


def _requirements(root: Path, pipeline: Pipeline, code: Code) -> bytes | None:
    file = _requirements_file(pipeline)
    return None if file is None else run_git(root, "cat-file", "blob", f"{code.listed}:{file}", env=code.env)


def _requirements_file(pipeline: Pipeline) -> str | None:
    declared = pipeline.declaration.environment
    if declared is not None and declared.bytecode:
        raise CanonError(f"{pipeline.file} asks for `environment.bytecode`, which no image gets yet; take it out")
    return declared.requirements if declared is not None else None


def base_edits(
    settings: Settings, pipeline: Pipeline, code: Code, image: Image, python: str | None, *, declared: bool
) -> Edits:
    """What changes in the configuration of the image below; ``python``: path of its interpreter."""
    env = {}
    if _requirements_file(pipeline) is not None:
        known = variables(image)
        env["PATH"] = f"/{ENVIRONMENT}/bin:{known.get('PATH', DEFAULT_PATH)}"
        env["PYTHONPATH"] = ":".join(filter(None, (f"/{ENVIRONMENT}", known.get("PYTHONPATH"))))
    url = settings.git.url if settings.git is not None else None
    labels: dict[str, str | None] = {
        REVISION: code.commit.changed,
        BASE_DIGEST: image.digest,
        TREE: code.tree,
        BASE: "replaced",
    }
    environment = pipeline.declaration.environment
    if declared and environment is not None:
        labels |= {BASE: "declared", BASE_NAME: str(environment.image)}
    if python is not None:
        labels[PYTHON] = python
    if code.dirty:
        labels[DIRTY] = "true"
    if url:  # the declared one: a remote is written differently in each clone
        labels[SOURCE_URL] = clean_url(url)
    return Edits(time=code.commit.time, env=env, labels=labels, settings={"WorkingDir": f"/{SOURCE}"})
