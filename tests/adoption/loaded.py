"""What DVC itself loads of a project: the oracle of adoption, by DVC's own index and lock entries, not by what Canon compares."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from canon.adoption.adopt import Adoption, adopt
from canon.adoption.start import SETTINGS
from canon.output.files import write_files


def loaded(root: Path) -> dict[str, Any]:
    """Every stage by its address, as DVC has it once it is loaded, and what stands at the top of the files."""
    with Repo(os.fspath(root)) as repo:
        index = repo.index
        found: dict[str, Any] = {
            stage.addressing: {
                "cmd": stage.cmd,
                "wdir": os.path.relpath(stage.wdir, root),
                "frozen": stage.frozen,
                "always_changed": stage.always_changed,
                "desc": stage.desc,
                "meta": json.dumps(stage.meta, default=str),
                "deps": [(type(dep).__name__, dep.def_path, getattr(dep, "params", None)) for dep in stage.deps],
                "outs": [
                    (out.def_path, out.use_cache, out.persist, out.can_push, out.remote, out.metric, out.plot, repr(out.annot))
                    for out in stage.outs
                ],
            }
            for stage in index.stages
            if stage.is_data_source is not None and hasattr(stage, "name")
        }  # fmt: skip
        tops = {
            "metrics": index._metrics,
            "params": index._params,
            "plots": index._plots,
            "artifacts": index._artifacts,
            "order": [stage.addressing for stage in index.stages],
        }
        return {**found, "": {name: _plain(each) for name, each in tops.items()}}


def _plain(value: Any) -> Any:
    """Paths as they are written plainly: `./a` is `a`."""
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return os.path.normpath(value) if isinstance(value, str) else repr(value)


def adopted(root: Path, name: str | None = None) -> Adoption:
    """Adopt a project in place: all that is written, is."""
    with Repo(os.fspath(root)) as repo:
        adoption = adopt(repo, SETTINGS, name)
    write_files(root, adoption.files)
    return adoption
