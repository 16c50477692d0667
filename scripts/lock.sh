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
