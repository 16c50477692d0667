"""Logging a record: exactly one run a result, complete, and again without harm.

MLflow has no unique keys. So the result's hash is a tag from the run's creation on; after creating, it is searched for
again, the oldest run wins and a loser deletes its own. What a killed process left half-sent is found by the tag and finished.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canon.mlflow.record import TAG_COMMIT, TAG_DIRTY, TAG_RESULT, TAG_TREE, DatasetRecord, ModelRecord, RunRecord
from canon.mlflow.store import explained, open_client, sqlite_file, store_lock
from canon.model.errors import CanonError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARAMS_A_BATCH, METRICS_A_BATCH = 100, 1000
MAX_DIGEST = 36
"""Longest digest of a dataset that MLflow keeps; the whole one stands in the dataset's profile."""


@dataclass(frozen=True, slots=True)
class Logged:
    """The run of a result; ``created`` is False when it was complete already. ``url``: its page, on a server."""

    run_id: str
    created: bool
    url: str | None


def log_record(record: RunRecord, uri: str, root: Path) -> Logged:
    """Log a record where it is missing, or finish it where it is incomplete.

    ``root`` is the folder of a local store. Raises StoreUnavailableError when the store does not answer or refuses.
    """
    with store_lock(uri, root), explained(uri):
        client = open_client(uri)
        experiment = _experiment(client, record.experiment, uri)
        run = _find(client, experiment, record.result)
        if run is not None and run.info.status == "FINISHED":
            return Logged(run.info.run_id, created=False, url=_url(uri, experiment, run.info.run_id))
        if run is None:
            created = client.create_run(experiment, tags=dict(record.tags), run_name=record.run_name)
            run = _find(client, experiment, record.result) or created
            if run.info.run_id != created.info.run_id:
                client.delete_run(created.info.run_id)
                if run.info.status == "FINISHED":
                    return Logged(run.info.run_id, created=False, url=_url(uri, experiment, run.info.run_id))
        _fill(client, run, experiment, record)
        client.set_terminated(run.info.run_id, "FINISHED")
        return Logged(run.info.run_id, created=True, url=_url(uri, experiment, run.info.run_id))


def _url(uri: str, experiment: str, run_id: str) -> str | None:
    from canon.mlflow.store import clean

    return f"{clean(uri).rstrip('/')}/#/experiments/{experiment}/runs/{run_id}" if uri.startswith("http") else None


def _experiment(client: MlflowClient, name: str, uri: str) -> str:
    """Id of the experiment, made where it is missing. Raises CanonError for one that was deleted."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage == "deleted":
            raise CanonError(
                f"the MLflow experiment `{name}` was deleted; bring it back with `mlflow experiments restore -x {found.experiment_id}`"
            )
        return str(found.experiment_id)
    file = sqlite_file(uri)
    # Without a location of its own, artifacts would go to ./mlruns of the folder that a command happens to run in.
    location = (file.parent.absolute() / "mlartifacts" / name).as_uri() if file is not None else None
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        again = client.get_experiment_by_name(name)
        if again is None:
            raise
        return str(again.experiment_id)


def _find(client: MlflowClient, experiment: str, result: str) -> Run | None:
    """The oldest run of a result, deleted ones left out."""
    runs = client.search_runs([experiment], filter_string=f"tags.`{TAG_RESULT}` = '{result}'", max_results=100)
    return min(runs, key=lambda run: (run.info.start_time, run.info.run_id), default=None)


def _fill(client: MlflowClient, run: Run, experiment: str, record: RunRecord) -> None:
    from mlflow.entities import Metric, Param

    run_id = run.info.run_id
    params = [Param(key, value) for key, value in record.params.items() if key not in run.data.params]
    for start in range(0, len(params), PARAMS_A_BATCH):
        client.log_batch(run_id, params=params[start : start + PARAMS_A_BATCH])
    metrics = [
        Metric(key, value, run.info.start_time, 0)
        for key, value in record.metrics.items()
        if key not in run.data.metrics
    ]
    for start in range(0, len(metrics), METRICS_A_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_A_BATCH])
    if run.inputs is None or not run.inputs.dataset_inputs:
        _log_datasets(client, run_id, record.datasets)
    with _staged({**record.files}, record.texts) as folder:
        client.log_artifacts(run_id, str(folder))
    done = {output.model_id for output in getattr(run.outputs, "model_outputs", None) or ()}
    for model in record.models:
        _log_model(client, run, experiment, model, record, done)


class _staged:  # noqa: N801  a context manager, used as a function
    """A folder with files under the names that they are logged under; on disk they may be named by their hashes."""

    def __init__(self, files: Mapping[str, Path], texts: Mapping[str, bytes] | None = None) -> None:
        self.files, self.texts = files, texts or {}

    def __enter__(self) -> Path:
        self.folder = Path(tempfile.mkdtemp(prefix="canon-log-"))
        for name, source in self.files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not source.is_file():
                raise CanonError(f"{source} is gone, which {name} would be logged from; run `dvc fetch`")
            try:
                os.link(source, path)  # no bytes are copied where both lie on one file system
            except OSError:
                shutil.copyfile(source, path)
        for name, content in self.texts.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return self.folder

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _log_datasets(client: MlflowClient, run_id: str, datasets: Iterable[DatasetRecord]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Dataset(
                name=dataset.name,
                digest=dataset.digest[:MAX_DIGEST],
                source_type="s3"
                if dataset.uri.startswith("s3://")
                else "http"
                if dataset.uri.startswith("http")
                else "local",
                source=json.dumps({"uri": dataset.uri}),
                profile=json.dumps(
                    {
                        "digest": dataset.digest,
                        "bytes": dataset.size,
                        **({"files": dataset.nfiles} if dataset.nfiles else {}),
                    }
                ),
            ),
            [InputTag("mlflow.data.context", "training")],
        )
        for dataset in datasets
    ]
    if inputs:
        client.log_inputs(run_id, datasets=inputs)


def _log_model(
    client: MlflowClient, run: Run, experiment: str, model: ModelRecord, record: RunRecord, done: set[str]
) -> None:
    run_id = run.info.run_id
    if "MLmodel" not in model.files:  # not in MLflow's format: kept as it is
        with _staged({f"models/{model.name}/{path}": source for path, source in model.files.items()}) as folder:
            client.log_artifacts(run_id, str(folder))
        return
    from mlflow.entities import LoggedModelOutput

    model_id = _own_model(client, experiment, run_id, model.name)
    if model_id is None:
        model_id = client.create_logged_model(
            experiment,
            name=model.name,
            source_run_id=run_id,
            tags={TAG_RESULT: record.result},
            params=dict(record.params) or None,
            model_type="pyfunc",
        ).model_id
    state = client.get_logged_model(model_id)
    if str(state.status) != "READY":
        with _staged(model.files) as folder:
            client.log_model_artifacts(model_id, str(folder))
        client.finalize_logged_model(model_id, "READY")
    if model_id not in done:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])
    if model.register:
        _register(client, model.name, model_id, run_id, record)


def _own_model(client: MlflowClient, experiment: str, run_id: str, name: str) -> str | None:
    found = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
    return next((str(item.model_id) for item in found if item.name == name), None)


def _register(client: MlflowClient, name: str, model_id: str, run_id: str, record: RunRecord) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    if any(version.run_id == run_id for version in client.search_model_versions(f"name = '{name}'")):
        return
    kept = (TAG_RESULT, TAG_COMMIT, "canon.data_hash")
    client.create_model_version(
        name,
        source=f"models:/{model_id}",
        run_id=run_id,
        model_id=model_id,
        tags={key: record.tags[key] for key in kept if key in record.tags},
    )


def assign_commits(
    uri: str, root: Path, experiment: str, commit_of_tree: Callable[[str, str | None], str | None]
) -> int:
    """Give dirty runs of an experiment the commit that ``commit_of_tree(tree, base)`` knows; return how many got one.

    A local store that does not exist yet is not made, nor MLflow imported for it.
    """
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        return 0
    count = 0
    with store_lock(uri, root), explained(uri):
        client = open_client(uri)
        found = client.get_experiment_by_name(experiment)
        if found is None or found.lifecycle_stage == "deleted":
            return 0
        runs: list[Any] = list(
            client.search_runs([found.experiment_id], filter_string=f"tags.`{TAG_DIRTY}` = 'true'", max_results=1000)
        )
        for run in runs:
            tree = run.data.tags.get(TAG_TREE)
            commit = commit_of_tree(tree, run.data.tags.get(TAG_COMMIT)) if tree else None
            if commit:
                client.set_tag(run.info.run_id, TAG_COMMIT, commit)
                client.set_tag(run.info.run_id, TAG_DIRTY, "false")
                client.set_tag(
                    run.info.run_id,
                    "mlflow.note.content",
                    _committed(run.data.tags.get("mlflow.note.content", ""), commit),
                )
                count += 1
    return count


def _committed(note: str, commit: str) -> str:
    """The description, once the code is committed: the checkout alone runs it again."""
    lines: list[str] = []
    for line in note.splitlines():
        if line.startswith("    ") and "dvc repro" in line:
            again = line.strip().split("git apply canon.patch && ")[-1]
            lines.append(f"    git checkout {commit[:12]} && {again}")
        elif not line.startswith("The code was not committed when this ran"):
            lines.append(line)
    return "\n".join(lines)
