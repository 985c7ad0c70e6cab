# The developer verbs. Each sets up what it needs: Python 3.11+ and make are all it takes.
PYTHON ?= python3

BIN := .venv/bin
LOCKED := .venv/.locked
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint types golden bench bench-tail compiled e2e

help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

venv: $(READY)  ## create or refresh .venv from requirements.lock

demo: $(READY)  ## real Envoy, issuer, upstream and service: a table of decisions
	$(BIN)/extauthz demo

test: $(READY)  ## every test but those in containers
	$(BIN)/pytest

lint: $(READY)  ## ruff, formatting, the import contract
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: $(READY)  ## mypy, strict
	$(BIN)/mypy

golden: $(READY)  ## rewrite the golden files; read the diff
	EXTAUTHZ_REFRESH_GOLDEN=1 $(BIN)/pytest tests/golden

bench: $(READY)  ## what a decision costs
	$(BIN)/python -m bench

bench-tail: $(READY)  ## latency at fixed rates
	$(BIN)/python -m bench tail

compiled: $(READY)  ## a compiled wheel in dist/, and the decisions and known attacks once more by it; needs a C compiler
	rm -rf dist/compiled && mkdir -p dist/compiled
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 $(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist/compiled .
	$(BIN)/python -m zipfile -e dist/compiled/*.whl dist/compiled/package
	PYTHONPATH=dist/compiled/package $(BIN)/python -P -c 'import extauthz.authorizer as a; assert a.__file__.endswith(".so"), a'
	$(BIN)/pytest -o "pythonpath=dist/compiled/package ." tests/decisions tests/advisories tests/properties/test_warmth.py

e2e: $(READY)  ## the stacks in real containers: needs a Docker daemon, or root and Debian's docker.io
	$(BIN)/pytest -m docker tests/e2e

# A changed lock makes the environment anew: packages that share files do not survive being replaced one by one.
$(LOCKED): requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "extauthz needs Python 3.11 or newer, and '$(PYTHON)' was not found: install it, or run make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "extauthz needs Python 3.11 or newer, and '$(PYTHON)' is older: run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(READY): $(LOCKED) pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
