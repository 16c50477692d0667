"""Logging a record: exactly one run a result, complete, and again without harm.

MLflow has no unique keys. So the result's hash is a tag from the run's creation on; after creating, it is searched for
again, the oldest run wins and a loser deletes its own. What a killed process left half-sent is found by the tag and finished.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canon.mlflow.artifacts import staged
from canon.mlflow.models import log_model, own_models, own_versions, register_model
from canon.mlflow.record import (
    NOT_COMMITTED,
    TAG_COMMIT,
    TAG_DIRTY,
    TAG_RESULT,
    TAG_TREE,
    DatasetRecord,
    RunRecord,
)
from canon.mlflow.store import clean, opened, sqlite_file
from canon.model.errors import StoreRefusedError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FINISHED = "FINISHED"
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""MLflow's own page for training: without it the page asks, and shows what is for language models."""
PARAMS_A_BATCH, METRICS_A_BATCH, BYTES_A_BATCH = 100, 1000, 800_000
MAX_DIGEST = 36
"""Longest digest of a dataset that MLflow keeps; the whole one stands in the dataset's profile."""


@dataclass(frozen=True, slots=True)
class Logged:
    """The run of a result; ``created`` is False when it was complete already. ``url``: its page, on a server.

    ``named``: it was dirty, and has its commit now.
    """

    run_id: str
    created: bool
    named: bool
    url: str | None


def log_record(record: RunRecord, uri: str, root: Path) -> Logged:
    """Log a record where it is missing, finish it where it is incomplete, and name its commit where it was dirty.

    ``root`` is the folder of a local store. Raises StoreUnavailableError when the store does not answer or refuses.
    """
    with opened(uri, root) as client:
        experiment = experiment_id(client, record.experiment, uri)
        run = find_run(client, experiment, record.result)
        if run is None:
            created = client.create_run(experiment, tags=dict(record.tags), run_name=record.run_name)
            run = find_run(client, experiment, record.result) or created
            if run.info.run_id != created.info.run_id:
                _discard(client, experiment, created)
        _discard_twins(client, experiment, run, record.result)
        filled = False
        while run.info.status != FINISHED and not filled:
            models = _fill(client, run, experiment, record)
            first = find_run(client, experiment, record.result) or run
            filled = first.info.run_id == run.info.run_id
            if filled:
                for name, model_id in models.items():
                    register_model(client, name, model_id, run.info.run_id, record)
                client.set_terminated(run.info.run_id, FINISHED)
            else:  # another machine made it at the same moment
                _discard(client, experiment, run)
                run = first
        named = not filled and _name_commit(client, run, record)
        return Logged(run.info.run_id, created=filled, named=named, url=run_url(uri, experiment, run.info.run_id))


def find_logged(name: str, result: str, uri: str, root: Path) -> Logged | None:
    """The row of a result in the experiment ``name``, where nothing of it is left to do; else None. Raises StoreUnavailableError as `log_record` does."""
    with opened(uri, root) as client:
        found = client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage == "deleted":
            return None
        experiment = str(found.experiment_id)
        run = find_run(client, experiment, result)
        if run is None or run.info.status != FINISHED or run.data.tags.get(TAG_DIRTY) == "true":
            return None
        _discard_twins(client, experiment, run, result)  # as of one that was killed while another one was quicker
        return Logged(run.info.run_id, created=False, named=False, url=run_url(uri, experiment, run.info.run_id))


def _discard(client: MlflowClient, experiment: str, run: Run) -> None:
    for model in own_models(client, experiment, run.info.run_id):
        client.delete_logged_model(model.model_id)
    client.delete_run(run.info.run_id)


def _discard_twins(client: MlflowClient, experiment: str, run: Run, result: str) -> None:
    """Delete what MLflow made of one request that was sent twice because its answer was lost: the time is the same."""
    for twin in _runs(client, experiment, result):
        same = twin.info.start_time == run.info.start_time and twin.info.run_id != run.info.run_id
        if same and twin.info.status != FINISHED:
            _discard(client, experiment, twin)


def _name_commit(client: MlflowClient, run: Run, record: RunRecord) -> bool:
    """Give a row that was made from a dirty tree the commit that the same result has now been found in."""
    commit = record.tags.get(TAG_COMMIT)
    if commit is None or run.data.tags.get(TAG_DIRTY) != "true" or record.tags.get(TAG_DIRTY) != "false":
        return False
    if TAG_TREE in record.tags:
        client.set_tag(run.info.run_id, TAG_TREE, record.tags[TAG_TREE])
    _set_commit(client, run, commit)
    return True


def run_url(uri: str, experiment: str, run_id: str) -> str | None:
    """The page of a run, on a server; None where what that calls ids is none that a terminal should be told."""
    if not uri.startswith("http") or not all(re.fullmatch(r"[\w-]{1,64}", each) for each in (experiment, run_id)):
        return None
    return f"{clean(uri).rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"


def experiment_id(client: MlflowClient, name: str, uri: str) -> str:
    """Id of the experiment, made where it is missing. Raises StoreRefusedError for one that was deleted."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage == "deleted":
            raise StoreRefusedError(
                f"the MLflow experiment `{name}` was deleted; bring it back with `mlflow experiments restore -x {found.experiment_id}`"
            )
        return str(found.experiment_id)
    file = sqlite_file(uri)
    # Without a location of its own, artifacts would go to ./mlruns of the folder that a command happens to run in.
    location = (file.parent.absolute() / "mlartifacts" / name).as_uri() if file is not None else None
    try:
        return str(client.create_experiment(name, artifact_location=location, tags=KIND))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        again = client.get_experiment_by_name(name)
        if again is None:
            raise
        return str(again.experiment_id)


def find_run(client: MlflowClient, experiment: str, result: str) -> Run | None:
    """The run of a result: a finished one, else the oldest; deleted ones are left out."""
    return min(
        _runs(client, experiment, result),
        key=lambda run: (run.info.status != FINISHED, run.info.start_time, run.info.run_id),
        default=None,
    )


def _runs(client: MlflowClient, experiment: str, result: str) -> list[Run]:
    return list(client.search_runs([experiment], filter_string=f"tags.`{TAG_RESULT}` = '{result}'", max_results=100))


def _fill(client: MlflowClient, run: Run, experiment: str, record: RunRecord) -> Mapping[str, str]:
    """Log what the run has not yet; return the name to register → id of the model to register."""
    from mlflow.entities import Metric, Param

    run_id = run.info.run_id
    for params in batches([(key, value) for key, value in record.params.items() if key not in run.data.params]):
        client.log_batch(run_id, params=[Param(key, value) for key, value in params])
    if run.inputs is None or not run.inputs.dataset_inputs:
        _log_datasets(client, run_id, record.datasets)
    with staged(record.files, record.texts) as folder:
        client.log_artifacts(run_id, str(folder))
    done = {output.model_id for output in getattr(run.outputs, "model_outputs", None) or ()}
    ids = {model.name: log_model(client, run, experiment, model, record, done) for model in record.models}
    models = [model_id for model_id in ids.values() if model_id]
    # With one model, its page shows the metrics, too; with several, nothing says which one they are of.
    owner = models[0] if len(models) == 1 else None
    metrics = [Metric(key, value, run.info.start_time, 0, model_id=owner)
               for key, value in record.metrics.items() if key not in run.data.metrics]  # fmt: skip
    for start in range(0, len(metrics), METRICS_A_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_A_BATCH])
    return {model.name: model_id for model in record.models if model.register and (model_id := ids[model.name])}


def batches(params: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Params in parts that MLflow takes at once: 100, and 1 MB of JSON."""
    batch: list[tuple[str, str]] = []
    size = 0
    for key, value in params:
        length = len(json.dumps([key, value]))
        if batch and (len(batch) == PARAMS_A_BATCH or size + length > BYTES_A_BATCH):
            yield batch
            batch, size = [], 0
        batch.append((key, value))
        size += length
    if batch:
        yield batch


def _source_type(uri: str) -> str:
    scheme = uri.partition("://")[0] if "://" in uri else ""
    return {"s3": "s3", "http": "http", "https": "http"}.get(scheme, "local")


def _log_datasets(client: MlflowClient, run_id: str, datasets: Iterable[DatasetRecord]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Dataset(
                name=dataset.name,
                digest=dataset.digest[:MAX_DIGEST],
                source_type=_source_type(dataset.uri),
                source=json.dumps({"url" if _source_type(dataset.uri) == "http" else "uri": clean(dataset.uri)}),
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


def _set_commit(client: MlflowClient, run: Run, commit: str) -> None:
    """Write a run's commit, on the versions of its models too; it is not dirty any more."""
    note = _committed(run.data.tags.get("mlflow.note.content", ""), commit)
    for key, value in {TAG_COMMIT: commit, TAG_DIRTY: "false", "mlflow.note.content": note}.items():
        client.set_tag(run.info.run_id, key, value)
    for version in own_versions(client, run.info.run_id):
        for key, value in {TAG_COMMIT: commit, TAG_DIRTY: "false"}.items():
            client.set_model_version_tag(version.name, version.version, key, value)


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
    with opened(uri, root) as client:
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
                _set_commit(client, run, commit)
                count += 1
    return count


def _committed(note: str, commit: str) -> str:
    """The description, once the code is committed: the checkout alone runs it again."""
    lines: list[str] = []
    for line in note.splitlines():
        if line.startswith("    ") and "dvc repro" in line:
            again = re.sub(r"^ +(git checkout \S+ && )?(git apply canon\.patch && )?", "", line)
            lines.append(f"    git checkout {commit[:12]} && {again}")
        elif not line.startswith(NOT_COMMITTED):
            lines.append(line)
    return "\n".join(lines)
