#!/bin/sh
# The contract tests on the oldest DVC that pyproject.toml allows, and a smoke on the other Pythons that Canon supports.
# SOAK_PYTHONS names these Pythons; one that is not found is a failure. Every wait has a limit.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
failed=""

version() { python -c "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))" "$1"; }

inside() { # inside VENV COMMAND…: as `make` runs things, but in another environment
    venv=$1
    shift
    env -u PYTHONDONTWRITEBYTECODE PATH="$venv/bin:$PATH" VIRTUAL_ENV="$venv" "$@"
}

part() { # part NAME FUNCTION ARGUMENT: time it, go on with the others when it fails
    started=$(date +%s)
    echo "soak: $1" >&2
    # `if` would switch `set -e` off inside of the function
    set +e
    (set -e; "$2" "$3")
    code=$?
    set -e
    result=passed
    if [ "$code" -ne 0 ]; then
        failed="$failed; $1"
        result=FAILED
    fi
    echo "soak: $1: $result after $(($(date +%s) - started)) s" | tee -a "$work/summary" >&2
}

# What Canon needs, with the oldest DVC and the pathspec of that time (1.0 moved what both use of it); today's tools and PyYAML.
# What DVC's other libraries have deprecated since is no error here.
oldest_dvc() {
    tools=""
    for name in hatchling hypothesis pytest pytest-timeout pyyaml; do
        tools="$tools $name==$(version "$name")"
    done
    python -m venv --without-pip "$work/oldest"
    # shellcheck disable=SC2086  several words
    timeout 900 uv pip install --quiet --python "$work/oldest/bin/python" --compile-bytecode \
        -r pyproject.toml "dvc==$1" "pathspec<1" $tools
    timeout 300 uv pip install --quiet --python "$work/oldest/bin/python" --offline --no-deps --no-build-isolation .
    inside "$work/oldest" dvc --version >&2
    inside "$work/oldest" timeout 2400 \
        python -m pytest -q -m "not root" -o filterwarnings=default --disable-warnings --timeout 2000 --ignore-glob 'tests/contract/test_argo*_manifests.py' \
        --basetemp "$work/oldest-tests" tests/contract
}

find_python() { # print the first interpreter of this version that starts
    for candidate in "$(command -v "python$1" || true)" "$HOME/.pyenv/versions/$1".*/bin/python; do
        if [ -n "$candidate" ] && [ -x "$candidate" ] &&
            [ "$(timeout 20 "$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>&1)" = "$1" ]; then
            echo "$candidate"
            return
        fi
    done
    echo "soak: there is no python$1 on PATH nor below ~/.pyenv/versions; install it, or set SOAK_PYTHONS" >&2
    return 1
}

other_python() { # the wheel, and the lock as it is
    found=$(find_python "$1")
    "$found" -m venv --without-pip "$work/$1"
    timeout 900 uv pip sync --quiet --python "$work/$1/bin/python" --require-hashes --compile-bytecode requirements-dev.lock
    timeout 300 uv pip install --quiet --python "$work/$1/bin/python" --offline --no-deps --no-build-isolation .
    inside "$work/$1" python --version >&2
    inside "$work/$1" timeout 300 canon check
    inside "$work/$1" timeout 300 canon render --check
    inside "$work/$1" timeout 1800 \
        python -m pytest -q -m "not soak and not root" --basetemp "$work/$1-tests" tests/unit tests/contract \
        tests/e2e/test_image_base.py tests/e2e/test_image_bake.py
    rm -rf "${work:?}/$1"
}

dvc=$(sed -n 's/^ *"dvc>=\([0-9.]*\),.*/\1/p' pyproject.toml)
part "the contract with DVC $dvc, the oldest supported" oldest_dvc "$dvc"
for python in ${SOAK_PYTHONS:-3.12 3.13}; do
    part "Python $python" other_python "$python"
done
cat "$work/summary"
if [ -n "$failed" ]; then
    echo "soak: failed: ${failed#; }" >&2
    exit 1
fi
