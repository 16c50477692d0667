"""Results that a tracking server did not take: kept, and sent later exactly once.

One folder a result, named by its hash: ``record.json`` and copies of the files that DVC's cache does not hold.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canon.mlflow.log import log_record
from canon.mlflow.record import DatasetRecord, ModelRecord, RunRecord
from canon.mlflow.store import clean
from canon.model.errors import CanonError, StoreUnavailableError

RECORD = "record.json"


@dataclass(frozen=True, slots=True)
class SentReport:
    """How many results were sent, how many are left, and why."""

    sent: int
    left: int
    problems: tuple[str, ...]


def spool_record(record: RunRecord, folder: Path) -> Path:
    """Keep a record; a result that is kept already is kept anew. Raises CanonError when it cannot be written."""
    target = folder / record.result
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            (folder / ".gitignore").write_text("*\n")
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        try:
            (scratch / "files").mkdir()
            document = _document(record, scratch, target)
            (scratch / RECORD).write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
            if target.exists():
                target.rename(scratch.with_name(f"{scratch.name}-old"))
                shutil.rmtree(scratch.with_name(f"{scratch.name}-old"), ignore_errors=True)
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise CanonError(
            f"the result cannot be kept in {folder}: {error.strerror or error}; free some space, then run `canon log`"
        ) from None
    return target


def _document(record: RunRecord, scratch: Path, target: Path) -> dict[str, Any]:
    count = 0

    def keep(path: Path) -> str:
        nonlocal count
        if _is_cached(path):  # DVC names it by its content: it stays what it is
            return str(path.absolute())
        count += 1
        copy = scratch / "files" / str(count)
        shutil.copyfile(path, copy)
        return str(target / "files" / str(count))

    return {
        "experiment": record.experiment,
        "run_name": record.run_name,
        "tags": dict(record.tags),
        "params": dict(record.params),
        "metrics": {key: repr(value) for key, value in record.metrics.items()},
        "datasets": [
            {"name": item.name, "digest": item.digest, "uri": item.uri, "size": item.size, "nfiles": item.nfiles}
            for item in record.datasets
        ],
        "texts": {name: base64.b64encode(content).decode() for name, content in record.texts.items()},
        "files": {name: keep(path) for name, path in record.files.items()},
        "models": [
            {
                "name": model.name,
                "register": model.register,
                "files": {name: keep(path) for name, path in model.files.items()},
            }
            for model in record.models
        ],
    }


def _is_cached(path: Path) -> bool:
    return path.parent.parent.name == "md5" and path.parent.parent.parent.name == "files"


def _record(document: Mapping[str, Any]) -> RunRecord:
    return RunRecord(
        experiment=document["experiment"],
        run_name=document["run_name"],
        tags=document["tags"],
        params=document["params"],
        metrics={key: float(value) for key, value in document["metrics"].items()},
        datasets=tuple(DatasetRecord(**item) for item in document["datasets"]),
        texts={name: base64.b64decode(text) for name, text in document["texts"].items()},
        files={name: Path(path) for name, path in document["files"].items()},
        models=tuple(
            ModelRecord(
                name=item["name"],
                files={name: Path(path) for name, path in item["files"].items()},
                register=item["register"],
            )
            for item in document["models"]
        ),
    )


def spooled(folder: Path) -> Iterator[Path]:
    """Yield the folders of the results that wait, oldest first."""
    if folder.is_dir():
        waiting = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        yield from sorted(waiting, key=lambda path: (path.stat().st_mtime_ns, path.name))


def load_spooled(path: Path) -> RunRecord:
    """Return a record that was kept. Raises CanonError when it is damaged."""
    try:
        return _record(json.loads((path / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CanonError(
            f"the spooled result {path} is damaged ({type(error).__name__}: {error}); it stays there and is not sent; remove it, or run `canon log` on its commit"
        ) from None


def send_spooled(folder: Path, uri: str, root: Path) -> SentReport:
    """Send what waits. A damaged one, or one whose files are gone, is named and stays; a store that is down ends it."""
    sent, left = 0, 0
    problems: list[str] = []
    waiting = list(spooled(folder))
    for position, path in enumerate(waiting):
        try:
            log_record(load_spooled(path), uri, root)
        except StoreUnavailableError as error:
            problems.append(clean(str(error)))
            left += len(waiting) - position
            break
        except CanonError as error:
            if not path.exists():  # another process has just sent it
                continue
            problems.append(clean(str(error)))
            left += 1
            continue
        gone = path.with_name(f".sent-{path.name}-{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            path.rename(gone)
            sent += 1
        shutil.rmtree(gone, ignore_errors=True)
    return SentReport(sent, left, tuple(problems))
