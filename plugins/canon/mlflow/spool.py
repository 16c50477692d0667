"""Results that a tracking server did not take: kept, and sent later exactly once.

One folder a result, named by its hash: ``record.json`` and copies of the files that DVC's cache does not hold.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canon.mlflow.credentials import drop_credentials
from canon.mlflow.log import log_record
from canon.mlflow.record import DatasetRecord, ModelRecord, RunRecord
from canon.mlflow.store import clean
from canon.model.errors import CanonError, StoreRefusedError, StoreUnavailableError
from canon.output.files import write_bytes
from canon.processes import kept_environment

RECORD, FILES = "record.json", "files"
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class SentReport:
    """How many results were sent, how many are left, and why."""

    sent: int
    left: int
    problems: tuple[str, ...]


def spool_record(record: RunRecord, folder: Path) -> Path:
    """Keep a record; a result that is kept already is kept anew. Raises CanonError when it cannot be written.

    `record.json` comes last and atomically: a folder without it is no result, whoever was killed there.
    """
    target = folder / record.result
    for _ in range(ATTEMPTS):
        try:
            (target / FILES).mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                (folder / ".gitignore").write_text("*\n")
            document = _document(record, target)
            write_bytes(target / RECORD, json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        except FileNotFoundError:  # another process has just sent what was kept there
            continue
        except OSError as error:
            _drop_unfinished(target)
            raise CanonError(_not_kept(folder, error.strerror or str(error))) from None
        except CanonError as error:
            if not target.is_dir():
                continue
            _drop_unfinished(target)
            raise CanonError(_not_kept(folder, str(error))) from None
        return target
    raise CanonError(_not_kept(folder, "other processes keep removing it"))


def _not_kept(folder: Path, reason: str) -> str:
    return f"the result cannot be kept in {folder}: {reason}; free some space, then run `canon log`"


def _drop_unfinished(target: Path) -> None:
    if not (target / RECORD).exists():
        shutil.rmtree(target, ignore_errors=True)


def _document(record: RunRecord, target: Path) -> dict[str, Any]:
    def keep(path: Path) -> str:
        if _is_cached(path):  # DVC names it by its content: it stays what it is
            return str(path.absolute())
        copy = target / FILES / uuid.uuid4().hex
        shutil.copyfile(path, copy)
        return str(copy)

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
        waiting = [
            (path.stat().st_mtime_ns, path.parent)
            for path in folder.glob(f"*/{RECORD}")
            if not path.parent.name.startswith(".")
        ]
        yield from (path for _, path in sorted(waiting))


def load_spooled(path: Path) -> RunRecord:
    """Return a record that was kept. Raises CanonError when it is damaged."""
    try:
        return _record(json.loads((path / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CanonError(
            f"the spooled result {path} is damaged ({type(error).__name__}: {error}); it stays there and is not sent; remove it, or run `canon log` on its commit"
        ) from None


def send_spooled(folder: Path, store_of: Callable[[RunRecord], tuple[str, Path, bool]]) -> SentReport:
    """Send what waits; ``store_of`` gives a record's store, the folder of a local one, and whether the environment's credentials are meant for it.

    A damaged one, one whose files are gone, and one that its store refuses are named and stay. A store that is down is not
    asked again.
    """
    sent, left = 0, 0
    problems: list[str] = []
    down: set[str] = set()
    for path in list(spooled(folder)):
        try:
            record = load_spooled(path)
            uri, root, meant = store_of(record)
            if uri in down:
                left += 1
                continue
            with kept_environment():
                if not meant:
                    drop_credentials(uri)
                log_record(record, uri, root)
        except CanonError as error:
            if not path.exists():  # another process has just sent it
                continue
            if isinstance(error, StoreUnavailableError) and not isinstance(error, StoreRefusedError):
                down.add(uri)
            problems.append(clean(str(error)))
            left += 1
            continue
        gone = path.with_name(f".sent-{path.name}-{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            path.rename(gone)
            sent += 1
        shutil.rmtree(gone, ignore_errors=True)
    return SentReport(sent, left, tuple(problems))
