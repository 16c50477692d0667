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

echo
base=.dvc/tmp/canon/base
if [ -d "$base" ] || sh scripts/base.sh python "$base" > /dev/null; then
    echo "canon image bake co2 --from oci:$base"
    # The declared image is in a registry; a base of Debian packages takes its place, which the image records.
    if image=$(canon image bake co2 --from "oci:$base"); then
        echo "The model is baked into $image; what made it is proven by"
        echo "    .venv/bin/canon image verify $image --from oci:$base"
    else
        echo "No image was baked: what stands above says why. Everything else is done." >&2
    fi
else
    echo "No image is baked here: a base takes mmdebstrap and root, or a registry: canon image bake co2 --from IMAGE@sha256:…"
fi
