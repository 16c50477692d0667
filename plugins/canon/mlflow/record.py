"""From a result to what one MLflow run says of it. Pure: nothing here imports MLflow."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from canon.model.result import Result

MAX_PARAM = 6000
"""Longest value of a param that MLflow keeps, in characters."""
MAX_TAG = 5000
MAX_KEY = 250
MAX_CELL = 300
"""Longest command in the description, in characters."""
NOT_COMMITTED = "The code was not committed when this ran"
TAG_RESULT = "canon.result"
TAG_TREE = "canon.tree"
TAG_DIRTY = "canon.dirty"
TAG_COMMIT = "mlflow.source.git.commit"


T = TypeVar("T")


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
    """The run's description in Markdown: what was run, on which data, and how to run it again.

    Tables that would not fit into a tag end early, and say so.
    """
    lines = [description.strip()[: MAX_TAG // 4], ""] if description.strip() else []
    before = f"git checkout {origin.commit[:12]} && " if origin.commit else ""
    if origin.patch:
        before += "git apply canon.patch && "
    lines += ["Run it again:", "", f"    {before}{again}", ""]
    if origin.dirty:
        kept = "the changes are in the artifact `canon.patch`" if origin.patch else "and its changes are not recorded"
        lines += [f"{NOT_COMMITTED}{';' if origin.patch else ','} {kept}.", ""]
    stages = [f"| {format_cell(name)} | `{format_cell(_command(entry))}` |" for name, entry in result.entries.items()]
    data = [
        f"| {format_cell(name)} | {pin.get('size', '')} | `{str(pin.get('sha256') or pin['md5'])[:12]}` |"
        for name, pin in sorted(result.pins.items())
    ]
    room = MAX_TAG - sum(len(line) + 1 for line in lines)
    if data:
        lines += [*format_table(["| data | bytes | content |", "|---|---|---|"], data, room // 3), ""]
    room = MAX_TAG - sum(len(line) + 1 for line in lines)
    lines += format_table(["| stage | command |", "|---|---|"], stages, room)
    return "\n".join(lines)


def _command(entry: Mapping[str, Any]) -> str:
    command = entry["cmd"]
    text = " && ".join(command) if isinstance(command, list) else str(command)
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def format_table(head: list[str], rows: list[str], room: int, rest: str = "see `result.json`") -> list[str]:
    """A table of at most ``room`` characters; ``rest``: where those are that have no place in it."""
    lines = list(head)
    for position, row in enumerate(rows):
        last = f"| and {len(rows) - position} more | {rest} |"
        if sum(len(line) + 1 for line in [*lines, row, last]) > room:
            return [*lines, last]
        lines.append(row)
    return lines


def format_cell(text: str) -> str:
    """A text as a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ").replace("`", "'")


def _pretty(result: Result) -> bytes:
    return (json.dumps({"params": result.params, "metrics": result.metrics, "pins": result.pins, "entries": result.entries,
                        "artifacts": result.artifacts}, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")  # fmt: skip


def valid_key(key: str) -> str:
    """A key that MLflow accepts: letters, digits and ``_-. :/``, no path that would resolve to another; at most 250 long."""
    text = re.sub(r"[^\w\-. :/]", "_", key)
    if posixpath.normpath(text) != text or text.startswith("/"):
        text = text.replace("/", "_")
    return re.sub(r"^\.+", lambda dots: "_" * len(dots[0]), text)[:MAX_KEY] or "_"


def valid_keys(values: Iterable[tuple[str, T]]) -> dict[str, T]:
    """Values under keys that MLflow accepts; where two keys become one, the later gets four digits of its hash."""
    found: dict[str, T] = {}
    for key, value in values:
        name = valid_key(key)
        if name in found:
            name = f"{name[: MAX_KEY - 5]}_{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:4]}"
        found[name] = value
    return found


def mlflow_name(name: str) -> str:
    """The name of an artifact as a model of MLflow, which takes none of ``/:.%"'``."""
    return re.sub(r"[/:.%\"']", "-", name)


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
    return valid_keys((key, _param(value)) for key, value in _unambiguous(flat))


def _param(value: Any) -> str:  # noqa: ANN401  whatever a file holds
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return text if len(text) <= MAX_PARAM else text[: MAX_PARAM - 1] + "…"


def flat_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Dotted key → number, of every metrics file; what is no number is left out, NaN and infinity are MLflow's own."""
    flat = [(path, key, value) for path, content in metrics.items() for key, value in _flatten(content)]
    numbers = ((key, _number(value)) for key, value in _unambiguous(flat))
    return valid_keys((key, number) for key, number in numbers if number is not None)


def _number(value: Any) -> float | None:  # noqa: ANN401  whatever a file holds
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str) and value in {"nan", "inf", "-inf"}:  # as canonical JSON spells them
        return float(value)
    return None
