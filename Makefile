# Two commands do everything, set-up included: `make demo` and `make test`.
SHELL := /bin/sh
PYTHON ?= python3
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
# Relative: the name of a target cannot hold blanks, the path of a checkout can.
READY := .venv/.ready
# DVC and the stages' commands find `canon`, `dvc` and `python` here.
RUN := env -u PYTHONDONTWRITEBYTECODE PATH="$(BIN):$$PATH" VIRTUAL_ENV="$(VENV)"
WORKERS ?= 2

.PHONY: help demo test soak lint check render golden lock cluster bench bench-plan bench-step bench-image bench-release bench-run clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/'

$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "make: Python 3.11 to 3.13 is needed, '$(PYTHON)' is $$($(PYTHON) --version 2>&1); say PYTHON=python3.11" >&2; exit 1; }
	@echo "make: installing into .venv, once" >&2
	@$(PYTHON) -m venv --clear "$(VENV)"
	@awk '/^uv==/ { part = 1 } part { print } part && !/\\$$/ { exit }' requirements-dev.lock > "$(VENV)/uv.txt"
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$(VENV)/uv.txt"
	@# uv is quick and compiles the bytecode, and trusts whom the system trusts, as pip does; pip, which reads more
	@# configuration, is the way out where it fails
	@env -u PYTHONDONTWRITEBYTECODE "$(BIN)/uv" pip sync --system-certs --quiet --python "$(BIN)/python" --require-hashes --compile-bytecode requirements-dev.lock || \
	  env -u PYTHONDONTWRITEBYTECODE "$(BIN)/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@env -u PYTHONDONTWRITEBYTECODE "$(BIN)/uv" pip install --quiet --python "$(BIN)/python" --offline --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)  ## run the reference pipeline, show its metrics and where to look
	@$(RUN) sh scripts/demo.sh

test: $(READY)  ## all tests but the long ones
	@$(RUN) python -m pytest -m "not soak and not root" -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

soak: $(READY)  ## what is too long for `make test`: more rounds, installed commands everywhere, the oldest DVC, other Pythons
	@$(RUN) python -m pytest -m soak -n $(WORKERS) --timeout 3600 $(ARGS)
	@$(RUN) CANON_TEST_COMMANDS=installed python -m pytest -m "not soak and not root" -n $(WORKERS) --dist loadfile tests/e2e tests/servers
	@$(RUN) sh scripts/soak.sh

lint: $(READY)  ## ruff, mypy
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy

check: $(READY)  ## what is generated is current, nothing is undeclared
	@$(RUN) canon check

render: $(READY)  ## write what is generated
	@$(RUN) canon render
	@$(RUN) canon schema > pipelines/pipeline.schema.json

golden: $(READY)  ## write the expected files of tests/golden anew, to be reviewed
	@$(RUN) CANON_GOLDEN=write python -m pytest -q tests/golden

cluster: $(READY)  ## the reference pipeline in a cluster of kind; needs docker, kind and kubectl (tests/cluster/README.md)
	@$(RUN) python tests/cluster/run.py $(ARGS)

bench: $(READY)  ## ratios of whole commands, in one run
	@$(RUN) python bench/compile_speed.py

bench-plan: $(READY)  ## ratios of `canon plan` and the sketch in ../shared
	@$(RUN) python bench/plan_speed.py

bench-step: $(READY)  ## ratios of `canon step pull` and `push` and the sketch in ../shared
	@$(RUN) python bench/step_speed.py

bench-image: $(READY)  ## ratios of baking 1 GB; needs curl, openssl, docker-registry and buildah of Debian
	@$(RUN) python bench/image_speed.py

bench-run: $(READY)  ## ratios of `canon run` to `dvc repro`
	@$(RUN) python bench/run_speed.py

bench-release: $(READY)  ## ratios of `canon history`, `promote` and `rollback` over 1,000 releases
	@$(RUN) python bench/release_speed.py

lock: $(READY)  ## resolve the locks anew
	@$(RUN) sh scripts/lock.sh

clean:  ## remove the environment
	@rm -rf "$(VENV)"
