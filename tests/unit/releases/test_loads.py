"""What `canon.releases` may load: a command on history loads neither DVC, Hera nor MLflow."""

from __future__ import annotations

from tests.unit.test_architecture import RUN, loaded_by


def test_history_is_read_without_the_tools() -> None:
    code = "import canon.releases.history, canon.releases.place, canon.releases.rows, canon.releases.publish, canon.releases.decide"
    assert loaded_by(code, "dvc", "mlflow", "hera", "botocore", "requests") == set()


def test_help_loads_none() -> None:
    assert (
        loaded_by(RUN.format(argv=["canon", "promote", "--help"]), "dvc", "mlflow", "hera", "git", "requests") == set()
    )
