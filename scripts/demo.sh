#!/bin/sh
# Run the reference pipeline as anyone would, by plain `dvc repro`, and say where to look.
set -eu
cd "$(dirname "$0")/.."
# DVC asks for the user's name, and fails where a uid has none, as in containers (dvc/repo/__init__.py, site_cache_dir).
id -un > /dev/null 2>&1 || export LOGNAME="${LOGNAME:-$(id -u)}"
echo "dvc repro"
dvc repro 2>&1
echo
dvc metrics show results/co2/metrics.json
echo
if [ -n "${MLFLOW_TRACKING_URI:-}" ]; then
    echo "The rows to compare are in MLflow at the server of MLFLOW_TRACKING_URI."
else
    echo "Compare the rows in MLflow:"
    store="sqlite:///$PWD/mlflow.db"
    case $store in
    *[!A-Za-z0-9/:._-]*) store="'$(printf %s "$store" | sed "s/'/'\\\\''/g")'" ;; # for the shell that it is pasted into
    esac
    echo "    .venv/bin/mlflow ui --backend-store-uri $store"
fi
