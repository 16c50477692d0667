"""A resolved stage: what DVC runs, templates filled in, with its paths as DVC writes them and from the root."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

DEFAULT_PARAMS_FILE = "params.yaml"
OutKind: TypeAlias = Literal["outs", "metrics", "plots"]
OUT_KINDS: tuple[OutKind, ...] = ("outs", "metrics", "plots")


@dataclass(frozen=True, slots=True)
class Out:
    """A file or folder that a stage writes; ``path`` is relative to the stage's working folder, as DVC writes it."""

    path: str
    kind: OutKind = "outs"
    cache: bool = True
    persist: bool = False
    push: bool = True
    remote: str | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a dvc.yaml.

    ``file`` is the path of the dvc.yaml from the repository's root; ``wdir`` is relative to its folder; ``deps``, ``params``
    and ``outs`` are relative to ``wdir``. ``params``: params file → keys, ``()`` for the whole file.
    """

    name: str
    cmd: str | tuple[str, ...]
    file: str = "dvc.yaml"
    wdir: str = "."
    deps: tuple[str, ...] = ()
    params: tuple[tuple[str, tuple[str, ...]], ...] = ()
    outs: tuple[Out, ...] = ()
    frozen: bool = False
    always_changed: bool = False
    desc: str | None = None
    meta: Any = None

    @property
    def folder(self) -> str:
        """The folder that the command and its paths start from, relative to the root."""
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.file), self.wdir))

    def from_root(self, path: str) -> str:
        """A path of this stage relative to the root; URLs stay as they are, and so do absolute paths."""
        return _from_root(self.file, self.wdir, path)

    @property
    def dep_paths(self) -> tuple[str, ...]:
        """Deps, relative to the root, in the order of ``deps``."""
        return tuple(self.from_root(dep) for dep in self.deps)

    @property
    def out_paths(self) -> tuple[str, ...]:
        """Outs, relative to the root, in the order of ``outs``."""
        return tuple(self.from_root(out.path) for out in self.outs)

    @property
    def param_paths(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Params files, relative to the root, with their keys."""
        return tuple((self.from_root(file), keys) for file, keys in self.params)


@lru_cache(maxsize=1 << 16)  # all that is made of a stage asks for its paths
def _from_root(file: str, wdir: str, path: str) -> str:
    if "://" in path:
        return path
    return posixpath.normpath(posixpath.join(posixpath.dirname(file), wdir, path))


def stage_from_definition(name: str, definition: Mapping[str, Any], file: str = "dvc.yaml") -> Stage:
    """Return the stage that a resolved definition in DVC's own schema (dvc/schema.py) says."""
    cmd = definition["cmd"]
    return Stage(
        name=name,
        cmd=tuple(cmd) if isinstance(cmd, list | tuple) else cmd,
        file=file,
        wdir=definition.get("wdir") or ".",
        deps=tuple(definition.get("deps") or ()),
        params=merge_params(definition.get("params") or ()),
        outs=tuple(_outs(definition)),
        frozen=bool(definition.get("frozen")),
        always_changed=bool(definition.get("always_changed")),
        desc=definition.get("desc"),
        meta=definition.get("meta"),
    )


def _outs(definition: Mapping[str, Any]) -> Iterator[Out]:
    for kind in OUT_KINDS:
        merged: dict[str, dict[str, Any]] = {}  # a path that stands twice in a list has the flags of both
        for item in definition.get(kind) or ():
            for path, flags in {item: None}.items() if isinstance(item, str) else item.items():
                merged.setdefault(path, {}).update(flags if isinstance(flags, Mapping) else {})
        for path, given in merged.items():
            yield Out(
                path=path,
                kind=kind,
                cache=given.get("cache", True),
                persist=given.get("persist", False),
                push=given.get("push", True),
                remote=given.get("remote"),
            )


def merge_params(items: Iterable[str | Mapping[str, Any]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Keys by params file, in the order that DVC meets the files (dvc/dependency/__init__.py, ``_merge_params``)."""
    listed = list(items)
    whole = {file for item in listed if isinstance(item, Mapping) for file, keys in item.items() if not keys}
    merged: dict[str, list[str]] = {}
    for item in listed:
        if isinstance(item, str):
            if DEFAULT_PARAMS_FILE not in whole:
                merged.setdefault(DEFAULT_PARAMS_FILE, []).append(item)
            continue
        for file, keys in item.items():
            merged.setdefault(file, []).extend(() if file in whole else keys)
    return tuple((file, () if file in whole else tuple(keys)) for file, keys in merged.items())
