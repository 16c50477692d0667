#!/bin/sh
# Run the reference pipeline as anyone would, by plain `dvc repro`, and say where to look.
set -eu
cd "$(dirname "$0")/.."
echo "dvc repro"
dvc repro 2>&1
echo
dvc metrics show
echo
if [ -n "${MLFLOW_TRACKING_URI:-}" ]; then
    echo "The rows to compare are in MLflow at the server of MLFLOW_TRACKING_URI."
else
    echo "Compare the rows in MLflow:"
    echo "    .venv/bin/mlflow ui --backend-store-uri sqlite:///$PWD/mlflow.db"
fi
