#!/bin/sh
# Resolve the locks: one file for Python 3.11 to 3.13, with hashes, without URLs. Arguments go to uv (`--upgrade`).
set -eu
cd "$(dirname "$0")/.."
compile() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --custom-compile-command "make lock" "$@"
}
compile --group dev -o requirements-dev.lock pyproject.toml
compile --group pipelines -c requirements-dev.lock -o requirements.lock
# What Canon itself runs with; its tools image is made of it. ANTLR's runtime has no wheel, and an image holds nothing that was built
# on the way: DVC needs it to compose Hydra's files in `dvc exp run`, which no pod does. No pod asks an API server either: that client and
# what it alone needs are 80 MB. And none waits for changes of files.
compile -c requirements-dev.lock --no-emit-package antlr4-python3-runtime --no-emit-package kubernetes --no-emit-package durationpy \
    --no-emit-package oauthlib --no-emit-package requests-oauthlib --no-emit-package websocket-client --no-emit-package watchfiles -o plugins/canon/tools.lock pyproject.toml
compile -o tests/checkov/requirements.lock tests/checkov/requirements.in
