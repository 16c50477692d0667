"""A result's models: logged with its run, and registered under their names; once, also where a request was sent twice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from canon.mlflow.artifacts import staged
from canon.mlflow.record import TAG_COMMIT, TAG_DIRTY, TAG_RESULT, ModelRecord, RunRecord, mlflow_name
from canon.mlflow.store import opened

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion


def log_model(
    client: MlflowClient, run: Run, experiment: str, model: ModelRecord, record: RunRecord, done: set[str]
) -> str | None:
    """Log a model; return its id, None for one that is not in MLflow's format: that is kept as it is."""
    run_id = run.info.run_id
    if "MLmodel" not in model.files:
        with staged({f"models/{model.name}/{path}": source for path, source in model.files.items()}) as folder:
            client.log_artifacts(run_id, str(folder))
        return None
    from mlflow.entities import LoggedModelOutput

    name = mlflow_name(model.name)
    if not any(item.name == name for item in own_models(client, experiment, run_id)):
        client.create_logged_model(
            experiment,
            name=name,
            source_run_id=run_id,
            tags={TAG_RESULT: record.result},
            params=dict(record.params) or None,
            model_type="pyfunc",
        )
    # A request that is sent again because its answer was lost makes a second one.
    logged, *others = [item for item in own_models(client, experiment, run_id) if item.name == name]
    for other in others:
        client.delete_logged_model(other.model_id)
    model_id = str(logged.model_id)
    if str(logged.status) != "READY":
        with staged(model.files) as folder:
            client.log_model_artifacts(model_id, str(folder))
        client.finalize_logged_model(model_id, "READY")
    if model_id not in done:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])
    return model_id


def own_models(client: MlflowClient, experiment: str, run_id: str) -> list[LoggedModel]:
    """The models of a run, the oldest first."""
    found = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
    return sorted(found, key=lambda item: (item.creation_timestamp, item.model_id))


def register_model(client: MlflowClient, model: str, model_id: str, run_id: str, record: RunRecord) -> None:
    """Register a logged model under its name, as one version."""
    from mlflow.exceptions import MlflowException

    name = mlflow_name(model)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    if not own_versions(client, run_id, name):
        kept = (TAG_RESULT, TAG_COMMIT, TAG_DIRTY, "canon.data_hash")
        client.create_model_version(
            name,
            source=f"models:/{model_id}",
            run_id=run_id,
            model_id=model_id,
            tags={key: record.tags[key] for key in kept if key in record.tags},
        )
    for other in own_versions(client, run_id, name)[1:]:  # the same request, sent twice
        client.delete_model_version(name, other.version)


def own_versions(client: MlflowClient, run_id: str, name: str = "") -> list[ModelVersion]:
    """The registered versions of a run's models, the oldest first."""
    found = client.search_model_versions(f"run_id = '{run_id}'")
    return sorted((item for item in found if name in {"", item.name}), key=lambda item: int(item.version))


def find_version(run_id: str, model: str, uri: str, root: Path) -> str | None:
    """`name/version` of a run's model as it is registered; None where it is not. Raises StoreUnavailableError."""
    with opened(uri, root) as client:
        found = own_versions(client, run_id, mlflow_name(model))
        return f"{found[0].name}/{found[0].version}" if found else None
