"""From a result to what one MLflow run says of it. Pure: nothing here imports MLflow."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from canon.model.result import Result

MAX_PARAM = 6000
"""Longest value of a param that MLflow keeps, in characters."""
MAX_TAG = 5000
TAG_RESULT = "canon.result"
TAG_TREE = "canon.tree"
TAG_DIRTY = "canon.dirty"
TAG_COMMIT = "mlflow.source.git.commit"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and how a result was made: what the result itself must not say."""

    commit: str | None = None
    branch: str | None = None
    url: str | None = None
    tree: str | None = None
    dirty: bool = False
    patch: bytes = b""
    profile: str = ""
    user: str = ""
    experiment: str = ""
    """Name of the DVC experiment that ran it (`DVC_EXP_NAME`)."""
    baseline: str = ""
    """Commit that the DVC experiment started from (`DVC_EXP_BASELINE_REV`)."""


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """One dataset as MLflow shows it under "Datasets". ``digest`` is the pin's sha256 (or DVC's md5), whole."""

    name: str
    digest: str
    uri: str
    size: int = 0
    nfiles: int | None = None


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model: its name, its files (path below the model → file on disk), and whether it is registered."""

    name: str
    files: Mapping[str, Path]
    register: bool = True


@dataclass(frozen=True, slots=True)
class RunRecord:
    """All that one run says. ``texts`` and ``files``: path of the artifact → content, or file on disk."""

    experiment: str
    run_name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    datasets: tuple[DatasetRecord, ...] = ()
    texts: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    models: tuple[ModelRecord, ...] = ()

    @property
    def result(self) -> str:
        """Hash of the result that the run is for."""
        return self.tags[TAG_RESULT]


def build_record(
    result: Result,
    origin: Origin,
    *,
    description: str = "",
    again: str = "dvc repro",
    sources: Mapping[str, str] | None = None,
    lock: str = "",
    files: Mapping[str, Path] | None = None,
    models: Iterable[ModelRecord] = (),
) -> RunRecord:
    """Build what is logged.

    ``sources`` are the datasets' URIs, ``lock`` the text of dvc.lock, ``files`` the plots, ``again`` the command that
    makes the result again.
    """
    sources = sources or {}
    texts = {"result.json": _pretty(result)}
    if lock:
        texts["dvc.lock"] = lock.encode()
    if origin.patch:
        texts["canon.patch"] = origin.patch
    return RunRecord(
        experiment=result.pipeline,
        run_name=run_name(result, origin),
        tags=build_tags(result, origin, description, again),
        params=flat_params(result.params),
        metrics=flat_metrics(result.metrics),
        datasets=tuple(
            DatasetRecord(
                name=name,
                digest=str(pin.get("sha256") or pin["md5"]),
                uri=sources.get(name, name),
                size=int(pin.get("size") or 0),
                nfiles=pin.get("nfiles"),
            )
            for name, pin in sorted(result.pins.items())
        ),
        texts=texts,
        files=dict(files or {}),
        models=tuple(models),
    )


def run_name(result: Result, origin: Origin) -> str:
    """A short name: the DVC experiment's if there is one, else pipeline, profile and the result's first digits."""
    return origin.experiment or "-".join(part for part in (result.pipeline, origin.profile, result.digest[:8]) if part)


def origin_tags(origin: Origin) -> dict[str, str]:
    """The tags that say which code it was; they change when a commit with that code appears."""
    tags = {
        TAG_DIRTY: "true" if origin.dirty else "false",
        TAG_TREE: origin.tree,
        TAG_COMMIT: origin.commit,
        "mlflow.source.git.branch": origin.branch,
        "mlflow.source.git.repoURL": origin.url,
    }
    return {key: value for key, value in tags.items() if value}


def build_tags(result: Result, origin: Origin, description: str, again: str) -> dict[str, str]:
    """All tags of a run."""
    tags = {
        TAG_RESULT: result.digest,
        "canon.pipeline": result.pipeline,
        "canon.profile": origin.profile,
        "canon.data_hash": result.data_hash,
        "canon.dvc.experiment": origin.experiment,
        "canon.dvc.baseline": origin.baseline,
        "mlflow.source.type": "PROJECT",
        "mlflow.source.name": origin.url or result.pipeline,
        "mlflow.user": origin.user,
        "mlflow.note.content": format_note(result, origin, description, again),
    }
    return {key: value[:MAX_TAG] for key, value in {**tags, **origin_tags(origin)}.items() if value}


def format_note(result: Result, origin: Origin, description: str, again: str) -> str:
    """The run's description in Markdown: what was run, on which data, and how to run it again."""
    lines = [description.strip(), ""] if description.strip() else []
    lines += ["| stage | command |", "|---|---|"]
    for name, entry in result.entries.items():
        command = entry["cmd"]
        text = " && ".join(command) if isinstance(command, list) else str(command)
        lines.append(f"| {_cell(name)} | `{_cell(text)}` |")
    lines += ["", "| data | bytes | content |", "|---|---|---|"]
    for name, pin in sorted(result.pins.items()):
        lines.append(f"| {_cell(name)} | {pin.get('size', '')} | `{str(pin.get('sha256') or pin['md5'])[:12]}` |")
    before = f"git checkout {origin.commit[:12]} && " if origin.commit else ""
    if origin.dirty:
        before += "git apply canon.patch && "
    lines += ["", "Run it again:", "", f"    {before}{again}", ""]
    if origin.dirty:
        lines.append("The code was not committed when this ran; the changes are in the artifact `canon.patch`.")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("`", "'")


def _pretty(result: Result) -> bytes:
    return (json.dumps({"params": result.params, "metrics": result.metrics, "pins": result.pins, "entries": result.entries,
                        "artifacts": result.artifacts}, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")  # fmt: skip


def valid_key(key: str) -> str:
    """A key that MLflow accepts: letters, digits and ``_-. /``; all else becomes ``_``."""
    return re.sub(r"[^\w\-. /]", "_", key, flags=re.ASCII)[:250]


def _flatten(value: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:  # noqa: ANN401  whatever a file holds
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _unambiguous(flat: Iterable[tuple[str, str, Any]]) -> Iterable[tuple[str, Any]]:
    """Keys without their file, but where two files have the same key."""
    listed = list(flat)
    counts = Counter(key for _, key, _ in listed)
    for file, key, value in listed:
        yield (key if counts[key] == 1 and key else f"{file}:{key}" if key else file), value


def flat_params(params: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Dotted key → value as text, of every params file; pins are left out, they are datasets."""
    flat = [
        (file, key, value)
        for file, values in params.items() if not file.endswith(".pins.yaml")
        for key, value in _flatten(values)
    ]  # fmt: skip
    return {valid_key(key): _param(value) for key, value in _unambiguous(flat)}


def _param(value: Any) -> str:  # noqa: ANN401  whatever a file holds
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return text if len(text) <= MAX_PARAM else text[: MAX_PARAM - 1] + "…"


def flat_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Dotted key → number, of every metrics file; what is no number is left out, NaN and infinity are MLflow's own."""
    flat = [(path, key, value) for path, content in metrics.items() for key, value in _flatten(content)]
    found: dict[str, float] = {}
    for key, value in _unambiguous(flat):
        number = _number(value)
        if number is not None:
            found[valid_key(key)] = number
    return found


def _number(value: Any) -> float | None:  # noqa: ANN401  whatever a file holds
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float):
        return float(value)
    if value in {"nan", "inf", "-inf"}:  # as canonical JSON spells them
        return float(value)
    return None
