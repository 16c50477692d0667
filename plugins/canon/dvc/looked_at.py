"""All that DVC looks at to say that nothing is to do, as paths: what a fingerprint has to hold."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canon.output.yaml import load_yaml

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc.stage import Stage


def looked_at(repo: Repo, stages: Iterable[Stage]) -> set[str] | None:
    """Absolute paths of what decides whether ``stages`` changed; of a folder in them everything counts, but for those that are only walked through.

    None where a look does not tell: a stage that always runs, a dep or an out that is not on this machine, `vars` of a stage's own.
    """
    import dvc
    from dvc.dirs import global_config_dir, system_config_dir

    paths: set[str] = {dvc.__file__}
    for stage in stages:
        own = _of_stage(stage)
        if own is None:
            return None
        paths |= own
    paths |= set(_ignoring(repo.root_dir, paths))
    for file in {str(stage.path) for stage in repo.index.stages}:
        named = _named_in(file)
        if named is None:
            return None
        paths |= {file, str(Path(file).with_name("dvc.lock")), *named}
    for folder in (str(repo.dvc_dir), global_config_dir(), system_config_dir()):
        paths |= {f"{folder}/{name}" for name in ("config", "config.local")}
    return paths


def walked_through(repo: Repo) -> Iterator[str]:
    """Folders in which DVC looks for dvc.yaml and `.dvc` files, and those that there are: a new one changes its folder.

    What DVC or Git ignores, and what is below outs, is left out, as DVC does (`dvc.repo.index.collect_files`).
    """
    from dvc.dvcfile import is_valid_filename

    outs = {out.fs_path for stage in repo.index.stages for out in stage.outs if out.protocol == "local"}
    for root, folders, files in repo.dvcignore.walk(repo.fs, repo.root_dir, followlinks=False):
        yield root
        yield f"{root}/.dvcignore"
        yield f"{root}/.gitignore"
        yield from (f"{root}/{each}" for each in files if is_valid_filename(each))
        paths = {each: f"{root}/{each}" for each in folders}
        folders[:] = [each for each, path in paths.items() if path not in outs and not repo.scm.is_ignored(f"{path}/")]


def _ignoring(root: str, paths: Iterable[str]) -> Iterator[str]:
    """The `.dvcignore` of the folders that deps and outs lie in: DVC heeds those in folders, too, that Git ignores and it does not walk through."""
    folders = {folder for path in paths for folder in Path(path).parents if folder.is_relative_to(root)}
    yield from (f"{folder}/.dvcignore" for folder in folders)


def _of_stage(stage: Stage) -> set[str] | None:
    if stage.always_changed or stage.is_callback:
        return None
    paths: set[str] = set()
    for dep in () if stage.frozen else stage.deps:
        if dep.protocol != "local" or type(dep).__name__ not in {"Dependency", "ParamsDependency"}:
            return None
        paths.add(dep.fs_path)
    for out in stage.outs:
        if out.protocol != "local":
            return None
        paths.add(out.fs_path)
        paths |= set(_objects(out))
    return paths


def _objects(out: Output) -> Iterator[str]:
    """The objects of the cache that an out stands for."""
    if not out.use_cache or not out.hash_info:
        return
    yield str(out.cache.oid_to_path(out.hash_info.value))
    if out.is_dir_checksum:
        for _, _, each in out.get_obj() or ():
            if each is not None:
                yield str(out.cache.oid_to_path(each.value))


def _named_in(file: str) -> set[str] | None:
    """The files that a dvc.yaml takes values from; None where a stage has some of its own."""
    if posixpath.basename(file) != "dvc.yaml":
        return set()
    document = load_yaml(Path(file).read_text(encoding="utf-8"), file)
    if not isinstance(document, Mapping):
        return None
    stages: Any = document.get("stages") or {}
    if any("vars" in (stage.get("do") or stage) for stage in stages.values() if isinstance(stage, Mapping)):
        return None
    folder = Path(file).parent
    names = [each.partition(":")[0] for each in document.get("vars") or () if isinstance(each, str)]
    return {str(folder / name) for name in ("params.yaml", *names)}
